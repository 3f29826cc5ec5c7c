"""Paired tests and their corrections: McNemar, Tango's interval, Holm, and how many pairs a verdict needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

from lensaudit.statistics.proportions import wilson_interval


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value that a pair is as likely to turn one way as the other.

    Parameters
    ----------
    b, c
        Numbers of discordant pairs of the two kinds; without any the p-value is 1.
    """
    if b < 0 or c < 0:
        raise ValueError(f"{b} and {c} are no counts of pairs")
    from scipy.stats import binom  # half a second that most commands need not wait

    return float(min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Step-down adjusted p-values (Holm 1979), in the order given, capped at 1; float64 (m,).

    Rejecting those at most α keeps the chance of any false rejection at α, whatever their dependence.
    """
    p = np.asarray(p_values, float)
    if p.ndim != 1 or np.isnan(p).any() or (p < 0).any() or (p > 1).any():
        raise ValueError("p-values must be a list of numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def paired_difference_interval(gained: int, lost: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of Tango (1998) for (gained − lost) / n, the change of a proportion between paired arms.

    It inverts the score test that McNemar's belongs to, so it stays honest where the simpler intervals fail: with no
    discordant pair at all it is ±z² / (n + z²), not a point.

    Parameters
    ----------
    gained
        Pairs found in the treated arm only.
    lost
        Pairs found in the control arm only.
    n
        All pairs.
    confidence
        Two-sided, in (0, 1).

    Returns
    -------
    low, high
        In [−1, 1]; (NaN, NaN) if there is no pair.

    References
    ----------
    Tango T., 1998, Statistics in Medicine 17, 891.
    """
    if gained < 0 or lost < 0 or gained + lost > n:
        raise ValueError(f"{gained} gained and {lost} lost do not fit into {n} pairs")
    if n == 0:
        return math.nan, math.nan
    from scipy.optimize import brentq  # as above

    z = float(ndtri(0.5 + confidence / 2))
    low = -1.0 if lost == n else brentq(lambda d: _score(d, gained, lost, n) - z, -1.0, (gained - lost) / n)
    high = 1.0 if gained == n else brentq(lambda d: _score(d, gained, lost, n) + z, (gained - lost) / n, 1.0)
    return float(low), float(high)


@dataclass(frozen=True)
class GroupedMean:
    """A mean of values that come in groups, its interval, and the two-sided p-value that the mean is 0."""

    value: float
    low: float
    high: float
    p: float


def grouped_mean(values: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> GroupedMean:
    """The mean of values that are not independent within a group: arcs in one host, crops of one image.

    Student's t with the cluster-robust standard error (Liang & Zeger 1986), with as many degrees of freedom as groups
    less one. With groups of one size it is Student's interval of the groups' means.

    Parameters
    ----------
    values, groups
        A number and the group of each (n,).
    confidence
        Two-sided, in (0, 1).

    Returns
    -------
    GroupedMean
        Interval and p are NaN with fewer than two groups; p is 1 where all values are 0.

    Examples
    --------
    >>> found = grouped_mean([0.0, 1.0, 1.0, 2.0], [1, 1, 2, 2])  # means 0.5 and 1.5
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2), round(found.p, 2)
    (1.0, -5.35, 7.35, 0.3)
    """
    numbers = np.asarray(values, float)
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    mean, n_groups = float(numbers.mean()) if len(numbers) else math.nan, len(np.unique(group))
    if n_groups < 2:
        return GroupedMean(mean, math.nan, math.nan, math.nan)
    sums = np.bincount(group, numbers - mean)
    error = math.sqrt(n_groups / (n_groups - 1) * float(sums @ sums)) / len(numbers)
    half = float(stdtrit(n_groups - 1, 0.5 + confidence / 2)) * error
    p = float(mean == 0) if error == 0 else float(2 * stdtr(n_groups - 1, -abs(mean) / error))
    return GroupedMean(mean, mean - half, mean + half, p)


def grouped_fraction_interval(called: ArrayLike, groups: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a fraction of objects that are not independent within a group, as several arcs in one host.

    The wider of Wilson's, which takes them as independent, and of `grouped_mean`; where all or none are called, which
    tells nothing of how groups differ, Wilson's with as many trials as groups.

    Parameters
    ----------
    called, groups
        Whether, and the group of each (n,).
    confidence
        Two-sided, in (0, 1).

    Returns
    -------
    low, high
        In [0, 1], and all of it for one group; (NaN, NaN) for none.

    Examples
    --------
    >>> [round(end, 2) for end in grouped_fraction_interval([True, True, True, True, False, False], [1, 1, 2, 2, 3, 3])]
    [0.0, 1.0]
    >>> [round(end, 2) for end in grouped_fraction_interval([True] * 6, [1, 1, 2, 2, 3, 3])]  # 3 of 3
    [0.44, 1.0]
    """
    flags = np.asarray(called, bool)
    k, n, n_groups = int(flags.sum()), flags.size, len(np.unique(groups))
    if n_groups == 1:
        return 0.0, 1.0
    if k in (0, n):
        return wilson_interval(n_groups if k else 0, n_groups, confidence)
    low, high = wilson_interval(k, n, confidence)
    over_groups = grouped_mean(flags, groups, confidence)
    return max(0.0, min(low, over_groups.low)), min(1.0, max(high, over_groups.high))


def _score(difference: float, gained: int, lost: int, n: int) -> float:
    """Tango's score statistic of the hypothesis that the true change is `difference`; falls with it."""
    excess = gained - lost - n * difference
    variance = n * (2 * _lost_rate(difference, gained, lost, n) + difference * (1 - difference))
    if variance <= 0:  # only at the very ends, where the statistic diverges
        return 0.0 if excess == 0 else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)


def _lost_rate(difference: float, gained: int, lost: int, n: int) -> float:
    """Maximum-likelihood probability of a lost pair, given that the true change is `difference`."""
    b = (2 * n - gained + lost) * difference - gained - lost
    c = -lost * difference * (1 - difference)
    return (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)


ALPHA = 0.05
"""Significance of a test before Holm's correction."""

TYPICAL_DISCORDANT = 0.05
"""Fraction of the pairs that a usual finder answers otherwise by chance alone; docs/null-audits.md has 0.05 to 0.15."""

POWER = 0.8
"""Probability with which as many pairs as a forecast says would settle an inconclusive probe."""

MOST_PAIRS = 100_000
_MARGIN, _BOTH_ENDS = float(ndtri(POWER)), float(ndtri((1 + POWER) / 2))
"""Standard deviations by which one end, and both, must be clear of the tolerance on the mean, to be so that often."""


def pairs_that_never_tell(tolerance: float, confidence: float = 0.95) -> int:
    """Largest number of pairs with which not even perfect agreement of the arms shows a loss below `tolerance`.

    From the closed form of Tango's interval without discordant pairs, z² / (n + z²).
    """
    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    return math.floor(z2 * (1 / tolerance - 1))


def pairs_needed(tolerance: float, discordant: float, power: float = 0.9, confidence: float = 0.95) -> int:
    """Pairs with which a loss is excluded with probability `power`, of a finder without any change.

    Parameters
    ----------
    tolerance
        Loss of recall that must be excluded, in (0, 1).
    discordant
        Fraction of the pairs whose answer differs between the arms by chance alone, in [0, 1).
    power
        Probability that the interval then ends above −tolerance.

    Notes
    -----
    n ≥ (z₍₁₊c₎/₂ √v₀ + z₍power₎ √ψ)² / tolerance², with the fraction ψ of discordant pairs, which is the variance where
    nothing changes, and v₀ the variance that Tango's interval takes where the loss is the tolerance (Nam 1997). With
    few discordant pairs v₀ is larger than ψ by much, and (z + z)² ψ / tolerance² would promise too much.

    References
    ----------
    Nam J., 1997, Biometrics 53, 1422.
    """
    linear = 2 * tolerance + discordant
    lost = (math.sqrt(linear**2 - 4 * discordant * tolerance * (1 + tolerance)) + linear) / 4
    spread = 2 * lost - tolerance * (1 + tolerance)
    ends = float(ndtri(0.5 + confidence / 2)) * math.sqrt(max(spread, 0.0))
    varies = float(ndtri(power)) * math.sqrt(discordant)
    needed = math.ceil((max(ends + varies, 0.0) / tolerance) ** 2)
    return max(needed, pairs_that_never_tell(tolerance, confidence) + 1)


def pairs_to_settle(gained: int, lost: int, n: int, tolerance: float, family: int, *, either: bool) -> int | None:
    """Pairs that settle an open probe with probability `POWER`, were the rates those seen; None beyond `MOST_PAIRS`.

    Parameters
    ----------
    gained, lost, n
        Pairs found in the treated arm only, in the control only, and all.
    family
        Findings that are corrected together, so that p must lie below 0.05 / family.
    either
        Whether a gain counts like a loss.
    """
    change = (gained - lost) / n
    rate = (gained + lost + 1) / (n + 1)  # one more, so that no discordance is not taken for certainty

    def settles(size: int) -> bool:
        more = round(gained * size / n)
        low, high = paired_difference_interval(more, min(round(lost * size / n), size - more), size)
        sigma = math.sqrt(max(rate - change**2, 0.0) / size)
        margin = _MARGIN * sigma
        if high + margin < -tolerance or (either and low - margin > tolerance):
            return size >= _quantiles(family) * rate / change**2  # and p is small enough
        if either:
            return low - _BOTH_ENDS * sigma > -tolerance and high + _BOTH_ENDS * sigma < tolerance
        return low - margin > -tolerance

    return _first(settles, n)


def scenes_to_settle(called: int, n: int, tolerance: float, family: int) -> int | None:
    """As `pairs_to_settle`, of a contaminant: until the interval of the fraction called a lens leaves the tolerance."""
    fraction, smoothed = called / n, (called + 1) / (n + 2)  # none of n is not taken for certainty

    def settles(size: int) -> bool:
        low, high = wilson_interval(round(fraction * size), size)
        margin = _MARGIN * math.sqrt(smoothed * (1 - smoothed) / size)
        if low - margin > tolerance:
            return size >= _quantiles(family) * tolerance * (1 - tolerance) / (fraction - tolerance) ** 2
        return high + margin < tolerance

    return _first(settles, n)


def pairs_to_assess(control: float, treated: float, n: int, tolerance: float, *, contaminant: bool) -> int | None:
    """Pairs at which a finder is seen to find enough control lenses, were the rates those seen; None where never.

    Parameters
    ----------
    control, treated
        Fraction of each arm called a lens.
    contaminant
        Whether the control's interval must lie above the treated arm's, in place of above the tolerance.
    """
    if not control > (treated if contaminant else tolerance):
        return None

    def settles(size: int) -> bool:
        limit = wilson_interval(round(treated * size), size)[1] if contaminant else tolerance
        return wilson_interval(round(control * size), size)[0] > limit

    return _first(settles, n)


def _quantiles(family: int) -> float:
    """(z of a two-sided test at 0.05 / family, plus z of the power)²."""
    return float(-ndtri(ALPHA / (2 * max(family, 1))) + ndtri(POWER)) ** 2


def _first(settles: Callable[[int], bool], n: int) -> int | None:
    """Smallest size above `n` that settles, to two significant figures, for it is a forecast."""
    if not settles(MOST_PAIRS):
        return None
    low, high = n, MOST_PAIRS
    while high > low + max(1, low // 50):
        middle = round(math.sqrt(max(low, 1) * high))
        middle = min(max(middle, low + 1), high - 1)
        low, high = (low, middle) if settles(middle) else (middle, high)
    step = 10 ** max(math.floor(math.log10(high)) - 1, 0)
    return math.ceil(high / step) * step
