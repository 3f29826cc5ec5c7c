"""Dreams of a finder as files: FITS, picture and animation of each, a page a layer; an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lensaudit.display.colour import QUIET
from lensaudit.display.figures import new_figure, save_figure, styled
from lensaudit.display.images import picture_of, prepared_rgb, shown_bands
from lensaudit.documents import Json
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.dreaming.dream import Dream, dream, why_no_dream
from lensaudit.explaining.dreaming.dream_picture import (
    Beside,
    View,
    draw_picture,
    dream_figure,
    legend,
    number,
    path_gif,
)
from lensaudit.explaining.dreaming.exciting import NAME as EXCITING_NAME
from lensaudit.explaining.dreaming.exciting import Exciting, Scan, exciting_cutouts
from lensaudit.explaining.dreaming.settings import OBJECTIVES, KernelTarget, Target
from lensaudit.explaining.dreaming.wish import DreamWish, Group, groups_of
from lensaudit.explaining.layers import refuse_other_maps
from lensaudit.files import writable_folder, write_bytes
from lensaudit.finders import Finder
from lensaudit.lensset import Cutouts
from lensaudit.provenance import provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


ACROSS = 10
_PANEL = 1.1
"""Inches of one image with its words."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One kernel of the sheet.

    Attributes
    ----------
    dream
        Its image.
    beside
        The real cutout that excites it most; None where none was looked at.
    """

    dream: Dream
    beside: Beside | None


@styled
def layer_figure(tiles: Sequence[Tile], view: View) -> Figure:
    """One tile for each kernel, in their order; `view` says what stands around them, its cutouts are not drawn."""
    each = 2 if any(tile.beside is not None for tile in tiles) else 1
    across = min(len(tiles), ACROSS)
    down = math.ceil(len(tiles) / across)
    width, tall = max(across * _PANEL, 6.5), _PANEL * each + 0.28
    height = down * tall + 1.05
    figure = new_figure(width, height, constrained=False)
    grid = figure.add_gridspec(
        down, across, left=0.01, right=0.99, bottom=0.42 / height, top=1 - 0.78 / height, wspace=0.06, hspace=0.2
    )
    first = tiles[0].dream
    assert isinstance(first.target, KernelTarget)
    dead = sum(tile.dream.dead for tile in tiles)
    words = f"{view.finder}: images that excite the {len(tiles)} kernels of layer {first.target.layer}"
    figure.text(0.01, 1 - 0.25 / height, words + (f", {dead} of them dead" if dead else ""), fontsize=12)
    below = "Above the image, below it the cutout with the highest value. " if each == 2 else ""
    figure.text(0.01, 1 - 0.45 / height, f"{below}Numbers: kernel, mean of its feature map before ReLU.", fontsize=8)
    for place, tile in enumerate(tiles):
        cell = grid[place // across, place % across].subgridspec(each, 1, hspace=0.02)
        _draw_tile(figure.add_subplot(cell[0]), tile.dream, view.brighten)
        if tile.beside is not None:
            ax = figure.add_subplot(cell[1])
            draw_picture(ax, tile.beside.picture)
            ax.set_xlabel(number(tile.beside.value), fontsize=6.5, labelpad=1)
    for line, text in enumerate(_wrapped(legend(first, view), width)):
        figure.text(0.01, (0.24 - 0.13 * line) / height, text, fontsize=6.5, color=QUIET)
    return figure


def _draw_tile(ax: Axes, dream: Dream, brighten: float) -> None:
    assert isinstance(dream.target, KernelTarget)
    if dream.dead:
        draw_picture(ax, np.ones((2, 2)), f"{dream.target.kernel}: dead", 7)
        ax.text(0.5, 0.5, "dead", ha="center", va="center", transform=ax.transAxes, fontsize=8, color=QUIET)
        return
    title = f"{dream.target.kernel}: {number(dream.values[-1])}"
    draw_picture(ax, prepared_rgb(dream.image, dream.bands, brighten), title, 7)


def _wrapped(text: str, width: float) -> list[str]:
    import textwrap

    return textwrap.wrap(text, int(width * 19))[:2]


_KEY = "Description"
"""PNG field that says what a picture was drawn from."""


class Board:
    """Where one group is drawn, with the real cutouts of a search beside."""

    def __init__(self, group: Group, wish: DreamWish, scan: Scan | None) -> None:
        self.group, self._wish, self._scan = group, wish, scan

    def exciting(self, target: Target) -> tuple[Exciting, ...]:
        """The cutouts beside a target."""
        return self._scan.best[target] if self._scan is not None else ()

    def draw(self, dream: Dream) -> tuple[Path, Path]:
        """Picture and animation of one dream."""
        path = self.group.path(dream.target)
        png, gif = path.with_suffix(".png"), path.with_suffix(".gif")
        key = self._key([dream])
        if self._wish.force or not gif.is_file() or _key_of(png) != key:
            write_bytes(gif, path_gif(dream, self._wish.brighten))
            beside = tuple(self._beside(cutout) for cutout in self.exciting(dream.target))
            _save(dream_figure(dream, self._view(beside)), png, key)
        return png, gif

    def draw_sheet(self, dreams: Sequence[Dream | None]) -> list[Path]:
        """The page of the layer, where all its kernels are there."""
        found = [dream for dream in dreams if dream is not None]
        if not self.group.whole_layer or not found:
            return []
        path, key = self.group.out / f"{self.group.stem}.png", self._key(found)
        if self._wish.force or _key_of(path) != key:
            tiles = []
            for dream in found:
                cutouts = self.exciting(dream.target)
                tiles.append(Tile(dream, self._beside(cutouts[0]) if cutouts else None))
            beside = tuple(tile.beside for tile in tiles if tile.beside is not None)
            _save(layer_figure(tiles, self._view(beside)), path, key)
        return [path]

    def _view(self, beside: tuple[Beside, ...]) -> View:
        searched = ""
        if self._scan is not None and self._wish.beside is not None:
            searched = f"highest of {self._scan.looked_at} of {self._scan.of} of {self._wish.beside.path.name}"
        return View(self.group.finder.name, self.group.start.words, beside, searched, self._wish.brighten)

    def _beside(self, cutout: Exciting) -> Beside:
        assert self._wish.beside is not None
        picture = _picture(self._wish.beside, cutout.index, self.group.finder.recipe.bands)
        return Beside(picture, cutout.id, cutout.label, cutout.value)

    def _key(self, dreams: Sequence[Dream]) -> str:
        cutouts = [[(c.id, c.value) for c in self.exciting(dream.target)] for dream in dreams]
        beside = self._wish.beside.content_hash if self._wish.beside is not None else ""
        cards = [self.group.cards(dream.target) for dream in dreams]
        words: list[Any] = [provenance()["lensaudit"], cards, cutouts, beside, self._wish.brighten]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _picture(lens_set: Cutouts, index: int, bands: Sequence[str]) -> Any:
    """A cutout in colour, or its VIS or first band in grey."""
    return picture_of({band: lens_set.images(band, [index])[0] for band in shown_bands(bands)})


def _save(figure: Figure, path: Path, key: str) -> None:
    save_figure(path, figure, metadata={_KEY: key})


def _key_of(path: Path) -> str | None:
    """What a picture was drawn from; None where there is no whole picture."""
    from PIL import Image

    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        bomb = Image.DecompressionBombWarning
        with warnings.catch_warnings(action="error", category=bomb), Image.open(path) as picture:
            picture.load()
            return str(picture.info.get(_KEY))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError):
        return None


Report = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Report]]
"""Of a stage's name: the context in which its progress (done, all) is shown."""


@dataclass(frozen=True)
class DreamFiles:
    """One dream's files, or why there are none.

    Attributes
    ----------
    target
        What was maximised.
    start
        Name of the cutout it began from; empty for noise.
    fits, png, gif
        Paths; None where the optimisation failed.
    dream
        The dream; None where it failed.
    status
        ``made``, ``kept``, or why there is none.
    exciting
        Real cutouts that excite the target most.
    """

    target: Target
    start: str
    fits: Path | None
    png: Path | None
    gif: Path | None
    dream: Dream | None
    status: str
    exciting: tuple[Exciting, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether there is no dream."""
        return self.dream is None

    def to_json(self) -> Json:
        """JSON-able facts."""
        facts: dict[str, Any] = {"target": self.target.name, "start": self.start or "noise", "status": self.status}
        if self.dream is None:
            return facts
        facts |= {"fits": str(self.fits), "png": str(self.png), "gif": str(self.gif)}
        facts |= {"dead": self.dream.dead, "steps": self.dream.settings.steps, "rate": self.dream.settings.rate}
        facts |= {"value": [float(self.dream.values[end]) for end in (0, -1)]}
        facts |= {"p_lens": [float(self.dream.p_lens[end]) for end in (0, -1)]}
        found = [{"id": c.id, "label": c.label, "value": c.value} for c in self.exciting]
        return facts | {"most_exciting": found}


@dataclass(frozen=True)
class DreamRun:
    """What one run made.

    Attributes
    ----------
    files
        Of each start and target.
    sheets
        Pages of layers all of whose kernels were asked for.
    notes
        What a reader must know besides, a line each.
    """

    files: tuple[DreamFiles, ...]
    sheets: tuple[Path, ...]
    notes: tuple[str, ...]


def dream_files(finder: Finder, wish: DreamWish, out: Path, stage: Stage) -> DreamRun:
    """Make the dreams and write them into `out`.

    For each start and target ``[<id>-]<target>.fits`` (see `write_dream_fits`), ``.png`` and ``.gif``; for each layer
    whose kernels are all asked for ``[<id>-]layer-<name>.png``; with a set beside, ``exciting.json``. What is there
    already, of the same finder and settings, is kept; an optimisation that was interrupted goes on from its last
    checkpoint.

    Parameters
    ----------
    finder
        The finder; its module is left as it was.
    wish
        What to make.
    out
        Folder.
    stage
        Shows progress.

    Raises
    ------
    DataError
        The set beside is not what the finder eats, or no target could be optimised.
    UsageError
        A setting is not possible, or `out` cannot be written.
    MachineError
        Memory or the disk ran out.
    """
    if reason := why_no_dream(finder):
        raise UsageError(reason)
    groups = groups_of(finder, wish, out)
    if wish.beside is not None:
        finder.check(wish.beside)
    writable_folder(out)
    if not wish.force:
        paths = [group.path(target) for group in groups for target in group.targets]
        refuse_other_maps(paths, finder.weights_hash, None)
    scan = _scan(finder, wish, out, stage)
    files: list[DreamFiles] = []
    sheets: list[Path] = []
    for group in groups:
        board = Board(group, wish, scan)
        found = _dreams_of(group, wish.force, stage)
        with stage(f"drawing {group.words}") as report:
            for number, (target, dreamt, status) in enumerate(found, start=1):
                files.append(_drawn(board, target, dreamt, status))
                report(number, len(found))
            sheets += board.draw_sheet([dreamt for _, dreamt, _ in found])
    if all(entry.failed for entry in files):
        first = files[0]
        raise DataError(f"finder {finder.name}: no target could be optimised ({first.target.name}: {first.status})")
    return DreamRun(tuple(files), tuple(sheets), _notes(files, scan))


def _scan(finder: Finder, wish: DreamWish, out: Path, stage: Stage) -> Scan | None:
    if wish.beside is None:
        return None
    objective = wish.changes.objective or OBJECTIVES[0]
    with stage(f"looking through {wish.beside.path.name}") as report:
        return exciting_cutouts(
            out / EXCITING_NAME, finder, wish.targets, wish.beside, objective, scan=wish.scan, progress=report
        )


def _dreams_of(group: Group, force: bool, stage: Stage) -> list[tuple[Target, Dream | None, str]]:
    """Each target's dream, from its file or made and written, with its status."""
    kept = {} if force else {t: d for t in group.targets if (d := group.read(t)) is not None}
    missing = [target for target in group.targets if target not in kept]
    made: dict[Target, Dream] = {}
    if missing:
        with stage(group.words) as report:
            dreams = dream(
                group.finder,
                missing,
                group.start.image,
                group.settings,
                progress=report,
                checkpoint=group.checkpoint,
            )
        made = dict(zip(missing, dreams, strict=True))
        for dreamt in dreams:
            if not dreamt.fault:
                group.write(dreamt)
        group.checkpoint.unlink(missing_ok=True)
    return [_outcome(target, kept.get(target), made.get(target)) for target in group.targets]


def _outcome(target: Target, kept: Dream | None, made: Dream | None) -> tuple[Target, Dream | None, str]:
    if kept is not None:
        return target, kept, "kept"
    assert made is not None
    return (target, None, made.fault) if made.fault else (target, made, "made")


def _drawn(board: Board, target: Target, dreamt: Dream | None, status: str) -> DreamFiles:
    start, fits = board.group.start.name, board.group.path(target)
    if dreamt is None:
        return DreamFiles(target, start, None, None, None, None, status)
    png, gif = board.draw(dreamt)
    return DreamFiles(target, start, fits, png, gif, dreamt, status, board.exciting(target))


def _notes(files: Sequence[DreamFiles], scan: Scan | None) -> tuple[str, ...]:
    dead = [entry.target.name for entry in files if entry.dream is not None and entry.dream.dead]
    notes = [f"dead, no gradient reaches the image: {', '.join(dead)}"] if dead else []
    if scan is not None and scan.left_out:
        name, why = next(iter(scan.left_out.items()))
        notes.append(f"{len(scan.left_out)} cutouts left out, first {name}: {why}")
    return tuple(notes)
