"""Paired tests and their corrections: McNemar, Tango's interval, Holm, and how many pairs a verdict needs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr

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


def beyond_tolerance_p(gained: int, lost: int, n: int, tolerance: float, *, either: bool = False) -> float:
    """p-value of the hypothesis that no more than `tolerance` is lost, of n pairs.

    Tango's score at a loss of just `tolerance`, as his interval inverts it, but with its exact distribution at the
    rates that are likeliest under the hypothesis: the normal one calls too many findings significant far out, where
    Holm's correction looks. It is twice the one-sided value, so that p < 0.05 goes with a 95 % interval that lies
    beyond the tolerance.

    Parameters
    ----------
    gained, lost, n
        Pairs found in the treated arm only, in the control only, and all.
    tolerance
        Loss that is accepted, in [0, 1).
    either
        Whether a gain counts like a loss.

    Returns
    -------
    float
        At most 1; NaN without pairs.

    References
    ----------
    Tango T., 1998, Statistics in Medicine 17, 891. The distribution at the likeliest rates: Storer B. E., Kim C.,
    1990, Journal of the American Statistical Association 85, 146.

    Examples
    --------
    >>> round(beyond_tolerance_p(0, 33, 200, 0.1), 4)  # 33 of 200 lost, 20 tolerated: twice a binomial tail
    0.0058
    """
    if n == 0:
        return math.nan
    p = _loss_beyond(gained, lost, n, tolerance)
    return min(1.0, 2 * (min(p, _loss_beyond(lost, gained, n, tolerance)) if either else p))


def student_beyond_p(change: float, error: float, freedom: float, tolerance: float) -> float:
    """As `beyond_tolerance_p`, of a change with its standard error, by Student's t; NaN without an error."""
    if error == 0:
        return float(change >= -tolerance)
    return float(min(1.0, 2 * stdtr(freedom, (change + tolerance) / error))) if error > 0 else math.nan


def _loss_beyond(gained: int, lost: int, n: int, tolerance: float) -> float:
    """One-sided: probability of a score as low, were the loss the tolerance."""
    from scipy.stats import binom

    if lost - gained <= n * tolerance:  # no more than is tolerated: no evidence at all
        return 1.0
    lose = _lost_rate(-tolerance, gained, lost, n)
    gain = max(lose - tolerance, 0.0)
    spread = 9 * math.sqrt(n * gain * (1 - gain)) + 9
    few, many = max(0, math.floor(n * gain - spread)), min(n, math.ceil(n * gain + spread))
    others = np.arange(few, many + 1)
    least = _fewest_lost(others, n, tolerance, _scores(np.array([gained]), np.array([lost]), n, tolerance)[0])
    tail = binom.sf(least - 1, n - others, min(lose / (1 - gain), 1.0))
    return float(min(1.0, (binom.pmf(others, n, gain) * tail).sum()))


def _fewest_lost(gained: NDArray[np.int64], n: int, tolerance: float, score: float) -> NDArray[np.int64]:
    """For each number of gained pairs the fewest lost ones whose score is at most `score`; n + 1 where none is."""
    low, high = np.zeros_like(gained), n - gained + 1
    while (low < high).any():
        middle = (low + high) // 2
        reached = _scores(gained, np.minimum(middle, n - gained), n, tolerance) <= score + 1e-9
        low, high = np.where((low < high) & ~reached, middle + 1, low), np.where(reached, middle, high)
    return np.where(low > n - gained, n + 1, low)


def _scores(gained: NDArray[np.int64], lost: NDArray[np.int64], n: int, tolerance: float) -> NDArray[np.float64]:
    """`_score` of a loss of `tolerance`, for many tables of n pairs."""
    b = -(2 * n - gained + lost) * tolerance - gained - lost
    lose = (np.sqrt(np.maximum(b * b - 8 * n * lost * tolerance * (1 + tolerance), 0.0)) - b) / (4 * n)
    variance = n * (2 * lose - tolerance * (1 + tolerance))
    return np.asarray((gained - lost + n * tolerance) / np.sqrt(np.maximum(variance, 1e-300)))


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
        Findings that are corrected together, so that p against the tolerance must lie below 0.05 / family.
    either
        Whether a gain counts like a loss.
    """
    change = (gained - lost) / n
    rate = (gained + lost + 1) / (n + 1)  # one more, so that no discordance is not taken for certainty

    def settles(size: int) -> bool:
        more = round(gained * size / n)
        counts = more, min(round(lost * size / n), size - more), size
        sigma = math.sqrt(max(rate - change**2, 0.0) / size)
        margin = _MARGIN * sigma
        low, high = paired_difference_interval(*counts, 1 - ALPHA / max(family, 1))
        if high + margin < -tolerance or (either and low - margin > tolerance):
            return True
        low, high = paired_difference_interval(*counts)
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
            return size >= _settling_z(family) ** 2 * tolerance * (1 - tolerance) / (fraction - tolerance) ** 2
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


def _settling_z(family: int) -> float:
    """Standard errors between a true value and a limit, for a two-sided test at 0.05 / family to tell them apart with
    probability `POWER`."""
    return float(-ndtri(ALPHA / (2 * max(family, 1))) + ndtri(POWER))


def objects_to_settle(n: int, interval: tuple[float, float], distance: float, family: int = 1) -> int | None:
    """Objects with which an estimate of n is settled with probability `POWER`, were it right; None beyond `MOST_PAIRS`.

    Parameters
    ----------
    interval
        95 % of the estimate, which narrows with the root of the number.
    distance
        Of the estimate from the limit that it must be told from.
    family
        Findings that are corrected together, where a test must settle it.
    """
    error = (interval[1] - interval[0]) / (2 * float(ndtri(0.975)))
    needed = n * (_settling_z(family) * error / distance) ** 2 if distance > 0 else math.inf
    return max(_forecast(needed), n + 1) if needed <= MOST_PAIRS else None


def _first(settles: Callable[[int], bool], n: int) -> int | None:
    """Smallest size above `n` that settles, to two significant figures, for it is a forecast."""
    if not settles(MOST_PAIRS):
        return None
    low, high = n, MOST_PAIRS
    while high > low + max(1, low // 50):
        middle = round(math.sqrt(max(low, 1) * high))
        middle = min(max(middle, low + 1), high - 1)
        low, high = (low, middle) if settles(middle) else (middle, high)
    return _forecast(high)


def _forecast(number: float) -> int:
    """A number of objects, rounded up to two significant figures, as a forecast is no more certain."""
    step = 10 ** max(math.floor(math.log10(max(number, 1))) - 1, 0)
    return math.ceil(number / step) * step
