"""Draws the pictures of a group's dreams; those that are there already, of the same things, are kept."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lensaudit.display.colour import QUIET
from lensaudit.display.figures import new_figure, save_figure, styled
from lensaudit.display.images import picture_of, prepared_rgb, shown_bands
from lensaudit.explaining.dreaming.dream import Dream
from lensaudit.explaining.dreaming.dream_picture import (
    Beside,
    View,
    draw_picture,
    dream_figure,
    legend,
    number,
    path_gif,
)
from lensaudit.explaining.dreaming.exciting import Exciting, Scan
from lensaudit.explaining.dreaming.target import KernelTarget, Target
from lensaudit.explaining.dreaming.wish import DreamWish, Group
from lensaudit.files import write_bytes
from lensaudit.lensset import LensSet
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


def _picture(lens_set: LensSet, index: int, bands: Sequence[str]) -> Any:
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
