"""Rank correlation of many quantities with a few, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr
from scipy.stats import rankdata

from lensaudit.statistics.proportions import normal_quantile

FEWEST = 4
"""Pairs that an interval needs: its standard error has n − 3 under the root."""


@dataclass(frozen=True, eq=False)
class RankCorrelations:
    """Spearman's ρ of k quantities with c others.

    Attributes
    ----------
    rho
        In [−1, 1], float64 (k, c); NaN where a quantity is constant or there are fewer than 4 pairs.
    low, high
        Ends of the two-sided interval, float64 (k, c); both ρ where |ρ| is 1.
    p
        Two-sided p-value of no correlation, float64 (k, c).
    n
        Pairs, int64 (c,).
    """

    rho: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]
    n: NDArray[np.int64]


def spearman(values: ArrayLike, columns: ArrayLike, confidence: float = 0.95) -> RankCorrelations:
    """Spearman's rank correlation of every column of `values` with every column of `columns`; ties get mean ranks.

    The interval is that of Bonett & Wright 2000 (Psychometrika 65, 23): atanh ρ ± z √((1 + ρ²/2) / (n − 3)). The
    p-value takes ρ √((n − 2) / (1 − ρ²)) for Student's t with n − 2 degrees of freedom, as scipy does. Both are rough
    below ten pairs.

    Parameters
    ----------
    values
        Finite numbers (n, k).
    columns
        Numbers (n, c); a row that is not finite is left out for that column alone.
    confidence
        Two-sided, in (0, 1).
    """
    x, y = np.asarray(values), np.asarray(columns, float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"values {x.shape} and columns {y.shape} must be two-dimensional and equally long")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite")
    known = np.isfinite(y)
    rho = np.full((x.shape[1], y.shape[1]), np.nan)
    for mask in np.unique(known, axis=1).T if y.shape[1] else ():  # ranks are shared by columns with the same gaps
        same = (known == mask[:, None]).all(axis=0)
        rho[:, same] = _standard_ranks(x[mask]).T @ _standard_ranks(y[mask][:, same])
    n = known.sum(axis=0)
    rho = np.where(n >= FEWEST, np.clip(rho, -1, 1), np.nan)
    low, high = _interval(rho, n, confidence)
    return RankCorrelations(rho, low, high, _p_value(rho, n), n)


def _standard_ranks(numbers: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks of each column, less their mean, as unit vectors; NaN for a constant column."""
    if not len(numbers):
        return np.full(numbers.shape, np.nan)
    ranks = rankdata(numbers, axis=0) - (len(numbers) + 1) / 2
    lengths = np.sqrt((ranks**2).sum(axis=0))
    return ranks / np.where(lengths > 0, lengths, np.nan)


def _interval(
    rho: NDArray[np.float64], n: NDArray[np.int64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    half = normal_quantile(confidence) * np.sqrt((1 + rho**2 / 2) / np.maximum(n - 3, 1))
    with np.errstate(divide="ignore"):
        z = np.arctanh(rho)  # ±infinity at ±1, whose tanh is ±1 again
    return np.tanh(z - half), np.tanh(z + half)


def _p_value(rho: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    freedom = np.maximum(n - 2, 1)
    with np.errstate(divide="ignore"):
        t = np.abs(rho) * np.sqrt(freedom / (1 - rho**2))
    return np.where(np.isnan(rho), np.nan, 2 * stdtr(freedom, -t))
