"""Scores of a set for a command: from a file written before, or made now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import LensSet


def scores_of(finder: Finder, lens_set: LensSet, path: Path | None) -> Scores:
    """Scores of the set in its order, from the file `path` or computed now.

    Raises
    ------
    DataError
        The file holds scores of another finder or another set.
    """
    from lensaudit.cli.pixels import warn_of_clipping
    from lensaudit.cli.set_summary import progress_bar
    from lensaudit.errors import DataError
    from lensaudit.evaluation import in_order_of
    from lensaudit.finders import read_scores, score_set

    if path is None:
        with progress_bar(f"scoring with {finder.name}") as report:
            scores = score_set(finder, lens_set, progress=report)
        warn_of_clipping(finder, scores, lens_set.path)
        return scores
    found, record = read_scores(path, lens_set.ids)
    inputs = record.get("provenance", {}).get("inputs", {})
    if inputs.get("finder", finder.weights_hash) != finder.weights_hash:
        raise DataError(f"{path}: holds scores of other weights than {finder.name}'s; write it with lensaudit score")
    ordered = in_order_of(lens_set.ids, found, path)
    if inputs.get("set", lens_set.content_hash) != lens_set.content_hash:
        raise DataError(f"{path}: holds scores of another set than {lens_set.path}; write it with lensaudit score")
    return ordered
