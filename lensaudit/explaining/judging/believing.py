"""Which methods may be believed for a finder and a kind of scene: the rule, applied to scores of single images.

A method may be believed where it

1. passes the parameter-randomisation check (Adebayo et al. 2018): its maps hang on what the finder has learnt;
2. says *how much* each place counts better than maps that know no finder: lower infidelity (Yeh et al. 2019);
3. puts the places in *order* better than these: a larger insertion less deletion area (Petsiuk et al. 2018).

In 2 and 3 it must beat each of three rivals, image by image: the centre blob, the edge detector and pixels in random
order. Both are asked, since measures of faithfulness often disagree (Tomsett et al. 2020): tiles removed one at a time
test amounts near the image, curves test an order far away from it. Where the attribution lies does not decide: a
finder may rightly look elsewhere than at the lensed light.

Each of the six comparisons is a one-sided Wilcoxon signed-rank test. All six must hold, so that the largest p counts
(an intersection-union test, Berger 1982, which needs no correction); over the methods Holm's correction is applied.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.explaining.judging.records import PASSES, ImageScore
from lensaudit.explaining.judging.scores import RANDOM
from lensaudit.records import Number, Record
from lensaudit.scenes.scene import LENS_KINDS, NON_LENS_KINDS
from lensaudit.statistics import bootstrap_interval, holm

SIGNIFICANCE = 0.05
FEWEST_IMAGES = 8
"""With fewer no verdict: eight that all agree have p = 1/256, nine times which (as many methods) is still below .05."""

RIVALS = ("centre-blob", "edges", RANDOM)
NEEDED = ("infidelity", "deletion", "insertion")
"""Scores that the rule asks for."""

BELIEVABLE, NO_BETTER, UNDECIDED, FEW = "believable", "no better", "undecided", "too few images"
POOLS = {"all lenses": LENS_KINDS, "all non-lenses": NON_LENS_KINDS}
"""Several kinds together: more images, and what is asked of cutouts whose kind nobody knows."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Margin(Record):
    """By how much a method beats the rival that it beats least, in one of the two questions.

    Attributes
    ----------
    rival
        Its name.
    value, low, high
        Mean over images of the difference, above 0 where the method is better, with its 95 % bootstrap interval.
    p
        Largest of the three one-sided p values, corrected for the number of methods.
    """

    rival: str
    value: Number
    low: Number
    high: Number
    p: Number

    @property
    def holds(self) -> bool:
        """Whether it beats all three."""
        return self.p < SIGNIFICANCE and self.value > 0


@dataclass(frozen=True)
class Belief(Record):
    """Whether a method may be believed for one finder and kind of scene.

    Attributes
    ----------
    finder, method, kind
        Of what.
    n
        Images with all scores.
    verdict
        ``believable``; ``no better``: the check fails, or a rival is shown to be as good; else ``undecided``, or
        ``too few images``.
    check
        Verdict of the parameter-randomisation check; empty where it was not made.
    infidelity
        Mean over images.
    amount, order
        Of infidelity, and of insertion less deletion.
    p
        Of the six comparisons together, corrected for the number of methods.
    """

    finder: str
    method: str
    kind: str
    n: int
    verdict: str
    check: str
    infidelity: Number
    amount: Margin
    order: Margin
    p: Number


def beliefs_of(
    finder: str,
    scored: Mapping[tuple[str, str], Sequence[ImageScore]],
    checks: Mapping[str, str],
    seed: int = 0,
) -> tuple[Belief, ...]:
    """Every method on every kind of scene, and on all lenses and all non-lenses together.

    Parameters
    ----------
    finder
        Its name.
    scored
        (explainer, kind) → scores of images, of baselines and random order too.
    checks
        Method → verdict of its parameter-randomisation check.
    seed
        Of the intervals.

    Returns
    -------
    tuple of Belief
        Empty where the scores that the rule needs were not asked for.
    """
    tables = {key: _table(scores) for key, scores in scored.items()}
    explainers = list(dict.fromkeys(name for name, _ in tables))
    kinds = list(dict.fromkeys(kind for _, kind in tables))
    for pool, members in POOLS.items():
        parts = [kind for kind in kinds if kind in members]
        if len(parts) > 1:
            kinds.append(pool)
            for name in explainers:
                tables[name, pool] = {s: row for kind in parts for s, row in tables.get((name, kind), {}).items()}
    found: list[Belief] = []
    for kind in kinds:
        of_kind = {name: tables[name, kind] for name in explainers if tables.get((name, kind))}
        if of_kind.keys() >= set(RIVALS):
            found += _of_kind((finder, kind), of_kind, checks, seed)
    return tuple(found)


def _table(scores: Sequence[ImageScore]) -> dict[str, tuple[float, float]]:
    """Image → (infidelity, insertion − deletion), of images that have them all."""
    values = {(one.system, one.score): one.value for one in scores}
    rows = {}
    for system in dict.fromkeys(one.system for one in scores):
        infidelity, deletion, insertion = (values.get((system, score), math.nan) for score in NEEDED)
        if not math.isnan(infidelity + deletion + insertion):
            rows[system] = (infidelity, insertion - deletion)
    return rows


@dataclass(frozen=True, eq=False)
class _Gains:
    """Over each rival, image by image, above 0 where the method is better; and the method's infidelity."""

    amount: Mapping[str, Array]
    order: Mapping[str, Array]
    infidelity: Array


def _of_kind(
    names: tuple[str, str],
    tables: Mapping[str, Mapping[str, tuple[float, float]]],
    checks: Mapping[str, str],
    seed: int,
) -> Iterator[Belief]:
    """`names`: finder and kind."""
    methods = [name for name in tables if name not in RIVALS]
    gains = {name: _gains(tables, name) for name in methods}
    raw = {name: (_largest_p(one.amount), _largest_p(one.order)) for name, one in gains.items()}
    columns = ([p[0] for p in raw.values()], [p[1] for p in raw.values()], [max(p) for p in raw.values()])
    corrected = [dict(zip(methods, holm(column).tolist(), strict=True)) for column in columns]
    for name in methods:
        one, n = gains[name], len(gains[name].infidelity)
        of = [_margin(part, (*names, name), seed) for part in (one.amount, one.order)]
        amount, order = (replace(margin, p=p[name]) for margin, p in zip(of, corrected[:2], strict=True))
        check, p = checks.get(name, ""), corrected[2][name]
        verdict = _verdict(n, check, p, one, (amount, order))
        mean = float(one.infidelity.mean()) if n else math.nan
        yield Belief(names[0], name, names[1], n, verdict, check, mean, amount, order, p)


def _gains(tables: Mapping[str, Mapping[str, tuple[float, float]]], method: str) -> _Gains:
    systems = [name for name in tables[method] if all(name in tables[rival] for rival in RIVALS)]
    values = {name: np.array([tables[name][one] for one in systems]).reshape(-1, 2) for name in (method, *RIVALS)}
    own = values[method]
    return _Gains(
        {rival: values[rival][:, 0] - own[:, 0] for rival in RIVALS},
        {rival: own[:, 1] - values[rival][:, 1] for rival in RIVALS},
        own[:, 0],
    )


def _largest_p(gains: Mapping[str, Array]) -> float:
    return max(better_p(gain) for gain in gains.values())


def better_p(gain: Array) -> float:
    """One-sided p of Wilcoxon's signed-rank test that `gain` (n,) lies above 0; differences of 0 are split."""
    from scipy.stats import wilcoxon

    if len(gain) == 0 or not gain.any():
        return 1.0
    return float(wilcoxon(gain, alternative="greater", zero_method="zsplit").pvalue)


def _margin(gains: Mapping[str, Array], names: tuple[str, ...], seed: int) -> Margin:
    """Against the rival with the lowest mean; p follows."""
    rival = min(gains, key=lambda name: float(gains[name].mean()) if len(gains[name]) else math.nan)
    low, high = _interval(gains[rival], names, seed)
    value = float(gains[rival].mean()) if len(gains[rival]) else math.nan
    return Margin(rival, value, low, high, math.nan)


def _interval(gain: Array, names: tuple[str, ...], seed: int) -> tuple[float, float]:
    if len(gain) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng([seed, zlib.crc32(" ".join(names).encode())])
    return bootstrap_interval([gain], np.mean, rng, resamples=1000)


def _verdict(n: int, check: str, p: float, gains: _Gains, margins: tuple[Margin, Margin]) -> str:
    if n < FEWEST_IMAGES:
        return FEW
    if check == "fails" or any(margin.high <= 0 for margin in margins):
        return NO_BETTER
    means = [float(gain.mean()) for part in (gains.amount, gains.order) for gain in part.values()]
    return BELIEVABLE if check == PASSES and p < SIGNIFICANCE and min(means) > 0 else UNDECIDED
