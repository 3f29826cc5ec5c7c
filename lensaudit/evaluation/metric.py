"""What an evaluation consists of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.records import Floats, Json, Number, Record
from lensaudit.statistics import Confusion

Array = NDArray[np.float64]

POINTS = 200
BAND_RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class RocBand(Record):
    """Highest recall at each false-positive rate, float64 (m,), and its pointwise 95 % bootstrap band."""

    ALSO = ("method",)

    fpr: Floats
    tpr: Floats
    low: Floats
    high: Floats

    @property
    def method(self) -> str:
        """How the band was made."""
        return f"pointwise bootstrap, classes resampled apart, {BAND_RESAMPLES} resamples"

    def to_json(self) -> Json:
        """Lists of numbers, rounded to 1e-6."""
        rounded = {name: np.round(getattr(self, name), 6).tolist() for name in ("fpr", "tpr", "low", "high")}
        return {**rounded, "method": self.method}


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
    """Fraction of lenses above the threshold with at most so many false positives, for each of `allowed`."""
    falling = np.sort(others)[::-1]
    thresholds = np.r_[falling, -np.inf][allowed]
    ordered = np.sort(lenses)
    return 1 - np.searchsorted(ordered, thresholds, side="right") / len(ordered)


CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metric(Record):
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
    value: Number
    low: Number
    high: Number
    n: int
    method: str
    status: str = ""


@dataclass(frozen=True)
class Evaluation(Record):
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

    ALSO = ("confidence", "n", "n_lenses", "n_non_lenses")

    metrics: tuple[Metric, ...]
    threshold: float
    beta: float
    fpr: float
    counts: Confusion
    n_unlabelled: int
    n_unscored: int
    roc: RocBand | None

    @property
    def confidence(self) -> float:
        """Of every interval."""
        return CONFIDENCE

    @property
    def n(self) -> int:
        """Images measured on."""
        return self.counts.n

    @property
    def n_lenses(self) -> int:
        """Lenses measured on."""
        return self.counts.tp + self.counts.fn

    @property
    def n_non_lenses(self) -> int:
        """Non-lenses measured on."""
        return self.counts.fp + self.counts.tn

    def metric(self, name: str) -> Metric:
        """The metric called `name`; KeyError if there is none."""
        return {metric.name: metric for metric in self.metrics}[name]
