"""From scores of images to scores of kinds: means with intervals, beside chance."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.explaining.judging.records import ImageScore, RandomisationResult, Row
from lensaudit.explaining.judging.scores import RANDOM, SCORES, Score
from lensaudit.scenes.scene import NON_LENS_KINDS
from lensaudit.statistics import bootstrap_interval, wilson_interval

ALL_NON_LENSES = "all non-lenses"
ALL_KINDS = "all kinds"
OK = "ok"

TABLE_RESAMPLES = 1000
"""Of each interval; a table has hundreds, and 1000 know the ends of one to a few per cent of its width."""

Scored = Mapping[tuple[str, str], Sequence[ImageScore]]
"""(explainer, kind) → scores."""


def rows_of(finder: str, scored: Scored, no_mask: Mapping[str, str], seed: int) -> tuple[Row, ...]:
    """The long table.

    Parameters
    ----------
    finder
        Its name.
    scored
        Scores of images; those of `RANDOM` are the chance of deletion, insertion and infidelity.
    no_mask
        Kind → why it has no truth masks, for kinds that have none.
    seed
        Of the intervals.
    """
    pooled = _with_pool(scored)
    chance = {
        (kind, one.system, one.score): one.value
        for (explainer, kind), scores in pooled.items()
        if explainer == RANDOM
        for one in scores
    }
    rows = []
    for (explainer, kind), scores in pooled.items():
        if explainer == RANDOM:
            continue
        for name, score in SCORES.items():
            of_score = [one for one in scores if one.score == name]
            if of_score:
                pairs = [(one.value, _chance(one, chance, kind)) for one in of_score]
                rows.append(_row((finder, explainer, kind, score), pairs, _status(of_score), seed))
            elif score.part == "localisation" and kind in no_mask:
                rows.append(_row((finder, explainer, kind, score), [], no_mask[kind], seed))
    return tuple(rows)


def with_checks(finder: str, rows: Sequence[Row], checks: Sequence[RandomisationResult]) -> tuple[Row, ...]:
    """`rows` with the verdict on their method, and a row for each check."""
    verdicts = {check.method: check.verdict for check in checks}
    labelled = [replace(row, check=verdicts.get(row.method, "")) for row in rows]
    return (*labelled, *(_check_row(finder, check) for check in checks))


def _check_row(finder: str, check: RandomisationResult) -> Row:
    return Row(
        finder=finder,
        method=check.method,
        kind=ALL_KINDS,
        score="randomised-similarity",
        value=check.excess,
        low=check.low,
        high=check.high,
        chance=0.0,
        n=check.images,
        status=check.verdict,
        gain_low=check.low,
        gain_high=check.high,
        check=check.verdict,
    )


def _with_pool(scored: Scored) -> dict[tuple[str, str], Sequence[ImageScore]]:
    """`scored` and, where there are several kinds of non-lenses, all of them together."""
    pooled = dict(scored)
    kinds = {kind for _, kind in scored if kind in NON_LENS_KINDS}
    if len(kinds) > 1:
        for explainer in dict.fromkeys(explainer for explainer, _ in scored):
            parts = [scores for (name, kind), scores in scored.items() if name == explainer and kind in kinds]
            pooled[explainer, ALL_NON_LENSES] = [one for scores in parts for one in scores]
    return pooled


def _chance(one: ImageScore, of_random: Mapping[tuple[str, str, str], float], kind: str) -> float:
    return one.chance if not math.isnan(one.chance) else of_random.get((kind, one.system, one.score), math.nan)


def _status(scores: Sequence[ImageScore]) -> str:
    missing = Counter(one.status for one in scores if one.status)
    told = ", ".join(f"{count} {why}" for why, count in missing.items())
    return f"{sum(missing.values())} of {len(scores)} left out: {told}" if missing else OK


def _row(names: tuple[str, str, str, Score], pairs: Sequence[tuple[float, float]], status: str, seed: int) -> Row:
    finder, explainer, kind, score = names
    both = np.array([pair for pair in pairs if not math.isnan(pair[0])], float).reshape(-1, 2)
    value, gain = both[:, 0], both[:, 0] - both[:, 1]
    rng = np.random.default_rng([seed, zlib.crc32(f"{explainer} {kind} {score.name}".encode())])
    mean, chance = (float(part.mean()) if len(both) else math.nan for part in both.T)
    if score.name == "pointing-game" and np.isin(value, (0.0, 1.0)).all() and len(value) > 1:
        low, high = wilson_interval(int(value.sum()), len(value))  # all resamples of few hits may be alike
        of_gain = low - chance, high - chance
    else:
        (low, high), of_gain = _interval(value, rng), _interval(gain, rng)
    return Row(finder, explainer, kind, score.name, mean, low, high, chance, len(both), status, *of_gain)


def _interval(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Of the mean; none of fewer than two."""
    if len(values) < 2:
        return math.nan, math.nan
    return bootstrap_interval([values], np.mean, rng, resamples=TABLE_RESAMPLES)
