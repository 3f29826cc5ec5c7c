"""Bootstrap intervals; the generator is an argument, so that the same seed gives the same interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

Statistic = Callable[..., float]
Method = Literal["percentile", "bca"]
Array = NDArray[np.float64]

RESAMPLES = 2000


def bootstrap_interval(
    groups: Sequence[ArrayLike],
    statistic: Statistic,
    generator: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    method: Method = "percentile",
) -> tuple[float, float]:
    """Interval of ``statistic(*groups)``, each group resampled on its own along its first axis.

    Lenses and non-lenses are two groups; pairs are the rows of one group.

    Parameters
    ----------
    groups
        One or more arrays (n_g, ...).
    statistic
        Takes the resampled groups, returns a number.
    generator
        Where the resamples come from.
    method
        ``percentile``, or ``bca`` (bias-corrected and accelerated, Efron 1987).

    Returns
    -------
    low, high
        (NaN, NaN) if a group is empty or the statistic is undefined on these groups. Resamples where it is undefined
        are left out; with all of them alike the interval is that point.
    """
    arrays = [np.asarray(group, float) for group in groups]
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence {confidence} and resamples {resamples}: in (0, 1) and at least 1 are needed")
    if min(len(array) for array in arrays) == 0:
        return math.nan, math.nan
    estimate = statistic(*arrays)
    if math.isnan(estimate):
        return math.nan, math.nan
    if statistic is np.mean and len(arrays) == 1 and arrays[0].ndim == 1:
        drawn = _means(arrays[0], resamples, generator)
    else:
        drawn = np.array([statistic(*_resampled(arrays, generator)) for _ in range(resamples)], float)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0:
        return math.nan, math.nan
    tails = np.array([0.5 - confidence / 2, 0.5 + confidence / 2])
    if method == "bca":
        tails = _bca_tails(tails, drawn, estimate, arrays, statistic)
    low, high = np.quantile(drawn, tails)
    return float(low), float(high)


def paired_bootstrap_interval(
    control: ArrayLike,
    treated: ArrayLike,
    generator: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    method: Method = "percentile",
) -> tuple[float, float]:
    """Interval of the mean of treated − control over pairs, which are resampled whole.

    Parameters
    ----------
    control, treated
        Values of the same systems, (n,) each.
    """
    first, second = np.asarray(control, float), np.asarray(treated, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"control {first.shape} and treated {second.shape} are no pairs")
    change = second - first
    return bootstrap_interval([change], np.mean, generator, resamples=resamples, confidence=confidence, method=method)


def _resampled(arrays: Sequence[Array], generator: np.random.Generator) -> list[Array]:
    return [array[generator.integers(len(array), size=len(array))] for array in arrays]


def _means(array: Array, resamples: int, generator: np.random.Generator) -> Array:
    """(resamples,) means of resamples, bit for bit those drawn and averaged one by one, many at once."""
    at_once = max(1, _DRAWN_AT_ONCE // len(array))
    sizes = [min(at_once, resamples - first) for first in range(0, resamples, at_once)]
    blocks = [array[generator.integers(len(array), size=(size, len(array)))].mean(axis=1) for size in sizes]
    return np.concatenate(blocks)


def _bca_tails(tails: Array, drawn: Array, estimate: float, arrays: Sequence[Array], statistic: Statistic) -> Array:
    """Tail probabilities corrected for bias and skewness; ties with the estimate count half."""
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    if not 0 < below < 1:
        return tails
    bias = ndtri(below)
    shifted = bias + ndtri(tails)
    return np.asarray(ndtr(bias + shifted / (1 - _acceleration(arrays, statistic) * shifted)))


def _acceleration(arrays: Sequence[Array], statistic: Statistic) -> float:
    """Skewness of the jackknife influence over all groups (Efron & Tibshirani 1993, Eq. 14.15)."""
    cubes = squares = 0.0
    for index, array in enumerate(arrays):
        n = len(array)
        if n < 2:
            continue
        left_out = np.array(
            [statistic(*arrays[:index], np.delete(array, row, axis=0), *arrays[index + 1 :]) for row in range(n)]
        )
        influence = (n - 1) * (left_out.mean() - left_out) / n
        cubes += float((influence**3).sum())
        squares += float((influence**2).sum())
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


_DRAWN_AT_ONCE = 2_000_000  # counts in memory, 8 MB


@dataclass(frozen=True, eq=False)
class MedianShifts:
    """Medians of k quantities among all and among c groups of members; NaN where there is nobody.

    Attributes
    ----------
    everyone, everyone_low, everyone_high
        Median of all and its interval, float64 (k,).
    n_everyone
        Who has a value, int64 (k,).
    members, members_low, members_high
        Median of each group and its interval, float64 (c, k).
    n_members
        Members with a value, int64 (c, k).
    shift, shift_low, shift_high
        Median of the members less that of all, float64 (c, k).
    """

    everyone: Array
    everyone_low: Array
    everyone_high: Array
    n_everyone: NDArray[np.int64]
    members: Array
    members_low: Array
    members_high: Array
    n_members: NDArray[np.int64]
    shift: Array
    shift_low: Array
    shift_high: Array


def median_shifts(
    values: ArrayLike,
    members: ArrayLike,
    generator: np.random.Generator,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> MedianShifts:
    """Median of each quantity among all and among the members, and how far the two lie apart.

    Everyone is resampled, members and others alike, and both medians are taken from the same resample: members are a
    part of all, so the interval of the difference is narrower than the two apart would say.

    Parameters
    ----------
    values
        Quantities (n, k); what is not finite is left out for that quantity alone.
    members
        Who belongs to each group, boolean (n, c).
    generator
        Where the resamples come from.
    resamples
        At least 1.
    confidence
        Two-sided, in (0, 1); percentile intervals.
    """
    x, chosen = np.asarray(values, float), np.asarray(members, bool)
    if x.ndim != 2 or chosen.ndim != 2 or len(x) != len(chosen):
        raise ValueError(f"values {x.shape} and members {chosen.shape} must be two-dimensional and equally long")
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence {confidence} and resamples {resamples}: in (0, 1) and at least 1 are needed")
    groups = np.column_stack([np.ones(len(x), bool), chosen])  # the first group is everyone
    known = np.isfinite(x)
    count = groups.T.astype(np.int64) @ known.astype(np.int64)
    point = _medians(x, known, groups, np.ones((1, len(x)), np.int32))[0]
    drawn = np.concatenate(
        [_medians(x, known, groups, counts) for counts in _resamples(len(x), resamples, generator)], axis=0
    )
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
    low, high = _quantiles(drawn, tails)
    apart_low, apart_high = _quantiles(drawn[:, 1:] - drawn[:, :1], tails)
    return MedianShifts(
        everyone=point[0],
        everyone_low=low[0],
        everyone_high=high[0],
        n_everyone=count[0],
        members=point[1:],
        members_low=low[1:],
        members_high=high[1:],
        n_members=count[1:],
        shift=point[1:] - point[0],
        shift_low=apart_low,
        shift_high=apart_high,
    )


def _resamples(n: int, resamples: int, generator: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    """How often each of n is drawn in each resample, int32 (some, n) at a time so that it fits into memory."""
    piece = max(1, _DRAWN_AT_ONCE // max(n, 1))
    for done in range(0, resamples, piece):
        size = min(piece, resamples - done)
        drawn = generator.integers(max(n, 1), size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.int32)


def _medians(
    x: Array, known: NDArray[np.bool_], groups: NDArray[np.bool_], counts: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Median of every quantity and group in each resample, float64 (resamples, 1 + c, k)."""
    found = np.full((len(counts), groups.shape[1], x.shape[1]), np.nan)
    for column in range(x.shape[1]):
        order = np.argsort(x[:, column], kind="stable")
        order = order[known[order, column]]
        for group in range(groups.shape[1]):
            rows = order[groups[order, group]]
            found[:, group, column] = _medians_of_sorted(x[rows, column], counts[:, rows])
    return found


def _medians_of_sorted(ordered: Array, counts: NDArray[np.int32]) -> Array:
    """Median of ascending values, each taken as often as each row of `counts` says."""
    if not len(ordered):
        return np.full(len(counts), np.nan)
    running = np.cumsum(counts, axis=1)
    total = running[:, -1]
    lower = (running <= ((total - 1) // 2)[:, None]).sum(axis=1)
    upper = (running <= (total // 2)[:, None]).sum(axis=1)
    last = len(ordered) - 1
    middle = (ordered[np.minimum(lower, last)] + ordered[np.minimum(upper, last)]) / 2
    return np.where(total > 0, middle, np.nan)


def _quantiles(drawn: Array, tails: list[float]) -> tuple[Array, Array]:
    """Ends of the intervals over the resamples in which somebody was drawn; NaN where nobody ever was."""
    low, high = np.full((2, *drawn.shape[1:]), np.nan)
    some = ~np.isnan(drawn).all(axis=0)
    if some.any():
        low[some], high[some] = np.nanquantile(drawn[:, some], tails, axis=0)
    return low, high
