"""What scores are worth where lenses are rare: the highest N of a survey, and a bound on false positives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.records import Number, Record
from lensaudit.statistics.roc import at_least, strict_threshold

Array = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate(Record):
    """A number with its 95 % interval."""

    value: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class TopN(Record):
    """What somebody who looks at the `n` highest scores of `images` finds.

    Attributes
    ----------
    purity
        Lenses per inspected image.
    completeness
        Fraction of all lenses that are among the n.
    lenses
        Expected number of lenses among the n.
    non_lenses_above
        Of the set's own non-lenses, how many score so high: what the purity rests on.
    """

    ALSO = ("few",)

    n: int
    images: int
    purity: Estimate
    completeness: Estimate
    lenses: Estimate
    non_lenses_above: int

    @property
    def few(self) -> bool:
        """Whether fewer than `FEW_ABOVE` of the set's non-lenses score so high: the set hardly tells the purity."""
        return self.non_lenses_above < FEW_ABOVE


FEW_ABOVE = 10
TOP_RESAMPLES = 1000


@dataclass(frozen=True)
class Survey:
    """Where a finder is used: fraction of lenses `prevalence` in (0, 1) among so many `images`."""

    prevalence: float
    images: int


def top_of(
    lenses: tuple[Array, Array],
    others: tuple[Array, Array],
    survey: Survey,
    inspected: Sequence[int],
    seed: int,
    resamples: int = TOP_RESAMPLES,
) -> tuple[TopN, ...]:
    """Purity and completeness among the highest scores of a survey, with intervals.

    Interval: between neighbouring scores of n images lies a fraction of all such images that is distributed as one of
    n + 1 exponential variables over their sum, whatever the distribution of scores (the sampling distribution of order
    statistics). Fractions are drawn so; for the lower end every non-lens between two scores takes the higher one and
    every lens the lower one, for the upper end the reverse. So beyond the highest non-lens of the set the purity is as
    little known as it is.

    Parameters
    ----------
    lenses, others
        Scores and sampling weights of each class, (n1,) and (n0,).
    inspected
        Values of N, each at most ``survey.images``.
    seed
        Root of the draws.
    """
    at = np.array([n / survey.images for n in inspected])
    nodes = _nodes(lenses, others, None)
    lens_curve, image_curve = _cumulated(nodes, nodes.weight[None], survey.prevalence)
    found = _interpolated(at, image_curve, lens_curve)[0]
    draws = np.random.default_rng([seed, _STREAM])
    low, high = (_drawn(_nodes(lenses, others, side), survey.prevalence, at, draws, resamples) for side in _SIDES)
    low = np.minimum(np.quantile(low, 0.5 - CONFIDENCE / 2, axis=0), found)
    high = np.maximum(np.quantile(high, 0.5 + CONFIDENCE / 2, axis=0), found)
    lowest = nodes.score[np.minimum(np.searchsorted(image_curve[0], at), len(nodes.score) - 1)]
    above = at_least(others[0], lowest)
    tops = []
    for place, n in enumerate(inspected):
        complete = Estimate(float(found[place]), float(low[place]), float(high[place]))
        ends = (complete.value, complete.low, complete.high)
        purity = [min(1.0, survey.prevalence * one / float(at[place])) for one in ends]
        lenses_found = Estimate(*(n * one for one in purity))
        tops.append(TopN(n, survey.images, Estimate(*purity), complete, lenses_found, int(above[place])))
    return tuple(tops)


_STREAM = 17  # keeps these draws apart from others of the same seed
_SIDES = {"low": (-math.inf, math.inf), "high": (math.inf, -math.inf)}
"""End of an interval → where lenses and non-lenses lie that are beyond the last score of the set."""
_CHUNK = 2_000_000


@dataclass(frozen=True)
class _Nodes:
    """Both classes along the score, highest first.

    Attributes
    ----------
    score
        Distinct scores, descending (g,).
    weight, lens
        Of every image in that order (n,).
    last
        Place of the last image of each distinct score (g,).
    """

    score: Array
    weight: Array
    lens: NDArray[np.bool_]
    last: NDArray[np.intp]


def _nodes(lenses: tuple[Array, Array], others: tuple[Array, Array], side: str | None) -> _Nodes:
    parts = []
    for place, (scores, weights) in enumerate((lenses, others)):
        extra = [] if side is None else [_SIDES[side][place]]
        parts.append((np.r_[scores, extra], np.r_[weights, [weights.mean()] * len(extra)]))
    score, weight = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.r_[score[order][1:] != score[order][:-1], True])
    return _Nodes(score[order][last], weight[order], order < len(parts[0][0]), last)


def _cumulated(nodes: _Nodes, mass: Array, prevalence: float) -> tuple[Array, Array]:
    """Fractions of all lenses and of all images that score so high or higher, (draws, g), for masses (draws, n)."""
    curves = []
    for which in (nodes.lens, ~nodes.lens):
        rising = np.cumsum(mass * which, axis=1)[:, nodes.last]
        curves.append(np.minimum(rising / rising[:, -1:], 1.0))
    return curves[0], prevalence * curves[0] + (1 - prevalence) * curves[1]


def _interpolated(at: Array, images: Array, lenses: Array) -> Array:
    """Fraction of lenses among the fraction `at` of images, (draws, m); equal scores come in any order."""
    return np.array([np.interp(at, np.r_[0.0, x], np.r_[0.0, y]) for x, y in zip(images, lenses, strict=True)])


def _drawn(nodes: _Nodes, prevalence: float, at: Array, draws: np.random.Generator, resamples: int) -> Array:
    n, found = len(nodes.weight), []
    rows = max(1, _CHUNK // n)
    for first in range(0, resamples, rows):
        mass = nodes.weight * draws.standard_exponential((min(rows, resamples - first), n))
        lenses, images = _cumulated(nodes, mass, prevalence)
        found.append(_interpolated(at, images, lenses))
    return np.concatenate(found)


@dataclass(frozen=True)
class FalsePositiveBound(Record):
    """A threshold that bounds the false-positive rate, whatever the distribution of scores.

    Attributes
    ----------
    fpr, confidence
        With at least `confidence` over draws of such non-lenses, at most the fraction `fpr` of all exchangeable
        non-lenses scores above `threshold`.
    threshold
        On the log-odds; NaN where there are too few non-lenses.
    n, allowed
        Non-lenses it rests on, and how many of them score above it.
    mean_fpr
        (allowed + 1) / (n + 1): the chance that one more non-lens scores above it, over both draws (split conformal).
    n_given
        Non-lenses before those of unequal sampling weight were thinned.
    status
        Empty, or why there is no such threshold.
    """

    fpr: float
    confidence: float
    threshold: Number
    n: int
    allowed: int
    mean_fpr: Number
    n_given: int
    status: str = ""


def false_positive_bound(
    others: ArrayLike, weights: ArrayLike, fpr: float, seed: int, confidence: float = CONFIDENCE
) -> FalsePositiveBound:
    """The lowest threshold whose false-positive rate is at most `fpr` with `confidence` (Clopper & Pearson 1934).

    Non-lenses of unequal sampling weights are not exchangeable with those of the sky. Each is kept with a chance in
    proportion to its weight, which makes them so; the draws come from `seed`.

    Parameters
    ----------
    others, weights
        Scores of non-lenses and their sampling weights (n,).
    fpr, confidence
        In (0, 1).
    """
    scores, w = np.asarray(others, float), np.asarray(weights, float)
    kept = scores[w > np.random.default_rng([seed, _STREAM, 1]).random(len(w)) * w.max(initial=0.0)]
    n = len(kept)
    needed = math.ceil(math.log(1 - confidence) / math.log1p(-fpr))
    if n < needed:
        left = f" left of {len(scores)} after thinning to equal weights" if n < len(scores) else ""
        status = f"needs at least {needed} non-lenses, there are {n}{left}"
        return FalsePositiveBound(fpr, confidence, math.nan, n, 0, math.nan, len(scores), status)
    from scipy.stats import binom  # half a second that most commands need not wait

    counts = np.arange(n)
    allowed = int((binom.cdf(counts, n, fpr) <= 1 - confidence).sum()) - 1
    threshold = strict_threshold(kept, allowed)
    return FalsePositiveBound(fpr, confidence, threshold, n, allowed, (allowed + 1) / (n + 1), len(scores))
