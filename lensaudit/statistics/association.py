"""Which quantities go with which: rank correlation, and whether the highest differ from the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtr, stdtr

from lensaudit.statistics.proportions import normal_quantile, wilson_interval

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
    from scipy.stats import rankdata  # half a second that most commands need not wait

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


Array = NDArray[np.float64]

FEWEST_IN_GROUP = 10
"""Members that a group has at least; with fewer its interval and p-value would be no more than a guess."""


@dataclass(frozen=True, eq=False)
class TopGroups:
    """Comparison of the highest of k values with the rest in c quantities.

    Attributes
    ----------
    auroc
        Probability that a member of the top group has the larger quantity, ties counting half, float64 (k, c); NaN
        where a group would have fewer than 10 members or not fit twice, or a value or quantity is constant.
    low, high
        DeLong's interval, as `lensaudit.statistics.auroc_interval`, float64 (k, c).
    p
        Two-sided p-value of no difference (Mann & Whitney, normal approximation with ties), float64 (k, c).
    n
        All that are compared (c,).
    n_top
        Members of the top group (c,); 0 where there is none.
    """

    auroc: Array
    low: Array
    high: Array
    p: Array
    n: NDArray[np.int64]
    n_top: NDArray[np.int64]


def top_groups(values: ArrayLike, columns: ArrayLike, fraction: float = 0.05, confidence: float = 0.95) -> TopGroups:
    """Compare the `fraction` with the highest values with the rest, for every column of `values` and of `columns`.

    A rank correlation asks for a rise throughout; this asks what the extremes have in common.

    Parameters
    ----------
    values
        Finite numbers (n, k). Of equal values the first belongs to the top group first.
    columns
        Numbers (n, c); a row that is not finite is left out for that column alone.
    fraction
        Of the rows that make up the top group, in (0, 0.5], at least 10 rows.
    confidence
        Two-sided, in (0, 1).
    """
    x, y = np.asarray(values), np.asarray(columns, float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"values {x.shape} and columns {y.shape} must be two-dimensional and equally long")
    if not 0 < fraction <= 0.5 or not np.isfinite(x).all():
        raise ValueError("the fraction must be in (0, 0.5] and values finite")
    area, low, high, p = np.full((4, x.shape[1], y.shape[1]), np.nan)
    order = np.argsort(-x, axis=0, kind="stable")
    alive = np.ptp(x, axis=0) > 0 if len(x) else np.zeros(x.shape[1], bool)
    n = np.isfinite(y).sum(axis=0)
    n_top = np.maximum(FEWEST_IN_GROUP, np.ceil(fraction * n).astype(int))
    n_top[2 * n_top > n] = 0
    for column, size in enumerate(n_top):
        known = np.isfinite(y[:, column])
        if size and alive.any() and np.ptp(y[known, column]) > 0:
            member = _members(order[:, alive], known, int(size))
            area[alive, column], variance, p[alive, column] = _compared(member, y[known, column])
            ends = [
                _difference_interval(a, v, int(size), confidence)
                for a, v in zip(area[alive, column], variance, strict=True)
            ]
            low[alive, column], high[alive, column] = np.transpose(ends)
    return TopGroups(area, low, high, p, n, n_top)


def _members(order: NDArray[np.intp], known: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Which of the known rows are the first `size` known ones of each column of `order`: bool (known, k)."""
    rank = np.cumsum(known[order], axis=0)  # of a known row among the known, highest value first; others go in the end
    member = np.zeros(order.shape, bool)
    np.put_along_axis(member, order, rank <= size, axis=0)
    return member[known]


def _compared(member: NDArray[np.bool_], quantity: Array) -> tuple[Array, Array, Array]:
    """AUROC of the members (n, k) against the others, DeLong's variance, and the p-value, each (k,)."""
    order = np.argsort(quantity, kind="stable")
    _, first, ties = np.unique(quantity[order], return_index=True, return_counts=True)
    member = member[order]
    n, top = len(member), int(member[:, 0].sum())
    below = np.concatenate([np.zeros((1, member.shape[1])), np.cumsum(member, axis=0)])
    # Members and others below each row, ties counting half, from the counts before and after its group of equals.
    before, after = np.repeat(first, ties), np.repeat(first + ties, ties)
    members = (below[before] + below[after]) / 2
    others = (before + after)[:, None] / 2 - members
    placed = np.where(member, others / (n - top), members / top)
    area = (placed * member).sum(axis=0) / top
    variance = _variance(placed, member, top) / top + _variance(placed, ~member, n - top) / (n - top)
    spread = (n + 1 - (ties.astype(float) ** 3 - ties).sum() / (n * (n - 1))) / (12 * top * (n - top))
    return area, variance, 2 * ndtr(-np.abs(area - 0.5) / math.sqrt(spread))


def _variance(placed: Array, chosen: NDArray[np.bool_], count: int) -> Array:
    mean = (placed * chosen).sum(axis=0) / count
    return (((placed - mean) ** 2) * chosen).sum(axis=0) / (count - 1)


def _difference_interval(area: float, variance: float, size: int, confidence: float) -> tuple[float, float]:
    if min(area, 1 - area) < 1e-12:  # complete separation: the variance is 0 though nothing is certain
        return wilson_interval(round(area) * size, size, confidence)
    half = normal_quantile(confidence) * math.sqrt(variance) / (area * (1 - area))
    return float(expit(logit(area) - half)), float(expit(logit(area) + half))
