"""Finders in pairs on the same images: who gets right what the other does not, whose AUROC is larger, the ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lensaudit.evaluation import FPR
from lensaudit.records import Number, Record
from lensaudit.statistics import RESAMPLES, allowed_false_positives, holm, mcnemar_exact, paired_auroc, strict_threshold


@dataclass(frozen=True)
class McNemar(Record):
    """How many of n images both, one alone, or neither of two finders gets right; McNemar's exact p."""

    n: int
    both: int
    a_alone: int
    b_alone: int
    neither: int
    p: Number
    p_holm: Number = math.nan

    def turned(self) -> McNemar:
        """The same of b and a."""
        return McNemar(self.n, self.both, self.b_alone, self.a_alone, self.neither, self.p, self.p_holm)


@dataclass(frozen=True)
class AreaDifference(Record):
    """AUROC of a less that of b with its 95 % interval, and DeLong's p."""

    n: int
    difference: Number
    low: Number
    high: Number
    p: Number
    method: str
    p_holm: Number = math.nan

    def turned(self) -> AreaDifference:
        """The same of b and a."""
        return AreaDifference(self.n, -self.difference, -self.high, -self.low, self.p, self.method, self.p_holm)


@dataclass(frozen=True)
class Pair(Record):
    """Two finders on the same labelled images.

    Attributes
    ----------
    a, b
        Their labels.
    own
        Which images each calls right at its own threshold.
    fpr
        Which lenses each finds at a false-positive rate of at most 1 % of these non-lenses.
    auroc
        Difference of the areas.
    """

    a: str
    b: str
    own: McNemar
    fpr: McNemar
    auroc: AreaDifference

    def turned(self) -> Pair:
        """The same of b and a."""
        return Pair(self.b, self.a, self.own.turned(), self.fpr.turned(), self.auroc.turned())


@dataclass(frozen=True)
class Place(Record):
    """Where a finder stands by AUROC.

    Attributes
    ----------
    place
        From 1.
    finder
        Its label.
    not_told_from
        Labels of those whose AUROC differs with a Holm-corrected p of 0.05 or more; None where no pair was tested.
    """

    place: int
    finder: str
    not_told_from: tuple[str, ...] | None


SIGNIFICANCE = 0.05
"""Holm-corrected p-value below which a difference is shown."""

FEWEST = 2
"""Images of each class that a comparison needs."""

_STREAM = 21
_METHOD = f"paired bootstrap, {RESAMPLES} resamples; p by DeLong"


@dataclass(frozen=True, eq=False)
class Told:
    """What one finder said of the images that all finders of the set could score.

    Attributes
    ----------
    finder
        Its label.
    p_lens, logit
        Scores, float64 (n,).
    threshold
        On p.
    """

    finder: str
    p_lens: NDArray[np.float64]
    logit: NDArray[np.float64]
    threshold: float


def pairs_of(labels: NDArray[np.int8], told: Sequence[Told], seed: int) -> tuple[Pair, ...]:
    """Compare every two finders on the same labelled images.

    Parameters
    ----------
    labels
        1 or 0 (n,).
    told
        One per finder, on these images in this order.

    Returns
    -------
    tuple of Pair
        One per pair, in the order of `told`; p is corrected after Holm over all pairs of each comparison. Empty with
        one finder, or fewer than two of a class.
    """
    lens = labels == 1
    if len(told) < 2 or min(lens.sum(), (~lens).sum()) < FEWEST:
        return ()
    right = {one.finder: (one.p_lens >= one.threshold) == lens for one in told}
    found = {one.finder: _found_at_fpr(one, lens) for one in told}
    logits = np.stack([one.logit for one in told], axis=1)
    areas = paired_auroc(logits[lens], logits[~lens], np.random.default_rng([seed, _STREAM]))
    pairs = [
        Pair(
            a.finder,
            b.finder,
            _mcnemar(right[a.finder], right[b.finder]),
            _mcnemar(found[a.finder], found[b.finder]),
            AreaDifference(len(lens), *areas.difference(i, j), areas.p_value(i, j), _METHOD),
        )
        for (i, a), (j, b) in combinations(enumerate(told), 2)
    ]
    for name in ("own", "fpr", "auroc"):
        adjusted = holm([getattr(pair, name).p for pair in pairs])
        pairs = [
            replace(pair, **{name: replace(getattr(pair, name), p_holm=float(p))})
            for pair, p in zip(pairs, adjusted, strict=True)
        ]
    return tuple(pairs)


def ranking_of(areas: Mapping[str, float], pairs: Sequence[Pair]) -> tuple[Place, ...]:
    """Finders by AUROC, the highest first, each with those that do not differ significantly from it.

    Parameters
    ----------
    areas
        Finder → AUROC; NaN where there is none.
    """
    order = sorted(areas, key=lambda name: (math.isnan(areas[name]), -areas[name], name))
    alike: dict[str, list[str]] = {name: [] for name in order}
    for pair in pairs:
        if pair.auroc.p_holm >= SIGNIFICANCE:
            alike[pair.a].append(pair.b)
            alike[pair.b].append(pair.a)
    return tuple(
        Place(place, name, tuple(sorted(alike[name], key=order.index)) if pairs else None)
        for place, name in enumerate(order, 1)
    )


def _found_at_fpr(one: Told, lens: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the lenses (n1,) lie above the score that leaves at most 1 % of the non-lenses above it."""
    others = one.logit[~lens]
    return one.logit[lens] > strict_threshold(others, allowed_false_positives(len(others), FPR))


def _mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Counts of a 2 × 2 table and McNemar's exact p-value."""
    alone, other_alone = int((first & ~second).sum()), int((~first & second).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    return McNemar(len(first), both, alone, other_alone, neither, mcnemar_exact(alone, other_alone))
