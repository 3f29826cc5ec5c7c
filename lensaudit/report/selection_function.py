"""The selection function of the set's scores: recall over two properties, medians of the selected, what drives it."""

from __future__ import annotations

from typing import Any

import numpy as np


def selection_function_block(lens_set: Any, scores: Any, threshold: float, seed: int) -> dict[str, Any] | None:
    """What :meth:`lensaudit.evaluation.selection.SelectionFunction.as_json` holds; None without lenses or truth.

    Parameters
    ----------
    scores
        :class:`lensaudit.finders.Scores` of the set, in its order.
    threshold
        p from which a system is called a lens; medians are also compared at the ladder of thresholds.
    """
    from lensaudit.errors import DataError
    from lensaudit.evaluation.selection import LADDER, Threshold, require_truth, selection_function

    try:
        require_truth(lens_set)
    except DataError:
        return None
    if not (np.isfinite(scores.p_lens) & (lens_set.labels == 1)).any():
        return None
    return selection_function(scores, lens_set, (Threshold(threshold), *LADDER), seed=seed).as_json()
