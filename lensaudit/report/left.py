"""What an earlier run into the same folder left to do of an audit, so that an estimate says what this one will take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.errors import LensauditError
from lensaudit.report.build import SCORES_NAME, scores_piece
from lensaudit.report.explained import choose, dreams_piece, gallery_piece, maps_piece
from lensaudit.report.judged import judge_settings, judged_folders
from lensaudit.report.options import AuditOptions, arrays_piece, key_of

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet

PARTS = ("scoring", "gallery", "maps", "kernels", "dreams", "judging maps")


def left_of_audit(finder: Finder, lens_set: LensSet, options: AuditOptions, out: Path) -> dict[str, float]:
    """Part of an audit → its fraction in [0, 1] that no earlier run into `out` has finished; probes count their own.

    Scores come first, and which images are shown follows from them: without them nothing is taken as done.
    """
    left = dict.fromkeys(PARTS, 1.0)
    scores = scores_piece(finder, lens_set, out / SCORES_NAME, key_of(finder, lens_set)).load()
    if scores is None:
        return left
    p, threshold = scores.p_lens, finder.recipe.threshold
    left["scoring"] = 0.0
    left["kernels"] = 0.0 if _kernels_kept(finder, lens_set, out) else 1.0
    left["judging maps"] = _judging_left(finder, lens_set, options, out)
    if options.occlusion_n:
        from lensaudit.explaining import Occluder

        grid = Occluder(finder).grid
        shown = _chosen(lens_set, p, threshold, options.occlusion_n)
        left["gallery"] = _missing(out, [gallery_piece(finder, grid, lens_set, index) for index in shown])
    if options.maps_n:
        shown = _chosen(lens_set, p, threshold, options.maps_n)
        left["maps"] = _missing(out, [maps_piece(finder, lens_set, index) for index in shown])
    left["dreams"] = _missing(out, [dreams_piece(finder, lens_set, p, options)[1:]])
    return left


def _chosen(lens_set: LensSet, p: np.ndarray, threshold: float, n: int) -> list[int]:
    return [index for group in choose(lens_set.labels, p, threshold, n) for index in group.indices]


def _missing(out: Path, pieces: Sequence[tuple[str, str]]) -> float:
    """Fraction of the pieces (path in `out`, key) that are not there whole."""
    if not pieces:
        return 0.0
    return sum(arrays_piece(out, path, key).load() is None for path, key in pieces) / len(pieces)


def _kernels_kept(finder: Finder, lens_set: LensSet, out: Path) -> bool:
    from lensaudit.explaining.kernels.activations import kept_activations

    return kept_activations(out / "kav.parquet", finder, lens_set) is not None


def _judging_left(finder: Finder, lens_set: LensSet, options: AuditOptions, out: Path) -> float:
    """Of the tasks of both judgements; all where one cannot be said without simulating or rendering anything."""
    from lensaudit.explaining.judging.judge import tasks_left
    from lensaudit.lensset import LensSet

    if not options.judge_n or not (out / "judged" / "scores").is_dir():
        return 1.0
    try:
        sets = [lens_set, *(LensSet.open(folder) for folder in judged_folders(out, options))]
        asked = judge_settings(finder, options)
        counted = [
            tasks_left(finder, sets if place == "scores" else sets[:1], out / "judged" / place, settings)
            for place, settings in asked.items()
        ]
    except LensauditError:  # a set that is not finished: the work itself says what is wrong
        return 1.0
    return sum(left for left, _ in counted) / max(1, sum(of for _, of in counted))
