"""The real cutouts that excite a target most, to stand beside the image that was made to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.dreaming.objective import class_values
from lensaudit.explaining.dreaming.settings import ClassTarget, KernelTarget, Target
from lensaudit.explaining.kernels.activations import Recorder, recording
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.finder import Cutouts
from lensaudit.finders.score import NO_BATCH, default_batch_size, out_of_memory_explained
from lensaudit.kept import JsonForm, Piece
from lensaudit.lensset import Cutouts as AnySet
from lensaudit.provenance import provenance
from lensaudit.spread import Progress

SCAN = 2000
"""Cutouts that are looked at by default."""

KEEP = 4
"""Cutouts that stand beside an image."""


@dataclass(frozen=True)
class Exciting:
    """One cutout.

    Attributes
    ----------
    index, id
        Position in the set, and name.
    label
        1 lens, 0 non-lens, −1 unlabelled.
    value
        Of the target: the same number that its image maximises.
    """

    index: int
    id: str
    label: int
    value: float


@dataclass(frozen=True)
class Scan:
    """What a search found.

    Attributes
    ----------
    best
        Target → its cutouts, the most exciting first; empty where no cutout gave it a number.
    looked_at, of
        Cutouts that were looked at, and that the set has.
    left_out
        Cutout → why it has no value.
    """

    best: dict[Target, tuple[Exciting, ...]]
    looked_at: int
    of: int
    left_out: dict[str, str]


def most_exciting(
    finder: Finder,
    targets: Sequence[Target],
    lens_set: AnySet,
    objective: str,
    *,
    scan: int = SCAN,
    progress: Progress | None = None,
) -> Scan:
    """For each target the `KEEP` cutouts of a set with the highest values, in one pass.

    Parameters
    ----------
    finder, lens_set
        The set must have the finder's bands and field of view.
    targets
        Classes, and kernels of any layers.
    objective
        What a class's value is, see `lensaudit.explaining.dreaming.settings.OBJECTIVES`.
    scan
        Most cutouts to look at; of a larger set as many are taken, evenly spaced.
    progress
        Called with cutouts done and all that are looked at.

    Raises
    ------
    DataError
        The finder cannot take the set as input, or none of its cutouts could be read.
    UsageError
        `scan` is below 1.
    """
    if scan < 1:
        raise UsageError(f"--scan {scan} looks at nothing; give 1 or more")
    finder.check(lens_set)
    rows = np.unique(np.linspace(0, len(lens_set) - 1, min(scan, len(lens_set))).round().astype(int))
    size = default_batch_size(finder)
    values = np.full((len(rows), len(targets)), np.nan)
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        stack.enter_context(out_of_memory_explained(size, NO_BATCH))
        stack.enter_context(evaluating(finder.module))
        kernels = any(isinstance(target, KernelTarget) for target in targets)
        recorder = stack.enter_context(recording(finder.module)) if kernels else None
        for first in range(0, len(rows), size):
            span = slice(first, first + size)
            cutouts = {band: lens_set.images(band, rows[span]) for band in finder.recipe.bands}
            values[span], faults = _values(finder, targets, objective, cutouts, recorder)
            left_out |= {lens_set.ids[rows[first + n]]: why for n, why in faults.items()}
            if progress is not None:
                progress(min(first + size, len(rows)), len(rows))
    if len(left_out) == len(rows):
        name, why = next(iter(left_out.items()))
        raise DataError(f"{lens_set.path}: none of {len(rows)} cutouts could be read (first {name}: {why})")
    names, labels = [lens_set.ids[row] for row in rows], lens_set.labels[rows]
    best = {target: _best(rows, names, labels, values[:, column]) for column, target in enumerate(targets)}
    return Scan(best, len(rows), len(lens_set), left_out)


def _values(
    finder: Finder, targets: Sequence[Target], objective: str, cutouts: Cutouts, recorder: Recorder | None
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Values (n, targets) of native cutouts from one forward pass, and which have none, and why."""
    images, good = finder.prepare(cutouts)
    usable = good.all(dim=1)
    images[~usable] = 0.0
    outputs = finder.outputs(images)
    lens, other, _ = class_values(finder.recipe, outputs, objective)
    columns: dict[Target, NDArray[np.float32]] = {
        ClassTarget(True): lens.cpu().numpy(),
        ClassTarget(False): other.cpu().numpy(),
    }
    if recorder is not None:
        means, first = recorder.take(len(images))[0], 0
        for layer in recorder.layers:
            columns |= {KernelTarget(layer.name, k): means[:, first + k] for k in range(layer.kernels)}
            first += layer.kernels
    values = np.stack([columns[target] for target in targets], axis=1).astype(np.float64)
    faults = {n: finder.fault(cutouts, n) for n, known in enumerate(usable.tolist()) if not known}
    values[list(faults)] = np.nan
    return values, faults


def _best(
    rows: NDArray[np.int_], names: Sequence[str], labels: NDArray[np.int8], values: NDArray[np.float64]
) -> tuple[Exciting, ...]:
    order = np.argsort(-values, kind="stable")[:KEEP]  # NaN comes last
    return tuple(
        Exciting(int(rows[n]), names[n], int(labels[n]), float(values[n])) for n in order if np.isfinite(values[n])
    )


NAME = "exciting.json"


def exciting_cutouts(
    path: Path,
    finder: Finder,
    targets: Sequence[Target],
    lens_set: AnySet,
    objective: str,
    *,
    scan: int,
    progress: Progress | None = None,
) -> Scan:
    """As `most_exciting`; what `path` holds of the same finder, set and targets is taken from there."""
    finder.check(lens_set)
    identity = {
        "lensaudit": provenance()["lensaudit"],
        "finder_hash": finder.weights_hash,
        "field_arcsec": finder.field_arcsec,
        "set_hash": lens_set.content_hash,
        "scan": scan,
    }
    names = {target: _name(target, objective) for target in targets}
    piece: Piece[dict[str, Any]] = Piece(path, JsonForm(key_name="identity"), identity)
    stored = piece.load()
    if stored is not None and all(name in stored["best"] for name in names.values()):
        best = {t: tuple(Exciting(**cutout) for cutout in stored["best"][name]) for t, name in names.items()}
        return Scan(best, stored["looked_at"], len(lens_set), stored["left_out"])
    found = most_exciting(finder, targets, lens_set, objective, scan=scan, progress=progress)
    best_of = {names[target]: [asdict(cutout) for cutout in found.best[target]] for target in targets}
    before = stored["best"] if stored is not None else {}
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    facts: dict[str, Any] = {"looked_at": found.looked_at, "of": found.of, "left_out": found.left_out}
    piece.write(facts | {"best": {**before, **best_of}, "provenance": provenance(inputs=inputs)})
    return found


def _name(target: Target, objective: str) -> str:
    return f"{objective} {target.name}" if isinstance(target, ClassTarget) else target.name
