"""Is a new finder worse than an earlier one anywhere: paired on the same images, by group, corrected over all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.comparing.limits import AREA, AT_FPR, FALSE_ALARMS, RECALL, Limits
from lensaudit.comparing.pairs import Told
from lensaudit.comparing.subgroups import Subgroup
from lensaudit.display.numbers import decimal, interval, p_value
from lensaudit.errors import AuditFailed
from lensaudit.records import Number, Record
from lensaudit.statistics import (
    Changed,
    area_change,
    fraction_change,
    holm,
    objects_to_settle,
    pairs_to_settle,
    rate_changes_at_fpr,
)
from lensaudit.verdicts import (
    BIAS,
    EQUIVALENT,
    GAIN,
    INCONCLUSIVE,
    REGRESSION,
    REGRESSION_LADDER,
    SIGNIFICANCE,
    TENTATIVE,
    State,
    decide,
)

FEWEST = 10
"""Images of a group that is tested: with fewer, no outcome is significant among so many."""

ORDER = (REGRESSION, TENTATIVE, INCONCLUSIVE, GAIN, EQUIVALENT)
"""States in the order of the table."""

_STREAM = 23


@dataclass(frozen=True)
class Check(Record):
    """One metric of one group under the baseline and under the new finder.

    Attributes
    ----------
    finder
        Label of the new one.
    metric
        ``recall``, ``recall-at-fpr``, ``false-positives`` or ``auroc``.
    group, column, lenses
        Which images, the column of the catalogue that divides them (empty for a whole class), and of which class.
    n
        Images of the group.
    old, new, low, high
        The numbers, and the 95 % interval of new − old.
    gained, lost
        Images called a lens by the new finder only, and by the old one only; of areas 0.
    p, p_holm, family
        p-value that it is worse by no more than what is accepted, the same after Holm over `family` tests; NaN where
        nothing is tested.
    word
        Of a `lensaudit.verdicts.State`.
    needed
        Images of the group that would settle an open one; None where none is known to.
    """

    finder: str
    metric: str
    group: str
    column: str
    lenses: bool
    n: int
    old: Number
    new: Number
    low: Number
    high: Number
    gained: int
    lost: int
    p: Number
    p_holm: Number = math.nan
    family: int = 0
    word: str = ""
    needed: int | None = None

    @property
    def change(self) -> float:
        """New − old."""
        return self.new - self.old

    @property
    def worse(self) -> tuple[float, float, float]:
        """The change with its interval, negative for the worse: of false positives, more are worse."""
        turn = -1 if self.metric == FALSE_ALARMS else 1
        low, high = sorted((turn * self.low, turn * self.high))
        return turn * self.change, low, high

    def sentence(self, limits: Limits) -> str:
        """What happened, with every number it rests on."""
        moved = f"{decimal(self.old)} → {decimal(self.new)} ({decimal(self.change, sign=True)}"
        more = f"; {self.needed} would settle it" if self.needed else ""
        return (
            f"{self.group}, {limits.named(self.metric)}: {moved}, 95 % interval {interval(self.low, self.high)}, "
            f"n = {self.n}, {p_value(self.p_holm)} after Holm over {self.family} tests): {self.word}{more}"
        )


def checks_of(
    labels: NDArray[np.int8],
    told: tuple[Told, Told],
    groups: Sequence[Subgroup],
    limits: Limits,
    seed: int,
) -> list[Check]:
    """Compare a new finder with the baseline in every group, without correction and verdict yet: see `concluded`.

    Parameters
    ----------
    labels
        1, 0, others are left out (n,).
    told
        What the baseline and the new finder say of these images.
    groups
        Of `subgroups_of`, of images that both could score.
    """
    calls = [one.p_lens >= one.threshold for one in told]
    lens, other = labels == 1, labels == 0
    divided = [group for group in groups if group.lenses]
    found: list[tuple[Subgroup, str, Changed]] = []
    for group in groups:
        metric = RECALL if group.lenses else FALSE_ALARMS
        called = calls[0][group.rows], calls[1][group.rows]
        change = fraction_change(*called, limits.of(metric), more_is_worse=metric == FALSE_ALARMS)
        found.append((group, metric, change))
    if divided and other.any():
        inside = np.stack([group.rows[lens] for group in divided], axis=1)
        scores = [(one.logit[lens], one.logit[other]) for one in told]
        rng = np.random.default_rng([seed, _STREAM])
        rates = rate_changes_at_fpr(scores[0], scores[1], inside, limits.fpr, rng, limits.of(AT_FPR))
        found += [(group, AT_FPR, change) for group, change in zip(divided, rates, strict=True)]
    for group in groups:
        if group.column or group.lenses:  # all non-lenses against all lenses is the same area
            rows = (group.rows, other) if group.lenses else (lens, group.rows)
            baseline, asked = ((one.logit[rows[0]], one.logit[rows[1]]) for one in told)
            areas = area_change(baseline, asked, limits.of(AREA))
            found.append((group, AREA, areas))
    return [_check(told[1].finder, group, metric, change) for group, metric, change in found]


def _check(finder: str, group: Subgroup, metric: str, change: Changed) -> Check:
    n = int(group.rows.sum())
    return Check(
        finder, metric, group.words, group.column, group.lenses, n, change.old, change.new, change.low, change.high,
        change.gained, change.lost, change.p_beyond if n >= FEWEST else math.nan,
    )  # fmt: skip


def corrected(checks: Sequence[Check]) -> list[Check]:
    """The checks with Holm's correction over all that are tested."""
    tested = [place for place, one in enumerate(checks) if not math.isnan(one.p)]
    values = dict(zip(tested, holm([checks[place].p for place in tested]), strict=True)) if tested else {}
    return [
        replace(one, p_holm=float(values.get(place, math.nan)), family=len(tested)) for place, one in enumerate(checks)
    ]


def concluded(checks: Sequence[Check], limits: Limits) -> list[Check]:
    """The checks, corrected over all of them, with their verdicts and what would settle those that are open."""
    settled = []
    for one in corrected(checks):
        state = _state(one, limits.of(one.metric))
        settled.append(replace(one, word=state.word, needed=_needed(one, limits) if state.open else None))
    return settled


def _state(check: Check, tolerance: float) -> State:
    _, low, high = check.worse
    if math.isnan(low):
        return INCONCLUSIVE
    state = decide("population", (low, high), tolerance, check.p_holm < SIGNIFICANCE, assessable=True)
    return REGRESSION if state is BIAS else state


def _needed(check: Check, limits: Limits) -> int | None:
    """Images of the group with which it would be settled in 80 of 100 sets, were the rates those seen."""
    tolerance, (change, low, high) = limits.of(check.metric), check.worse
    if check.n == 0 or math.isnan(low):
        return None
    if check.metric in (RECALL, FALSE_ALARMS):
        gained, lost = (check.lost, check.gained) if check.metric == FALSE_ALARMS else (check.gained, check.lost)
        return pairs_to_settle(gained, lost, check.n, tolerance, max(check.family, 1), either=False)
    family = max(check.family, 1) if change < -tolerance else 1
    return objects_to_settle(check.n, (low, high), abs(change + tolerance), family)


@dataclass(frozen=True)
class ProbeChange(Record):
    """A probe's verdicts of the baseline and of a new finder, and whether the new one has a bias the old had not.

    Attributes
    ----------
    old, new
        Words of the verdicts; empty where the finder was not asked.
    word
        ``regression`` where the new finder is shown to have a bias (or false positives) whose whole interval lies
        beyond the old one's; ``tentative`` where the intervals overlap and the old one was not shown to have it;
        empty else.
    sentence
        Both changes with their intervals.
    """

    finder: str
    probe: str
    title: str
    old: str
    new: str
    word: str
    sentence: str


@dataclass(frozen=True)
class Baseline(Record):
    """The finder that others are compared with, what is accepted, and what the probes say of both."""

    finder: str
    limits: Limits
    probes: tuple[ProbeChange, ...] = ()


def regressions_of(checks: Iterable[Check], baseline: Baseline, fail_on: str = REGRESSION.word) -> list[str]:
    """Sentences of all that is a regression, or graver or as grave as the word of a state of the ladder says."""
    ladder = [state.word for state in REGRESSION_LADDER]
    counted = ladder[: ladder.index(fail_on) + 1]
    ranked = sorted((one for one in checks if one.word in counted), key=rank)
    probed = [f"probe {one.title}: {one.sentence}" for one in baseline.probes if one.word in counted]
    return [*(one.sentence(baseline.limits) for one in ranked), *probed]


def rank(check: Check) -> tuple[int, float]:
    """Its place in the table: by state, the largest loss first."""
    place = next((at for at, state in enumerate(ORDER) if state.word == check.word), len(ORDER))
    loss = check.worse[0]
    return place, loss if math.isfinite(loss) else math.inf


def fail_where_worse(checks: Sequence[Check], baseline: Baseline, fail_on: str) -> None:
    """Raise AuditFailed where the comparison holds what the user chose to fail on; empty: never."""
    found = regressions_of(checks, baseline, fail_on) if fail_on else []
    if found:
        raise AuditFailed(f"--fail-on {fail_on}: {len(found)} found against {baseline.finder}, first: {found[0]}")
