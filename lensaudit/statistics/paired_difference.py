"""Interval for the difference of two recalls measured on the same lenses."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm


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
    z = float(norm.ppf(0.5 + confidence / 2))
    low = -1.0 if lost == n else brentq(lambda d: _score(d, gained, lost, n) - z, -1.0, (gained - lost) / n)
    high = 1.0 if gained == n else brentq(lambda d: _score(d, gained, lost, n) + z, (gained - lost) / n, 1.0)
    return float(low), float(high)


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
