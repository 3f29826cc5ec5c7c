"""What becomes of a finder's metrics where lenses are rare, from scores measured once: no image is built or repeated.

Cheng et al. 2020 repeat their non-lenses until there are 11 million. Repeating an image changes no rate, so that
precision, F1 and accuracy at one lens in R follow from recall and false-positive rate alone, and so does what the
number of different non-lenses leaves open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.errors import DataError
from lensaudit.evaluation import CONFIDENCE
from lensaudit.statistics import auroc, auroc_interval

RATIOS = (1, 2, 20, 50, 100, 1000, 10_000)
"""Non-lenses per lens, Table 1 of Cheng et al. 2020."""

DRAWS = 20_000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Between:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g}–{self.high:.3g})"

    def as_json(self) -> dict[str, float]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class AtRatio:
    """Metrics of one finder where there are `ratio` non-lenses to each lens; recall and AUROC do not depend on it."""

    ratio: float
    auroc: Between
    recall: Between
    precision: Between
    f1: Between
    accuracy: Between

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        names = ("auroc", "recall", "precision", "f1", "accuracy")
        return {"ratio": self.ratio, **{name: getattr(self, name).as_json() for name in names}}


def at_ratios(
    labels: ArrayLike,
    logits: ArrayLike,
    threshold_logit: float = 0.0,
    ratios: Sequence[float] = RATIOS,
    seed: int = 0,
) -> tuple[AtRatio, ...]:
    """Metrics at each of `ratios`.

    Intervals of precision, F1 and accuracy come from draws of recall and false-positive rate out of their Jeffreys
    posteriors (Brown, Cai & DasGupta 2001), which leave room for false positives where none was seen; that of the
    AUROC is DeLong's.

    Parameters
    ----------
    labels, logits
        1 lens, 0 non-lens, others left out, and log-odds (n,).
    threshold_logit
        An image is called a lens from here on.

    Raises
    ------
    DataError
        A class is missing.
    """
    label, score = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    lenses, others = score[label == 1], score[label == 0]
    if not (len(lenses) and len(others)):
        raise DataError("class ratios need lenses and non-lenses with labels; give a set with both as --test")
    generator = np.random.default_rng([seed, 1])
    counts = [(int((part >= threshold_logit).sum()), len(part)) for part in (lenses, others)]
    rates = [k / n for k, n in counts]
    drawn = [generator.beta(k + 0.5, n - k + 0.5, DRAWS) for k, n in counts]
    area = Between(auroc(lenses, others), *auroc_interval(lenses, others, CONFIDENCE))
    found = []
    for ratio in ratios:
        points = _metrics(np.array(rates[0]), np.array(rates[1]), ratio)
        spread = _metrics(drawn[0], drawn[1], ratio)
        found.append(AtRatio(ratio, area, *(_between(*pair) for pair in zip(points, spread, strict=True))))
    return tuple(found)


def _metrics(recall: Array, false_positive_rate: Array, ratio: float) -> tuple[Array, Array, Array, Array]:
    """Recall, precision, F1 and accuracy; a precision without a call counts as 0."""
    called = recall + ratio * false_positive_rate
    precision = np.divide(recall, called, out=np.zeros_like(called), where=called > 0)
    accuracy = (recall + ratio * (1 - false_positive_rate)) / (1 + ratio)
    return recall, precision, 2 * recall / (1 + called), accuracy


def _between(value: Array, drawn: Array) -> Between:
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Between(float(value), min(float(low), float(value)), max(float(high), float(value)))
