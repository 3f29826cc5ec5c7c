"""How many pairs a verdict needs: before a probe is run, and after it was left undecided."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.stats import norm

from lensaudit.statistics.paired_difference import paired_difference_interval
from lensaudit.statistics.proportions import wilson_interval

ALPHA = 0.05
"""Significance of a test before Holm's correction."""

TYPICAL_DISCORDANT = 0.05
"""Fraction of the pairs that a usual finder answers otherwise by chance alone; docs/null-audits.md has 0.05 to 0.15."""

POWER = 0.8
"""Probability with which as many pairs as a forecast says would settle an undecided probe."""

MOST_PAIRS = 100_000
_MARGIN, _BOTH_ENDS = float(norm.ppf(POWER)), float(norm.ppf((1 + POWER) / 2))
"""Standard deviations by which one end, and both, must be clear of the tolerance on the mean, to be so that often."""


def pairs_that_never_tell(tolerance: float, confidence: float = 0.95) -> int:
    """Largest number of pairs with which not even perfect agreement of the arms shows a loss below `tolerance`.

    From the closed form of Tango's interval without discordant pairs, z² / (n + z²).
    """
    z2 = float(norm.ppf(0.5 + confidence / 2)) ** 2
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
    ends = float(norm.ppf(0.5 + confidence / 2)) * math.sqrt(max(spread, 0.0))
    varies = float(norm.ppf(power)) * math.sqrt(discordant)
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
    return float(norm.isf(ALPHA / (2 * max(family, 1))) + norm.ppf(POWER)) ** 2


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
