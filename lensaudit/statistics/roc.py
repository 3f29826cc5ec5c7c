"""The receiver operating characteristic, and single points of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from lensaudit.statistics.bootstrap import RESAMPLES
from lensaudit.statistics.proportions import normal_quantile, wilson_interval

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


def auroc(lenses: ArrayLike, others: ArrayLike) -> float:
    """Probability that a lens scores above a non-lens, ties counting half; NaN if a class is empty.

    Parameters
    ----------
    lenses, others
        Scores (n1,) and (n0,).
    """
    above, _ = placements(np.asarray(lenses, float), np.asarray(others, float))
    return float(above.mean()) if len(above) else math.nan


def auroc_variance(lenses: ArrayLike, others: ArrayLike) -> float:
    """Variance of the AUROC by DeLong, DeLong & Clarke-Pearson (1988); NaN with fewer than two of a class."""
    above, below = placements(np.asarray(lenses, float), np.asarray(others, float))
    if min(len(above), len(below)) < 2:
        return math.nan
    return float(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))


def auroc_interval(lenses: ArrayLike, others: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """DeLong's interval on the log-odds scale, which stays within (0, 1) and covers better near 1 (Pepe 2003).

    Where every lens scores above every non-lens, or below, DeLong's variance is zero though nothing is certain: then
    it is Wilson's interval with the size of the smaller class, which is too wide rather than too narrow.

    Returns
    -------
    low, high
        (NaN, NaN) with fewer than two of a class.
    """
    area, variance = auroc(lenses, others), auroc_variance(lenses, others)
    if math.isnan(variance):
        return math.nan, math.nan
    if area in (0.0, 1.0):
        n = min(len(np.asarray(lenses)), len(np.asarray(others)))
        return wilson_interval(round(area * n), n, confidence)
    centre = math.log(area / (1 - area))
    half = normal_quantile(confidence) * math.sqrt(variance) / (area * (1 - area))
    return _sigmoid(centre - half), _sigmoid(centre + half)


def placements(lenses: Array, others: Array) -> tuple[Array, Array]:
    """Fraction of non-lenses below each lens (n1,), and of lenses above each non-lens (n0,), ties counting half.

    Their means are the AUROC, their variances what DeLong's rests on. By mid-ranks (Sun & Xu 2014), in n log n.
    """
    n1, n0 = len(lenses), len(others)
    if np.isnan(lenses).any() or np.isnan(others).any():
        raise ValueError("scores must be without NaN")
    if not n1 or not n0:
        return np.empty(0), np.empty(0)
    from scipy.stats import rankdata  # half a second that most commands need not wait

    together = rankdata(np.concatenate([lenses, others]))
    above = (together[:n1] - rankdata(lenses)) / n0
    below = 1 - (together[n1:] - rankdata(others)) / n1
    return above, below


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


_AT_ONCE = 500  # resamples in memory: 16 MB for 4 000 images


@dataclass(frozen=True, eq=False)
class PairedAuroc:
    """AUROC of f finders on the same images.

    Attributes
    ----------
    value
        Float64 (f,).
    covariance
        By DeLong, DeLong & Clarke-Pearson 1988, float64 (f, f).
    drawn
        The same resamples of the images for all, float64 (resamples, f).
    """

    value: Array
    covariance: Array
    drawn: Array

    def difference(self, first: int, second: int, confidence: float = 0.95) -> tuple[float, float, float]:
        """AUROC of `first` less that of `second`, with its bootstrap interval over the same images."""
        tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
        low, high = np.quantile(self.drawn[:, first] - self.drawn[:, second], tails)
        return float(self.value[first] - self.value[second]), float(low), float(high)

    def p_value(self, first: int, second: int) -> float:
        """Two-sided p-value of equal areas (DeLong et al. 1988); 1 where the two rank all images alike."""
        c = self.covariance
        variance = c[first, first] + c[second, second] - 2 * c[first, second]
        gap = abs(self.value[first] - self.value[second])
        if variance <= 1e-15:  # rounding of two equal rankings
            return 1.0 if gap < 1e-12 else 0.0
        return float(2 * ndtr(-gap / math.sqrt(variance)))


def paired_auroc(
    lenses: ArrayLike, others: ArrayLike, generator: np.random.Generator, resamples: int = RESAMPLES
) -> PairedAuroc:
    """AUROC of f finders on the same lenses and non-lenses, which are resampled together for all, classes apart.

    Parameters
    ----------
    lenses, others
        Scores (n1, f) and (n0, f), a column per finder; at least two of each.
    """
    above, below = np.asarray(lenses, float), np.asarray(others, float)
    if above.ndim != 2 or below.ndim != 2 or above.shape[1] != below.shape[1] or min(len(above), len(below)) < 2:
        raise ValueError(f"scores {above.shape} and {below.shape}: two or more rows each and equal columns are needed")
    placed = [placements(above[:, k], below[:, k]) for k in range(above.shape[1])]
    lens_part, other_part = (np.stack([one[side] for one in placed]) for side in (0, 1))
    covariance = np.atleast_2d(np.cov(lens_part)) / len(above) + np.atleast_2d(np.cov(other_part)) / len(below)
    return PairedAuroc(lens_part.mean(axis=1), covariance, _resampled(above, below, generator, resamples))


def _resampled(lenses: Array, others: Array, generator: np.random.Generator, resamples: int) -> Array:
    """AUROC (resamples, f); how often each image is drawn is drawn once for all finders."""
    n1, n0 = len(lenses), len(others)
    sorted_scores = [SortedScores.of(lenses[:, k], others[:, k]) for k in range(lenses.shape[1])]
    drawn = np.empty((resamples, lenses.shape[1]))
    for first in range(0, resamples, _AT_ONCE):
        rows = min(_AT_ONCE, resamples - first)
        counts1 = generator.multinomial(n1, np.full(n1, 1 / n1), size=rows).astype(np.float32)
        counts0 = generator.multinomial(n0, np.full(n0, 1 / n0), size=rows).astype(np.float32)
        for k, one in enumerate(sorted_scores):
            drawn[first : first + rows, k] = one.auroc(counts1, counts0)
    return drawn


@dataclass(frozen=True, eq=False)
class SortedScores:
    """Which of the distinct scores, in rising order, each lens (n1,) and each non-lens (n0,) has, for resampling."""

    of_lens: NDArray[np.intp]
    of_other: NDArray[np.intp]
    levels: int

    @classmethod
    def of(cls, lenses: Array, others: Array) -> SortedScores:
        """Of the scores (n1,) and (n0,)."""
        level = np.unique(np.concatenate([lenses, others]), return_inverse=True)[1].astype(np.intp)
        return cls(level[: len(lenses)], level[len(lenses) :], int(level.max()) + 1)

    def auroc(self, lens_counts: NDArray[Any], other_counts: NDArray[Any]) -> Array:
        """Area (rows,) where image i counts as often as its column says; ties count half."""
        order = np.argsort(self.of_other, kind="stable")
        cumulated = np.cumsum(other_counts[:, order], axis=1, dtype=np.float64)
        ends = np.searchsorted(self.of_other[order], np.arange(self.levels), side="right")
        padded = np.concatenate([np.zeros((len(cumulated), 1)), cumulated], axis=1)
        upto = padded[:, ends]  # non-lenses at or below each level
        below = np.concatenate([np.zeros((len(upto), 1)), upto[:, :-1]], axis=1)
        placed = (below + upto)[:, self.of_lens] / 2
        area: Array = (placed * lens_counts).sum(axis=1) / (lens_counts.sum(axis=1) * padded[:, -1])
        return area
