"""Fractions of a whole with their intervals, counts of calls, and whether probabilities mean what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, xlogy

from lensaudit.records import Json, Number, Record


def wilson_interval(k: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of Wilson (1927) for a fraction k / n.

    Parameters
    ----------
    k, n
        Successes and trials, 0 ≤ k ≤ n; not whole where they stand for fewer independent ones.
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
    from scipy.stats import binomtest  # half a second that most commands need not wait

    return float(binomtest(k, n, probability).pvalue)


def normal_quantile(confidence: float) -> float:
    """Number of standard deviations of a two-sided interval: 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    return float(ndtri(0.5 + confidence / 2))


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


def gap_interval(worse: Proportion, better: Proportion, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of better − worse for two independent rates (Newcombe 1998, method 10, from Wilson intervals)."""
    gap = better.value - worse.value
    low, high = wilson_interval(worse.k, worse.n, confidence)
    better_low, better_high = wilson_interval(better.k, better.n, confidence)
    below = math.hypot(better.value - better_low, high - worse.value)
    above = math.hypot(better_high - better.value, worse.value - low)
    return gap - below, gap + above


def gap_beyond_p(worse: Proportion, better: Proportion, tolerance: float) -> float:
    """p-value that better − worse is no more than `tolerance`: that of the interval that just reaches it; ≥ 1e-12."""
    from scipy.optimize import brentq

    def above(log_p: float) -> float:
        return gap_interval(worse, better, 1 - math.exp(log_p))[0] - tolerance

    least, most = math.log(1e-12), -1e-9
    if above(most) <= 0:
        return 1.0
    return math.exp(least if above(least) > 0 else brentq(above, least, most))


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


Array = NDArray[np.float64]

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin(Record):
    """One bin (left, right] of p: what was predicted and what was.

    Attributes
    ----------
    left, right
        Edges of the bin; the first one includes 0.
    mean_p
        Mean p of its images; NaN without one.
    lenses
        Lenses among its images.
    """

    left: float
    right: float
    mean_p: Number
    lenses: Proportion

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "said" not in words:
            return words
        lenses = {name: words[name] for name in ("k", "n", "low", "high")}
        return {"left": words["left"], "right": words["right"], "mean_p": words["said"], "lenses": lenses}


def entropy(p: ArrayLike) -> NDArray[np.float64]:
    """Entropy of a yes or no with probability `p`, in nats; at most ln 2.

    Examples
    --------
    >>> entropy([0.5, 1.0]).round(4)
    array([0.6931, 0.    ])
    """
    chance = np.asarray(p, np.float64)
    return np.asarray(-xlogy(chance, chance) - xlogy(1 - chance, 1 - chance))


def brier_score(labels: ArrayLike, p: ArrayLike) -> float:
    """Mean of (p − label)² (Brier 1950): 0 is perfect, always saying the fraction s of lenses gives s (1 − s).

    Parameters
    ----------
    labels
        1 or 0 (n,).
    p
        Probabilities of 1 (n,).
    """
    y, said = _checked(labels, p)
    return float(np.mean((said - y) ** 2)) if len(y) else math.nan


def expected_calibration_error(labels: ArrayLike, p: ArrayLike, bins: int = BINS) -> float:
    """Mean over images of |fraction of lenses − mean p| of their bin, bins equally wide (Naeini et al. 2015)."""
    y, said = _checked(labels, p)
    return _error(y, said, _bins_of(said, bins), bins) if len(y) else math.nan


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error with its interval.

    Attributes
    ----------
    value
        Of these images; above 0 by chance alone, the more so the fewer there are.
    low, high
        Interval of the error itself.
    by_chance
        What `value` would stay below in 95 % of such sets were every p exactly right.
    """

    value: float
    low: float
    high: float
    by_chance: float


def calibration_error(
    labels: ArrayLike,
    p: ArrayLike,
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    bins: int = BINS,
) -> CalibrationError:
    """Expected calibration error, its bootstrap interval, and what chance gives.

    A resample's error has the chance of two drawings in it and lies too high; the basic interval, 2 × value less the
    quantiles, takes that out again to first order (Davison & Hinkley 1997, Section 5.2). It is widened to the value
    itself, and to 0 where the value is no larger than chance gives a calibrated finder, whose labels are drawn from
    its own probabilities (Bröcker & Smith 2007).
    """
    y, said = _checked(labels, p)
    if not len(y):
        return CalibrationError(math.nan, math.nan, math.nan, math.nan)
    bin_of = _bins_of(said, bins)
    drawn, calibrated = np.empty(resamples), np.empty(resamples)
    for row in range(resamples):
        chosen = generator.integers(len(y), size=len(y))
        drawn[row] = _error(y[chosen], said[chosen], bin_of[chosen], bins)
        calibrated[row] = _error((generator.random(len(y)) < said).astype(float), said, bin_of, bins)
    value, by_chance = _error(y, said, bin_of, bins), float(np.quantile(calibrated, confidence))
    low, high = np.clip(2 * value - np.quantile(drawn, [0.5 + confidence / 2, 0.5 - confidence / 2]), 0, 1)
    low = 0.0 if value <= by_chance else min(float(low), value)
    return CalibrationError(value, low, max(float(high), value), by_chance)


def reliability(labels: ArrayLike, p: ArrayLike, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Fraction of lenses against the mean probability, in equally wide bins of it."""
    y, said = _checked(labels, p)
    bin_of = _bins_of(said, bins)
    found = []
    for index in range(bins):
        inside = bin_of == index
        k, n = int(y[inside].sum()), int(inside.sum())
        mean = float(said[inside].mean()) if n else math.nan
        found.append(ReliabilityBin(index / bins, (index + 1) / bins, mean, Proportion.of(k, n)))
    return tuple(found)


def _error(y: Array, said: Array, bin_of: NDArray[np.intp], bins: int) -> float:
    """Σ over bins of |Σ (label − p)| / n: the bins' fractions and their weights in one."""
    return float(np.abs(np.bincount(bin_of, weights=y - said, minlength=bins)).sum()) / len(y)


def _bins_of(said: Array, bins: int) -> NDArray[np.intp]:
    """Bin of each p, right edges inside, as scikit-learn's ``calibration_curve`` has them."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], said)


def _checked(labels: ArrayLike, p: ArrayLike) -> tuple[Array, Array]:
    y, said = np.asarray(labels, float), np.asarray(p, float)
    if y.shape != said.shape or y.ndim != 1:
        raise ValueError(f"labels {y.shape} and probabilities {said.shape} must be equally long lists")
    if not (((said >= 0) & (said <= 1)).all() and np.isin(y, (0, 1)).all()):
        raise ValueError("labels must be 0 or 1 and probabilities in [0, 1]")
    return y, said
