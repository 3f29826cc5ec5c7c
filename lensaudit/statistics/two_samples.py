"""Whether two samples come from one distribution: AUROC of a cross-validated classifier, maximum mean discrepancy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtri

from lensaudit.statistics.proportions import normal_quantile, wilson_interval
from lensaudit.statistics.roc import placements

Array = NDArray[np.float64]

FEW = 20
"""With fewer of one sample DeLong's variance means nothing."""

SHARED = 2.0
"""Variance of a cross-validated AUROC over DeLong's: the folds' classifiers share most of their training data.

With k folds of equal size two folds' areas have a correlation of 1/(k − 1) where a linear classifier finds nothing, so
that the variance of their mean is twice that of independent ones, whatever k. (Nadeau & Bengio 2003 correct by
1 + k/(k − 1).) Where the classifier is stable it is less, and the interval too wide rather than too narrow.
"""


def cross_validated_auroc(
    scores: ArrayLike, positive: ArrayLike, fold: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """AUROC of out-of-fold scores with its interval: each fold is ranked by itself, for it has its own classifier.

    Parameters
    ----------
    scores
        Out-of-fold scores (n,).
    positive
        Which of them are of the class that scores high (n,).
    fold
        Number of the fold of each (n,); a fold without one of the classes is left out.

    Returns
    -------
    value, low, high
        The interval is DeLong's on the log-odds scale with `SHARED` times its variance. With fewer than `FEW` of a
        class it is Wilson's for half the smaller class, as it is for the whole one where all are told apart: both are
        too wide rather than too narrow. NaN where no fold has both classes.
    """
    s, y, k = np.asarray(scores, float), np.asarray(positive, bool), np.asarray(fold)
    above, below = [], []
    for one in np.unique(k):
        mine = k == one
        if y[mine].any() and not y[mine].all():
            placed = placements(s[mine & y], s[mine & ~y])
            above.append(placed[0])
            below.append(placed[1])
    if not above:
        return math.nan, math.nan, math.nan
    upper, lower = np.concatenate(above), np.concatenate(below)
    area, n = float(upper.mean()), min(len(upper), len(lower))
    if n < FEW or area in (0.0, 1.0):
        size = n / SHARED if n < FEW else n
        return area, *wilson_interval(area * size, size, confidence)
    within = [sum(((part - part.mean()) ** 2).sum() for part in parts) for parts in (above, below)]
    freedom = [len(parts) - len(groups) for parts, groups in ((upper, above), (lower, below))]
    variance = SHARED * sum(w / f / len(p) for w, f, p in zip(within, freedom, (upper, lower), strict=True))
    centre = math.log(area / (1 - area))
    half = normal_quantile(confidence) * math.sqrt(variance) / (area * (1 - area))
    return area, float(expit(centre - half)), float(expit(centre + half))


@dataclass(frozen=True)
class MeanDiscrepancy:
    """Squared maximum mean discrepancy of two samples.

    Attributes
    ----------
    squared
        Unbiased estimate, which may lie below 0.
    p
        Of a permutation test that both samples come from one distribution.
    bandwidth
        Of the Gaussian kernel exp(−d²/2b²).
    """

    squared: float
    p: float
    bandwidth: float


def mean_discrepancy(
    first: ArrayLike, second: ArrayLike, generator: np.random.Generator, permutations: int = 499
) -> MeanDiscrepancy:
    """Maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012, Eq. 3), its bandwidth the median distance.

    Time and memory grow with the square of the samples: (n + m)² float32 numbers, and 2 (n + m)² × `permutations`
    operations.

    Parameters
    ----------
    first, second
        Points (n, d) and (m, d), at least two of each, without NaN.
    generator
        Of the permutations.
    permutations
        At least 1.

    Raises
    ------
    ValueError
        Shapes do not fit, or there are too few.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2 or permutations < 1:
        raise ValueError(f"points {x.shape} and {y.shape}: two or more rows each and equal columns are needed")
    n, size = len(x), len(x) + len(y)
    squares = _square_distances(np.concatenate([x, y]))
    bandwidth = _median_distance(squares)
    kernel = np.exp(squares * np.float32(-0.5 / bandwidth**2), out=squares)
    np.fill_diagonal(kernel, 0.0)
    rows = kernel.sum(axis=1, dtype=np.float64)
    belongs = np.zeros((size, permutations + 1), np.float32)
    belongs[:n] = 1.0
    belongs[:, 1:] = generator.permuted(belongs[:, 1:], axis=0)
    inside = np.einsum("ij,ij->j", belongs, kernel @ belongs, dtype=np.float64)
    across = rows @ belongs.astype(np.float64) - inside
    outside = rows.sum() - 2 * across - inside
    found = inside / (n * (n - 1)) + outside / ((size - n) * (size - n - 1)) - 2 * across / (n * (size - n))
    slack = 1e-6 * kernel.mean(dtype=np.float64)  # float32 sums: equal partitions may differ by rounding
    p = (1 + int((found[1:] >= found[0] - slack).sum())) / (permutations + 1)
    return MeanDiscrepancy(float(found[0]), p, bandwidth)


def _square_distances(points: Array) -> NDArray[np.float32]:
    """Squared Euclidean distances (n, n), by the inner products of centred points."""
    centred = (points - points.mean(axis=0)).astype(np.float32)
    lengths = np.einsum("ij,ij->i", centred, centred)
    squares = centred @ centred.T
    squares *= -2
    squares += lengths[:, None]
    squares += lengths[None, :]
    return np.maximum(squares, 0.0, out=squares)


def _median_distance(squares: NDArray[np.float32]) -> float:
    """Median distance of different points, of at most a thousand evenly chosen ones; 1 where all are one point."""
    step = -(-len(squares) // 1000)
    chosen = squares[::step, ::step]
    distance = math.sqrt(float(np.median(chosen[np.triu_indices(len(chosen), 1)])))
    return distance if distance > 0 else math.sqrt(float(squares.max())) or 1.0


def normal_scores(values: ArrayLike) -> Array:
    """Ranks of each column (n, d) as quantiles of a normal distribution, NaN as 0: any unit, no outlier.

    They do not change when rows change places, so that a permutation test on them stays exact.
    """
    from scipy.stats import rankdata  # half a second that most commands need not wait

    x = np.asarray(values, float)
    known = np.isfinite(x)
    counts = np.maximum(known.sum(axis=0), 1)
    ranks = rankdata(np.where(known, x, np.inf), axis=0)
    scores: Array = np.where(known, ndtri((ranks - 0.5) / counts), 0.0)
    return scores
