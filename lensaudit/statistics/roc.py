"""The receiver operating characteristic, and single points of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

FALSE_POSITIVES_OF_TPR10 = 9
"""TPR10 of the Bologna challenge: fewer than ten false positives."""


@dataclass(frozen=True)
class Roc:
    """False- and true-positive rates, float64 (m,), of calling score ≥ threshold; from (0, 0) at +∞ to (1, 1)."""

    fpr: Array
    tpr: Array
    thresholds: Array


def roc_curve(lenses: ArrayLike, others: ArrayLike) -> Roc:
    """ROC of scores of lenses (n1,) and non-lenses (n0,), one point per distinct score; equal scores share one.

    Raises
    ------
    ValueError
        One of the classes is empty.
    """
    positive, negative = _scores(lenses), _scores(others)
    if not len(positive) or not len(negative):
        raise ValueError("an ROC curve needs lenses and non-lenses")
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    fpr = at_least(negative, thresholds) / len(negative)
    tpr = at_least(positive, thresholds) / len(positive)
    return Roc(np.r_[0.0, fpr], np.r_[0.0, tpr], np.r_[math.inf, thresholds])


def at_least(scores: Array, thresholds: Array) -> NDArray[np.int64]:
    """How many scores reach each threshold."""
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")).astype(np.int64)


def tpr_with_false_positives(lenses: ArrayLike, others: ArrayLike, allowed: int) -> float:
    """Highest share of lenses found by a threshold with at most `allowed` false positives.

    Such a threshold lies just above the score of the first non-lens too many; with no more non-lenses than that, every
    lens is found. NaN without lenses or without non-lenses.
    """
    positive, negative = _scores(lenses), _scores(others)
    if not len(positive) or not len(negative):
        return math.nan
    return float(np.mean(positive > strict_threshold(negative, allowed)))


def strict_threshold(others: Array, allowed: int) -> float:
    """Score above which at most `allowed` of the non-lenses lie; −∞ if there are no more than that."""
    if allowed < 0:
        raise ValueError(f"{allowed} false positives are no count")
    if allowed >= len(others):
        return -math.inf
    index = len(others) - 1 - allowed
    return float(np.partition(others, index)[index])


def tpr0(lenses: ArrayLike, others: ArrayLike) -> float:
    """Highest true-positive rate without a false positive."""
    return tpr_with_false_positives(lenses, others, 0)


def tpr10(lenses: ArrayLike, others: ArrayLike) -> float:
    """Highest true-positive rate with fewer than ten false positives."""
    return tpr_with_false_positives(lenses, others, FALSE_POSITIVES_OF_TPR10)


def tpr_at_fpr(lenses: ArrayLike, others: ArrayLike, fpr: float = 0.01) -> float:
    """Highest true-positive rate at a false-positive rate of at most `fpr`, in [0, 1]."""
    return tpr_with_false_positives(lenses, others, allowed_false_positives(len(_scores(others)), fpr))


def allowed_false_positives(others: int, fpr: float) -> int:
    """Whole number of false positives that `fpr` allows among so many non-lenses."""
    if not 0 <= fpr <= 1:
        raise ValueError(f"a false-positive rate of {fpr} is not between 0 and 1")
    return math.floor(fpr * others + 1e-9)  # 0.07 × 100 is 7.000000000000001, 0.29 × 100 is 28.999999999999996


def _scores(values: ArrayLike) -> Array:
    scores = np.asarray(values, float)
    if scores.ndim != 1 or np.isnan(scores).any():
        raise ValueError("scores must be one-dimensional and without NaN")
    return scores
