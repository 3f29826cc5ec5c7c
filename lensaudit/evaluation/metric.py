"""What an evaluation consists of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from lensaudit.evaluation.roc_band import RocBand
from lensaudit.statistics import Confusion

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
