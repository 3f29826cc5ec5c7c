"""Area under the ROC curve, with DeLong's interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from lensaudit.statistics.proportions import normal_quantile, wilson_interval

Array = NDArray[np.float64]


def auroc(lenses: ArrayLike, others: ArrayLike) -> float:
    """Probability that a lens scores above a non-lens, ties counting half; NaN if a class is empty.

    Parameters
    ----------
    lenses, others
        Scores (n1,) and (n0,).
    """
    above, _ = placements(np.asarray(lenses, float), np.asarray(others, float))
    return float(above.mean()) if len(above) else math.nan


def auroc_variance(lenses: ArrayLike, others: ArrayLike) -> float:
    """Variance of the AUROC by DeLong, DeLong & Clarke-Pearson (1988); NaN with fewer than two of a class."""
    above, below = placements(np.asarray(lenses, float), np.asarray(others, float))
    if min(len(above), len(below)) < 2:
        return math.nan
    return float(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))


def auroc_interval(lenses: ArrayLike, others: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """DeLong's interval on the log-odds scale, which stays within (0, 1) and covers better near 1 (Pepe 2003).

    Where every lens scores above every non-lens, or below, DeLong's variance is zero though nothing is certain: then
    it is Wilson's interval with the size of the smaller class, which is too wide rather than too narrow.

    Returns
    -------
    low, high
        (NaN, NaN) with fewer than two of a class.
    """
    area, variance = auroc(lenses, others), auroc_variance(lenses, others)
    if math.isnan(variance):
        return math.nan, math.nan
    if area in (0.0, 1.0):
        n = min(len(np.asarray(lenses)), len(np.asarray(others)))
        return wilson_interval(round(area * n), n, confidence)
    centre = math.log(area / (1 - area))
    half = normal_quantile(confidence) * math.sqrt(variance) / (area * (1 - area))
    return _sigmoid(centre - half), _sigmoid(centre + half)


def placements(lenses: Array, others: Array) -> tuple[Array, Array]:
    """Share of non-lenses below each lens (n1,), and of lenses above each non-lens (n0,), ties counting half.

    Their means are the AUROC, their variances what DeLong's rests on. By mid-ranks (Sun & Xu 2014), in n log n.
    """
    n1, n0 = len(lenses), len(others)
    if np.isnan(lenses).any() or np.isnan(others).any():
        raise ValueError("scores must be without NaN")
    if not n1 or not n0:
        return np.empty(0), np.empty(0)
    together = rankdata(np.concatenate([lenses, others]))
    above = (together[:n1] - rankdata(lenses)) / n0
    below = 1 - (together[n1:] - rankdata(others)) / n1
    return above, below


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
