"""Intervals for a share, alone and in bins of another quantity."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm


def wilson_interval(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of Wilson (1927) for a share k / n.

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
    """Two-sided exact p-value that a share of which k of n were seen is `probability`.

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
class BinnedShare:
    """Share of one bin [left, right): `k` of `n`, with its Wilson interval; NaN without an entry."""

    left: float
    right: float
    k: int
    n: int
    value: float
    low: float
    high: float


def binned_shares(
    values: ArrayLike, found: ArrayLike, edges: ArrayLike, confidence: float = 0.95
) -> tuple[BinnedShare, ...]:
    """Share of true `found` in each bin of `values`, e.g. recall against θ_E.

    Parameters
    ----------
    values
        The quantity that is binned (n,); NaN and what lies outside the edges enters no bin.
    found
        Whether each was found, boolean (n,).
    edges
        Rising bin edges (bins + 1,); the last bin includes its right edge.
    """
    quantity, hit = np.asarray(values, float), np.asarray(found, bool)
    limits = np.asarray(edges, float)
    if quantity.shape != hit.shape or quantity.ndim != 1:
        raise ValueError(f"values {quantity.shape} and found {hit.shape} must be one-dimensional and equally long")
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise ValueError("edges must be at least two rising numbers")
    bins = []
    for index, (left, right) in enumerate(itertools.pairwise(limits)):
        last = index == len(limits) - 2
        inside = (quantity >= left) & ((quantity <= right) if last else (quantity < right))
        k, n = int((hit & inside).sum()), int(inside.sum())
        share = k / n if n else math.nan
        bins.append(BinnedShare(float(left), float(right), k, n, share, *wilson_interval(k, n, confidence)))
    return tuple(bins)


@dataclass(frozen=True)
class Confusion:
    """Counts of images: found lenses, false alarms, lost lenses, rejected non-lenses.

    A share whose denominator is zero is NaN.
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
        """Share called right."""
        return share(self.tp + self.tn, self.n)

    @property
    def precision(self) -> float:
        """Share of lenses among those called lenses (purity in this set)."""
        return share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the lenses that were found (completeness)."""
        return share(self.tp, self.tp + self.fn)

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


def share(part: int, whole: int) -> float:
    """part / whole, NaN without a whole."""
    return part / whole if whole else math.nan
