"""What an evaluation consists of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.statistics import Confusion

Array = NDArray[np.float64]

POINTS = 200
BAND_RESAMPLES = 500


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
        return {**words, "method": f"pointwise bootstrap, classes resampled apart, {BAND_RESAMPLES} resamples"}


def roc_band(lenses: Array, others: Array, generator: np.random.Generator, confidence: float = 0.95) -> RocBand:
    """Curve and band from scores of lenses (n1,) and non-lenses (n0,), both with at least one."""
    allowed = allowed_counts(len(others))
    drawn = np.empty((BAND_RESAMPLES, len(allowed)))
    for row in range(BAND_RESAMPLES):
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


CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metric:
    """One number with its interval.

    Attributes
    ----------
    name
        ``accuracy``, ``precision``, ``recall``, ``fbeta``, ``auroc``, ``tpr0``, ``tpr10`` or ``tpr_at_fpr``.
    value, low, high
        The number and its 95 % interval; NaN where it does not exist.
    n
        Images it is measured on.
    method
        How the interval was made.
    status
        Empty, or why the number or its interval does not exist.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    method: str
    status: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values; what does not exist is None."""
        words = asdict(self)
        return {**words, **{name: _or_none(words[name]) for name in ("value", "low", "high")}}


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one finder on one set.

    Attributes
    ----------
    metrics
        In the order of the table.
    threshold, beta, fpr
        What counts as a lens (p ≥ threshold), the β of Fβ, the rate of ``tpr_at_fpr``.
    counts
        Calls at the threshold.
    n_unlabelled, n_unscored
        Images left out: of unknown label, and labelled but without a score.
    roc
        The curve with its band; None with one class only.
    """

    metrics: tuple[Metric, ...]
    threshold: float
    beta: float
    fpr: float
    counts: Confusion
    n_unlabelled: int
    n_unscored: int
    roc: RocBand | None

    @property
    def n_lenses(self) -> int:
        """Lenses measured on."""
        return self.counts.tp + self.counts.fn

    @property
    def n_others(self) -> int:
        """Non-lenses measured on."""
        return self.counts.fp + self.counts.tn

    def metric(self, name: str) -> Metric:
        """The metric called `name`; KeyError if there is none."""
        return {metric.name: metric for metric in self.metrics}[name]

    def as_json(self) -> dict[str, Any]:
        """Plain values; what does not exist is None."""
        return {
            "threshold": self.threshold,
            "beta": self.beta,
            "fpr": self.fpr,
            "confidence": CONFIDENCE,
            "n": self.counts.n,
            "n_lenses": self.n_lenses,
            "n_non_lenses": self.n_others,
            "n_unlabelled": self.n_unlabelled,
            "n_unscored": self.n_unscored,
            "counts": asdict(self.counts),
            "metrics": [metric.as_json() for metric in self.metrics],
            "roc": None if self.roc is None else self.roc.as_json(),
        }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
