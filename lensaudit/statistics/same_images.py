"""Two scores of the same images: whether a fraction, a true-positive rate or an AUROC differs between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from lensaudit.statistics.paired import (
    beyond_tolerance_p,
    mcnemar_exact,
    paired_difference_interval,
    student_beyond_p,
)
from lensaudit.statistics.roc import allowed_false_positives, placements

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

THRESHOLDS = 2000
"""Resamples of the negatives, from which the spread of both thresholds is taken."""

FEWEST_RANKED = 20
"""Positives and negatives that a test of areas needs: its error is estimated from them."""


@dataclass(frozen=True)
class Changed:
    """A number of two scores on the same images, the change from the old to the new one, and how sure it is.

    Attributes
    ----------
    old, new
        Under either score; `change` is new − old.
    low, high
        95 % interval of the change; NaN where there is none.
    p
        Two-sided, that there is no change; NaN where it is not tested.
    p_beyond
        That it is worse by no more than a tolerance, twice the one-sided value; NaN where it is not tested.
    gained, lost
        Images called by the new score only, and by the old only; 0 of areas, which call none.
    n
        Images.
    """

    old: float
    new: float
    low: float
    high: float
    p: float
    p_beyond: float
    gained: int
    lost: int
    n: int

    @property
    def change(self) -> float:
        """New − old."""
        return self.new - self.old


def fraction_change(old: Flags, new: Flags, tolerance: float = 0.0, *, more_is_worse: bool = False) -> Changed:
    """Change of the fraction that is called: McNemar's exact p, Tango's interval and score.

    Parameters
    ----------
    old, new
        Whether each image is called by either score (n,).
    tolerance
        Change for the worse that is accepted.
    more_is_worse
        Whether that is a rise, as of false positives.
    """
    n, gained, lost = len(old), int((new & ~old).sum()), int((old & ~new).sum())
    if not n:
        return Changed(*(math.nan,) * 6, 0, 0, 0)
    interval, turned = paired_difference_interval(gained, lost, n), (lost, gained) if more_is_worse else (gained, lost)
    tests = mcnemar_exact(gained, lost), beyond_tolerance_p(*turned, n, tolerance)
    return Changed(float(old.mean()), float(new.mean()), *interval, *tests, gained, lost, n)


def area_change(old: tuple[Array, Array], new: tuple[Array, Array], tolerance: float = 0.0) -> Changed:
    """Change of the AUROC, by DeLong's variance and Student's t with Welch's degrees of freedom.

    With many images that is DeLong's test; with few, its normal distribution would call too much significant.

    Parameters
    ----------
    old, new
        Scores of the positives (n1,) and of the negatives (n0,), in the same order.
    tolerance
        Loss that is accepted.

    Returns
    -------
    Changed
        `n` is the size of the smaller class. Interval and p are NaN with fewer than 20 of either.
    """
    placed = [placements(*scores) for scores in (old, new)]
    n1, n0 = len(old[0]), len(old[1])
    before, after = (float(above.mean()) if n1 and n0 else math.nan for above, _ in placed)
    if min(n1, n0) < FEWEST_RANKED:
        return Changed(before, after, *(math.nan,) * 4, 0, 0, min(n1, n0))
    parts = [float((b - a).var(ddof=1)) / len(a) for a, b in zip(*placed, strict=True)]
    error, change = math.sqrt(sum(parts)), after - before
    if error < 1e-12:  # two equal rankings
        same, accepted = float(abs(change) < 1e-12), float(change >= -tolerance - 1e-12)
        return Changed(before, after, change, change, same, accepted, 0, 0, min(n1, n0))
    freedom = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, (n1, n0), strict=True))
    half = float(stdtrit(freedom, 0.975)) * error
    tests = float(2 * stdtr(freedom, -abs(change) / error)), student_beyond_p(change, error, freedom, tolerance)
    return Changed(before, after, change - half, change + half, *tests, 0, 0, min(n1, n0))


def rate_changes_at_fpr(
    old: tuple[Array, Array],
    new: tuple[Array, Array],
    groups: Flags,
    fpr: float,
    generator: np.random.Generator,
    tolerance: float = 0.0,
) -> list[Changed]:
    """Changes of the true-positive rate where each score has its own threshold, at the false-positive rate `fpr`.

    The thresholds are taken from the negatives, and so are uncertain: McNemar's test alone would take a change of
    threshold, which moves all positives together, for many independent changes. So a p-value is the larger one of
    McNemar's (against the tolerance, Tango's score) and of Student's t, with the variance of McNemar's table plus that
    of the change over resampled negatives, whose degrees of freedom are the false positives that are allowed (Welch's
    for the sum). The interval is Tango's widened by the spread over resampled negatives, the squares of both added.

    Parameters
    ----------
    old, new
        Scores of the positives (n1,) and of the negatives (n0,), in the same order.
    groups
        Which positives are in which group (n1, groups).
    fpr
        In (0, 1).
    tolerance
        Loss that is accepted.

    Returns
    -------
    list of Changed
        One for each group; interval and p are NaN where no false positive is allowed among so few negatives.
    """
    n0 = len(old[1])
    allowed = min(allowed_false_positives(n0, fpr), n0 - 1)
    ranks = [_among_negatives(*scores) for scores in (old, new)]
    positives, negatives = (np.stack([one[side] for one in ranks]) for side in (0, 1))
    called = positives < np.partition(negatives, allowed, axis=1)[:, allowed, None]
    plain = [fraction_change(called[0, group], called[1, group], tolerance) for group in groups.T]
    if not allowed:
        return [replace(one, low=math.nan, high=math.nan, p=math.nan, p_beyond=math.nan) for one in plain]
    drawn = _thresholds_drawn(negatives, allowed, generator)
    return [
        _less_sure(one, positives[:, group], drawn, allowed, tolerance)
        for one, group in zip(plain, groups.T, strict=True)
    ]


def _among_negatives(positives: Array, negatives: Array) -> tuple[Array, Array]:
    """Places among the negatives, the highest score 1: a positive lies half a place above the next lower negative."""
    order = np.sort(negatives)
    n0 = len(negatives)
    above = np.asarray(n0 - np.searchsorted(order, positives), np.float64)
    return above + 0.5, np.asarray(n0 - np.searchsorted(order, negatives), np.float64)


def _thresholds_drawn(negatives: Array, allowed: int, generator: np.random.Generator) -> Array:
    """Thresholds (THRESHOLDS, 2) of resampled negatives, whose ranks are (2, n0)."""
    n0 = negatives.shape[1]
    enough = min(n0, 3 * (allowed + 1) + 40)  # of the highest: so many draws hold more than are allowed
    first = np.unique(np.argsort(negatives, axis=1, kind="stable")[:, :enough])
    rest = max(0.0, 1 - len(first) / n0)
    counts = generator.multinomial(n0, [*np.full(len(first), 1 / n0), rest], size=THRESHOLDS)[:, :-1]
    drawn = np.empty((THRESHOLDS, 2))
    for which, ranks in enumerate(negatives[:, first]):
        order = np.argsort(ranks, kind="stable")
        reached = counts[:, order].cumsum(axis=1) > allowed
        place = np.where(reached.any(axis=1), reached.argmax(axis=1), len(first) - 1)
        drawn[:, which] = ranks[order][place]
    return drawn


def _less_sure(plain: Changed, ranks: Array, drawn: Array, allowed: int, tolerance: float) -> Changed:
    """`plain`, which takes the thresholds as given, with what the `drawn` ones change of it."""
    n, change = plain.n, plain.change
    if not n:
        return plain
    rates = [np.searchsorted(np.sort(one), cuts) / n for one, cuts in zip(ranks, drawn.T, strict=True)]
    moved = rates[1] - rates[0]
    parts = (plain.gained + plain.lost + 1) / n**2, float(moved.var(ddof=1))
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / max(n - 1, 1) + parts[1] ** 2 / allowed)
    error = math.sqrt(sum(parts))
    p = max(plain.p, float(2 * stdtr(freedom, -abs(change) / error)))
    p_beyond = max(plain.p_beyond, student_beyond_p(change, error, freedom, tolerance))
    ends = np.quantile(moved, [0.025, 0.975])
    low = change - math.hypot(change - plain.low, max(0.0, change - float(ends[0])))
    high = change + math.hypot(plain.high - change, max(0.0, float(ends[1]) - change))
    return replace(plain, low=max(low, -1.0), high=min(high, 1.0), p=p, p_beyond=p_beyond)
