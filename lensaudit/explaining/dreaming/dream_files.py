"""Dreams of a finder as files: FITS, picture and animation of each, a page a layer; an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.attribution.methods import no_gradient
from lensaudit.explaining.dreaming.board import Board
from lensaudit.explaining.dreaming.dream import Dream, dream
from lensaudit.explaining.dreaming.exciting import NAME as EXCITING_NAME
from lensaudit.explaining.dreaming.exciting import Exciting, Scan, exciting_cutouts
from lensaudit.explaining.dreaming.settings import OBJECTIVES
from lensaudit.explaining.dreaming.target import Target
from lensaudit.explaining.dreaming.wish import DreamWish, Group, groups_of
from lensaudit.explaining.layers import refuse_other_maps
from lensaudit.files import writable_folder
from lensaudit.finders import Finder

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

    def summary(self) -> dict[str, Any]:
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
    if not finder.differentiable:
        raise UsageError(no_gradient("dream", finder))
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
