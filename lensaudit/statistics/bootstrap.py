"""Bootstrap intervals; the generator is an argument, so that the same seed gives the same interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

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


def _bca_tails(tails: Array, drawn: Array, estimate: float, arrays: Sequence[Array], statistic: Statistic) -> Array:
    """Tail probabilities corrected for bias and skewness; ties with the estimate count half."""
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    if not 0 < below < 1:
        return tails
    bias = norm.ppf(below)
    shifted = bias + norm.ppf(tails)
    return np.asarray(norm.cdf(bias + shifted / (1 - _acceleration(arrays, statistic) * shifted)))


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
