"""The ROC curve of the page: recall at a given number of false positives, with a pointwise bootstrap band."""

from __future__ import annotations

from typing import Any

import numpy as np

RESAMPLES = 1000
MOST_POINTS = 400
METHOD = f"pointwise 95\u202f% bootstrap over lenses and non-lenses apart, {RESAMPLES} resamples"


def roc_block(lenses: np.ndarray, non_lenses: np.ndarray, rng: np.random.Generator) -> dict[str, Any] | None:
    """Points of the curve and its band; ``None`` without lenses or non-lenses.

    Parameters
    ----------
    lenses, non_lenses
        Scores, finite, shapes (n,) and (m,). The recall at k false positives is the share of lenses that score above
        the (k + 1)-th highest non-lens; a tie counts against the finder.
    """
    n, m = len(lenses), len(non_lenses)
    if n == 0 or m == 0:
        return None
    alarms = _numbers_of_alarms(m)
    drawn = np.array([_recall_at(rng.choice(lenses, n), rng.choice(non_lenses, m), alarms) for _ in range(RESAMPLES)])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return {
        "fpr": (alarms / m).tolist(),
        "tpr": _recall_at(lenses, non_lenses, alarms).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "n_lenses": n,
        "n_nonlenses": m,
        "method": METHOD,
    }


def _numbers_of_alarms(m: int) -> np.ndarray:
    """0 … m, thinned evenly in logarithm and in number where there are too many to draw."""
    if m <= MOST_POINTS:
        return np.arange(m + 1)
    half = MOST_POINTS // 2
    spread = np.concatenate([[0], np.geomspace(1, m, half), np.linspace(0, m, half)])
    return np.unique(np.round(spread).astype(int))


def _recall_at(lenses: np.ndarray, non_lenses: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    highest_first = np.concatenate([np.sort(non_lenses)[::-1], [-np.inf]])
    below = np.searchsorted(np.sort(lenses), highest_first[alarms], side="right")
    return np.asarray((len(lenses) - below) / len(lenses))
