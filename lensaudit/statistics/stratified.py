"""Fractions, totals and recall of a whole of which some were looked at: a few of each stratum, with weights.

An image stands for 1 / (the chance with which it was taken) images: its weight. Of strata in which few or none are hits
and every image stands for thousands, normal intervals are far too narrow. Those here are Clopper and Pearson's (1934)
where all weights are alike but for the choice below, and Fay and Feuer's (1997, Statist. Med. 16, 791) where hits are
rare: each end rests on a beta distribution of the mean and variance of the estimate after one more image of the largest
weight, a hit for the upper end and a miss for the lower one. So a stratum without a hit counts by what it may hide.
Where all weights are alike they are Wilson's, as elsewhere in lensaudit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

from lensaudit.statistics.proportions import wilson_interval
from lensaudit.statistics.rare_class import CONFIDENCE, Estimate
from lensaudit.statistics.weighted import WeightedBin, WeightedFraction, bins_of_p

Array = NDArray[np.float64]

_TAIL = 0.5 - CONFIDENCE / 2
_NODES = 100
_HALVINGS = 40
_WHOLE = 1 - 1e-12


@dataclass(frozen=True)
class _Sum:
    """Weighted sum of hits: its estimate, the most it can be, its variance, the largest weight in it."""

    value: float
    most: float
    variance: float
    weight: float

    @classmethod
    def of(cls, hits: Array, weights: Array, strata: NDArray[np.intp]) -> _Sum:
        """Of images (n,) of strata numbered from 0."""
        n = np.bincount(strata)
        there = n > 0
        n = n[there]
        k, whole = (np.bincount(strata, one)[there] for one in (hits, weights))
        p = k / n
        alone = np.where(n > 1, p * (1 - p), p)  # of one image nothing tells the variance: as of rare hits
        return cls(
            float((weights * hits).sum()), float(whole.sum()), float((whole**2 * alone / n).sum()), float(weights.max())
        )

    @property
    def misses(self) -> _Sum:
        """The same of those that are no hits."""
        return _Sum(self.most - self.value, self.most, self.variance, self.weight)

    def upper(self) -> tuple[float, float]:
        """Parameters of the beta distribution of the fraction at its upper end."""
        value, most, weight = max(self.value, 0.0), self.most, self.weight
        mean = (value + weight) / (most + weight)
        variance = (self.variance + weight**2 * (1 - value / most)) * most / (most + 2 * weight) / (most + weight) ** 2
        known = mean * (1 - mean) / variance - 1
        return mean * known, (1 - mean) * known

    def lower(self) -> tuple[float, float]:
        """The same at its lower end."""
        return self.misses.upper()[::-1]

    def ends(self) -> tuple[float, float]:
        """95 % interval of the fraction."""
        none, all_ = self.value <= 0, self.value >= self.most * _WHOLE
        low = 0.0 if none else float(betaincinv(*self.lower(), _TAIL))
        high = 1.0 if all_ else float(betaincinv(*self.upper(), 1 - _TAIL))
        return low, high


def stratified_fraction(hits: ArrayLike, weights: ArrayLike, strata: ArrayLike) -> WeightedFraction:
    """Fraction of hits in the whole, from images taken out of its strata; NaN without any.

    Parameters
    ----------
    hits, weights
        1 or 0, and how many images each stands for (n,).
    strata
        Which stratum each was drawn from (n,), whole numbers; one stratum has one weight.

    Examples
    --------
    Ten of each of two strata, one of a hundred and one of a thousand images; all hits are in the smaller one.

    >>> found = stratified_fraction([1] * 5 + [0] * 15, [10] * 10 + [100] * 10, [0] * 10 + [1] * 10)
    >>> f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    '0.045 (0.012 to 0.307)'
    """
    y, w, of = _checked(hits, weights, strata)
    if not len(y):
        return WeightedFraction(math.nan, math.nan, math.nan, 0, 0.0)
    value, effective = float(np.average(y, weights=w)), float(w.sum()) ** 2 / float((w**2).sum())
    if _alike(w):
        return WeightedFraction(value, *wilson_interval(int(y.sum()), len(y), CONFIDENCE), len(y), float(len(y)))
    low, high = _Sum.of(y, w, of).ends()
    return WeightedFraction(value, min(low, value), max(high, value), len(y), effective)


def stratified_total(hits: ArrayLike, weights: ArrayLike, strata: ArrayLike) -> Estimate:
    """Number of hits in the whole with its 95 % interval; parameters as in `stratified_fraction`."""
    whole, found = float(np.sum(np.asarray(weights, float))), stratified_fraction(hits, weights, strata)
    return Estimate(*(whole * one for one in (found.value, found.low, found.high)))


def stratified_recall(lenses: ArrayLike, called: ArrayLike, weights: ArrayLike, strata: ArrayLike) -> WeightedFraction:
    """Fraction of the lenses of the whole that are called, from images taken out of its strata.

    A ratio of two unknown sums, of lenses called and lenses lost. Its ends are the quantiles of the ratio of one sum at
    its lower end and the other at its upper one, drawn apart (melded intervals, Fay et al. 2015, Biometrics 71, 146).

    Parameters
    ----------
    lenses, called
        Whether each is a lens, and is called one (n,).
    weights, strata
        As in `stratified_fraction`.

    Returns
    -------
    WeightedFraction
        Of so many lenses; NaN without one.
    """
    lens, w, of = _checked(lenses, weights, strata)
    call = np.asarray(called, bool)
    among = w[lens > 0]
    if not len(among):
        return WeightedFraction(math.nan, math.nan, math.nan, 0, 0.0)
    effective = float(among.sum()) ** 2 / float((among**2).sum())
    value = float(np.average(call[lens > 0], weights=among))
    if _alike(w):
        low, high = wilson_interval(int(call[lens > 0].sum()), len(among), CONFIDENCE)
        return WeightedFraction(value, low, high, len(among), effective)
    sums = [_Sum.of(lens[side], w[side], of[side]) if side.any() else None for side in (call, ~call)]
    low, high = _recall_ends(*sums)
    return WeightedFraction(value, min(low, value), max(high, value), len(among), effective)


def _recall_ends(found: _Sum | None, lost: _Sum | None) -> tuple[float, float]:
    if found is None:
        return 0.0, 0.0
    if lost is None:
        return 1.0, 1.0
    low = 0.0 if found.value <= 0 else 1 / (1 + math.exp(-_log_odds(found, lost)))
    high = 1.0 if lost.value <= 0 else 1 / (1 + math.exp(_log_odds(lost, found)))
    return low, high


def _log_odds(one: _Sum, other: _Sum) -> float:
    """The 2.5 % quantile of log(one / other), one sum at its lower end and the other at its upper end."""
    nodes = np.array([other.most])
    if other.value < other.most * _WHOLE:
        nodes = other.most * betaincinv(*other.upper(), (np.arange(_NODES) + 0.5) / _NODES)
    a, b = one.lower()
    low, high = -60.0, 60.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = float(betainc(a, b, np.minimum(math.exp(middle) * nodes / one.most, 1.0)).mean())
        low, high = (low, middle) if below >= _TAIL else (middle, high)
    return (low + high) / 2


def stratified_reliability(
    labels: ArrayLike, p: ArrayLike, weights: ArrayLike, strata: ArrayLike
) -> tuple[WeightedBin, ...]:
    """As `weighted_reliability`, of images taken out of strata (n,)."""
    y, w, of = _checked(labels, weights, strata)
    said = np.asarray(p, float)
    edges, bin_of = bins_of_p(said)
    found = []
    for index in range(len(edges) - 1):
        inside = bin_of == index
        mean = float(np.average(said[inside], weights=w[inside])) if inside.any() else math.nan
        lenses = stratified_fraction(y[inside], w[inside], of[inside])
        found.append(WeightedBin(float(edges[index]), float(edges[index + 1]), mean, lenses))
    return tuple(found)


def allocated(sizes: Sequence[int], shares: ArrayLike, budget: int, least: int = 1) -> NDArray[np.int64]:
    """How many of a `budget` fall to each stratum: in proportion to its share, `least` at least, its size at most.

    What a stratum cannot take falls to the others; what is left over by rounding goes to the largest remainders.

    Parameters
    ----------
    sizes
        Images in each stratum (h,).
    shares
        Not negative (h,).
    least
        Of every stratum, where it has so many.

    Raises
    ------
    ValueError
        The budget is smaller than what is the least of all strata together.
    """
    n, share = np.asarray(sizes, np.int64), np.asarray(shares, float)
    floor = np.minimum(n, least)
    budget = int(min(budget, n.sum()))
    if floor.sum() > budget:
        raise ValueError(f"a budget of {budget} is less than {least} of each of {len(n)} strata")
    low, high = 0.0, float(n.sum() / max(share[share > 0].min(initial=math.inf), 1e-300)) if (share > 0).any() else 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle * share, floor, n).sum() <= budget else (low, middle)
    wanted = np.clip(low * share, floor, n)
    taken = np.floor(wanted + 1e-9).astype(np.int64)
    left = budget - int(taken.sum())
    for place in [*np.argsort(-(wanted - taken), kind="stable"), *np.argsort(-n, kind="stable")] * 2:
        if left <= 0:
            break
        more = min(left, 1 if wanted[place] > taken[place] else int(n[place] - taken[place]))
        taken[place] += more
        left -= more
    return taken


def _checked(hits: ArrayLike, weights: ArrayLike, strata: ArrayLike) -> tuple[Array, Array, NDArray[np.intp]]:
    y, w, of = np.asarray(hits, float), np.asarray(weights, float), np.asarray(strata, np.intp)
    if not y.shape == w.shape == of.shape or y.ndim != 1:
        raise ValueError(f"hits {y.shape}, weights {w.shape} and strata {of.shape} must be equally long lists")
    if len(w) and not (w > 0).all():
        raise ValueError("weights must be above 0")
    return y, w, of


def _alike(weights: Array) -> bool:
    return bool(np.ptp(weights) <= 1e-9 * weights.max())
