"""Fractions of a whole with their intervals, and counts of calls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm

from lensaudit.records import Json, Number, Record


def wilson_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of Wilson (1927) for a fraction k / n.

    Parameters
    ----------
    k, n
        Successes and trials, 0 ≤ k ≤ n.
    confidence
        Two-sided, in (0, 1).

    Returns
    -------
    low, high
        In [0, 1]; (NaN, NaN) without a trial.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} successes do not fit into {n} trials")
    z = normal_quantile(confidence)
    if n == 0:
        return math.nan, math.nan
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    low = 0.0 if k == 0 else centre - half  # exactly 0 and 1 at the ends, where rounding would miss them
    high = 1.0 if k == n else centre + half
    return low, high


def binomial_exact(k: int, n: int, probability: float) -> float:
    """Two-sided exact p-value that a fraction of which k of n were seen is `probability`.

    Parameters
    ----------
    k, n
        Successes and trials, 0 ≤ k ≤ n, n ≥ 1.
    probability
        Of the hypothesis, in [0, 1].
    """
    return float(binomtest(k, n, probability).pvalue)


def normal_quantile(confidence: float) -> float:
    """Number of standard deviations of a two-sided interval: 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    return float(norm.ppf(0.5 + confidence / 2))


@dataclass(frozen=True)
class Proportion(Record):
    """`k` of `n` with the Wilson interval `low` to `high`; value and interval are NaN where n is 0.

    Examples
    --------
    >>> Proportion.of(45, 50)
    Proportion(k=45, n=50, low=0.786..., high=0.956..., confidence=0.95)
    >>> Proportion.of(45, 50).value
    0.9
    """

    ALSO: ClassVar[tuple[str, ...]] = ("value",)

    k: int
    n: int
    low: Number
    high: Number
    confidence: float = 0.95

    @classmethod
    def of(cls, k: int, n: int, confidence: float = 0.95) -> Self:
        """`k` of `n` with their interval."""
        return cls(k, n, *wilson_interval(k, n, confidence), confidence)

    @classmethod
    def among(cls, called: ArrayLike, confidence: float = 0.95) -> Self:
        """How many of `called`, boolean (n,), are true."""
        flags = np.asarray(called, bool)
        return cls.of(int(flags.sum()), flags.size, confidence)

    @property
    def value(self) -> float:
        """The fraction k / n."""
        return self.k / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the interval."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})" if self.n else "–"

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return {**words, "k": words.pop("found")} if "found" in words else words  # probes called k so


@dataclass(frozen=True)
class Confusion(Record):
    """Counts of images: found lenses, false positives, lost lenses, rejected non-lenses.

    A fraction whose denominator is zero is NaN.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        """All images."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def accuracy(self) -> float:
        """Fraction called right."""
        return _fraction(self.tp + self.tn, self.n)

    @property
    def precision(self) -> float:
        """Fraction of lenses among those called lenses (purity in this set)."""
        return _fraction(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Fraction of the lenses that were found (completeness)."""
        return _fraction(self.tp, self.tp + self.fn)

    def fbeta(self, beta: float) -> float:
        """(1 + β²) P R / (β² P + R): recall counts β times as much as precision."""
        return float(fbeta_of_counts(np.array(self.tp), np.array(self.fp), np.array(self.fn), beta))


def confusion(labels: ArrayLike, called: ArrayLike) -> Confusion:
    """Count calls (boolean) against labels (1 lens, 0 non-lens), both (n,)."""
    lens, call = np.asarray(labels) == 1, np.asarray(called, bool)
    return Confusion(
        tp=int((lens & call).sum()),
        fp=int((~lens & call).sum()),
        fn=int((lens & ~call).sum()),
        tn=int((~lens & ~call).sum()),
    )


def fbeta_of_counts(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, beta: float) -> np.ndarray:
    """Fβ of counts of any shape; NaN where there is neither a lens nor a call."""
    if beta < 0:
        raise ValueError(f"beta {beta} is below 0")
    denominator = (1 + beta**2) * tp + beta**2 * fn + fp
    safe = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, (1 + beta**2) * tp / safe, math.nan)


def _fraction(part: int, whole: int) -> float:
    """part / whole, NaN without a whole."""
    return part / whole if whole else math.nan
