"""Areas under the ROC curves of several finders on the same images, and whether they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from lensaudit.statistics.auroc import placements
from lensaudit.statistics.bootstrap import RESAMPLES

Array = NDArray[np.float64]

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
        return float(2 * norm.sf(gap / math.sqrt(variance)))


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
    sorted_scores = [_Sorted.of(lenses[:, k], others[:, k]) for k in range(lenses.shape[1])]
    drawn = np.empty((resamples, lenses.shape[1]))
    for first in range(0, resamples, _AT_ONCE):
        rows = min(_AT_ONCE, resamples - first)
        counts1 = generator.multinomial(n1, np.full(n1, 1 / n1), size=rows).astype(np.float32)
        counts0 = generator.multinomial(n0, np.full(n0, 1 / n0), size=rows).astype(np.float32)
        for k, one in enumerate(sorted_scores):
            drawn[first : first + rows, k] = one.auroc(counts1, counts0)
    return drawn


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Which of the distinct scores, in rising order, each lens (n1,) and each non-lens (n0,) has."""

    of_lens: NDArray[np.intp]
    of_other: NDArray[np.intp]
    levels: int

    @classmethod
    def of(cls, lenses: Array, others: Array) -> _Sorted:
        level = rankdata(np.concatenate([lenses, others]), method="dense").astype(np.intp) - 1
        return cls(level[: len(lenses)], level[len(lenses) :], int(level.max()) + 1)

    def auroc(self, lens_counts: NDArray[np.float32], other_counts: NDArray[np.float32]) -> Array:
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
