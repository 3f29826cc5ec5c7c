"""The ROC curve at readable false-positive rates, with a pointwise band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POINTS = 200
RESAMPLES = 500


@dataclass(frozen=True)
class RocBand:
    """Highest recall at each false-positive rate, float64 (m,), and its pointwise 95 % bootstrap band."""

    fpr: Array
    tpr: Array
    low: Array
    high: Array

    def as_json(self) -> dict[str, Any]:
        """Lists of numbers, rounded to 1e-6."""
        words: dict[str, Any] = {
            name: np.round(getattr(self, name), 6).tolist() for name in ("fpr", "tpr", "low", "high")
        }
        return {**words, "method": f"pointwise bootstrap, classes resampled apart, {RESAMPLES} resamples"}


def roc_band(lenses: Array, others: Array, generator: np.random.Generator, confidence: float = 0.95) -> RocBand:
    """Curve and band from scores of lenses (n1,) and non-lenses (n0,), both with at least one."""
    allowed = allowed_counts(len(others))
    drawn = np.empty((RESAMPLES, len(allowed)))
    for row in range(RESAMPLES):
        positive = lenses[generator.integers(len(lenses), size=len(lenses))]
        negative = others[generator.integers(len(others), size=len(others))]
        drawn[row] = recalls(positive, negative, allowed)
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
    low, high = np.quantile(drawn, tails, axis=0)
    return RocBand(allowed / len(others), recalls(lenses, others, allowed), low, high)


def allowed_counts(others: int) -> NDArray[np.int64]:
    """Numbers of false positives to draw the curve at: every few of them, closer together near none."""
    if others < POINTS:
        return np.arange(others + 1)
    spread = np.r_[0, np.geomspace(1, others, POINTS // 2), np.linspace(0, others, POINTS // 2)]
    return np.unique(np.round(spread).astype(np.int64))


def recalls(lenses: Array, others: Array, allowed: NDArray[np.int64]) -> Array:
    """Share of lenses above the threshold with at most so many false positives, for each of `allowed`."""
    falling = np.sort(others)[::-1]
    thresholds = np.r_[falling, -np.inf][allowed]
    ordered = np.sort(lenses)
    return 1 - np.searchsorted(ordered, thresholds, side="right") / len(ordered)
