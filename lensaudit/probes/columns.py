"""What was asked and said about one population, and its table of pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.imaging import truth_columns
from lensaudit.probes.definition import LensRule, ProbeDefinition
from lensaudit.probes.experiment import Experiment, PairColumn
from lensaudit.probes.finding import ARMS, PairedScores, Recall, probability
from lensaudit.records import Record

if TYPE_CHECKING:
    from lensaudit.probes.collect import Answers

PHYSICAL = "doses.physical.column"

PHYSICAL_COLUMNS = (
    "theta_e_arcsec",
    "arc_snr",
    "colour_source_VIS_H",
    "colour_lens_VIS_H",
    "mag_source_VIS",
    "mag_lens_VIS",
)
_PHYSICAL = re.compile(r"theta_e_arcsec|arc_snr|(colour|mag)_(source|lens)_.+")


def physical_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Those truth columns that say what a dose is on the sky; of Euclid's, `PHYSICAL_COLUMNS`."""
    names = tuple(names)
    if set(PHYSICAL_COLUMNS) <= set(names):
        return PHYSICAL_COLUMNS
    return tuple(name for name in names if _PHYSICAL.fullmatch(name))


@dataclass(frozen=True)
class Sample:
    """The pairs of one population: what they are, what the finder said, which (arms, n) fulfil the lens rule.

    The tables and pictures of pairs show the control and the last treated arm; `scores` has all of them.
    """

    label: str
    experiment: Experiment
    asked: Answers
    threshold: float
    fulfils: NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Systems."""
        return self.experiment.source.n

    @property
    def last(self) -> int:
        """Number of the last treated arm."""
        return len(self.experiment.arms) - 1

    def arm(self, name: str) -> int:
        """Number of the arm called ``control`` or ``treated`` where only one treated arm is shown."""
        return {"control": 0, "treated": self.last}[name]

    def scores(self, arm: int) -> PairedScores:
        """Control against arm number `arm`."""
        return PairedScores(self.asked.logit[0], self.asked.logit[arm], self.threshold, self.experiment.source.groups)

    def truth(self, arm: int, column: str) -> NDArray[Any]:
        """One truth column of one arm (n,)."""
        return self.asked.truth[column][arm]

    def visible(self, arm: int) -> NDArray[np.bool_]:
        """Pairs (n,) that hold a visible lens in the control and in arm `arm`."""
        return self.fulfils[0] & self.fulfils[arm]


def fulfilling(rule: LensRule | None, truth: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Which of (arms, n) fulfil the rule; all of them without a rule. A NaN fulfils nothing."""
    keep = np.ones(truth["label"].shape, dtype=bool)
    for column, value in (rule.above if rule else {}).items():
        keep &= np.nan_to_num(truth[column].astype(float), nan=-np.inf) > value
    return keep


def pair_columns(samples: Sequence[Sample]) -> tuple[PairColumn, ...]:
    """Columns of ``pairs.parquet`` over all populations, in their order: control and last treated arm."""

    def column(name: str, unit: str, description: str, values: Callable[[Sample], Any]) -> PairColumn:
        return PairColumn(name, unit, description, np.concatenate([np.asarray(values(one)) for one in samples]))

    def logit(arm: str) -> Callable[[Sample], NDArray[np.float64]]:
        return lambda sample: sample.asked.logit[sample.arm(arm)]

    def chance(arm: str) -> Callable[[Sample], NDArray[np.float64]]:
        return lambda sample: probability(sample.asked.logit[sample.arm(arm)])

    def fulfils(arm: str) -> Callable[[Sample], NDArray[np.bool_]]:
        return lambda sample: sample.fulfils[sample.arm(arm)]

    def truth(arm: str, name: str) -> Callable[[Sample], NDArray[Any]]:
        return lambda sample: sample.truth(sample.arm(arm), name)

    changed = "pixels of the first band that differ by more than 0.5 σ"
    return (
        *_which(column),
        *(column(f"p_{arm}", "", f"p(lens) of the {arm} arm", chance(arm)) for arm in ARMS),
        *(column(f"logit_{arm}", "", f"logit of the {arm} arm", logit(arm)) for arm in ARMS),
        column("n_changed_pixels", "", changed, lambda sample: sample.asked.changed[sample.last]),
        *(
            column(f"{arm}_fulfils_rule", "", f"whether the {arm} arm fulfils the lens rule", fulfils(arm))
            for arm in ARMS
        ),
        *(
            column(f"{arm}_{c.name}", c.unit or "", f"{arm} arm: {c.description}", truth(arm, c.name))
            for arm in ARMS
            for c in samples[0].experiment.source.columns
        ),
    )


def dose_columns(samples: Sequence[Sample]) -> tuple[PairColumn, ...]:
    """Columns of ``doses.parquet``: every arm of every pair, the control first."""

    def column(name: str, description: str, values: Callable[[Sample, int], Any]) -> PairColumn:
        parts = [np.asarray(values(one, arm)) for one in samples for arm in range(len(one.experiment.arms))]
        return PairColumn(name, "", description, np.concatenate(parts))

    def dose(sample: Sample, arm: int) -> NDArray[np.float64]:
        value = sample.experiment.arms[arm].dose
        return np.full(sample.n, np.nan if value is None else value)

    return (
        column("pair_id", "name of the pair", lambda one, _: [one.experiment.source.id(k) for k in range(one.n)]),
        column("population", "label of the population", lambda one, _: [one.label] * one.n),
        column("arm", "0 is the control", lambda one, arm: np.full(one.n, arm)),
        column("dose", "strength of the edit; NaN in the control and where there is one treated arm", dose),
        column("p", "p(lens)", lambda one, arm: probability(one.asked.logit[arm])),
        column("logit", "log-odds of lens", lambda one, arm: one.asked.logit[arm]),
        column(
            "n_changed_pixels", "pixels of the first band changed by more than 0.5 σ", lambda o, a: o.asked.changed[a]
        ),
        column("fulfils_rule", "whether the arm fulfils the lens rule", lambda one, arm: one.fulfils[arm]),
    )


def _which(column: Callable[..., PairColumn]) -> tuple[PairColumn, ...]:
    return (
        column(
            "pair_id",
            "",
            "name of the pair in all arms",
            lambda one: [one.experiment.source.id(k) for k in range(one.n)],
        ),
        column("population", "", "label of the population", lambda one: [one.label] * one.n),
        column("index", "", "index of the system in its population", lambda one: np.arange(one.n)),
    )


def check_columns(definition: ProbeDefinition) -> None:
    """Make sure that lens rule, curves and doses name truth columns, before anything is rendered.

    Raises
    ------
    UsageError
        One of them does not exist.
    """
    known = [column.name for column in truth_columns(definition.seen_by)]
    rule = definition.lens_rule.above if definition.lens_rule else {}
    physical = definition.doses.physical if definition.doses else None
    doses = [physical.column] if physical and physical.column else []
    fields = (
        ("lens_rule.above", rule, known),
        ("curves", definition.curves, known),
        (PHYSICAL, doses, physical_columns(known)),
    )
    for field, names, allowed in fields:
        for name in names:
            if name not in allowed:
                message = f"{field} names truth column '{name}'; allowed: {', '.join(allowed)}"
                raise UsageError(f"probe '{definition.name}': {message}")


@dataclass(frozen=True)
class Bin(Record):
    """Recall of both arms over the pairs with low ≤ value < high."""

    low: float
    high: float
    control: Recall
    treated: Recall


@dataclass(frozen=True)
class Curve(Record):
    """Recall against `column` (truth of the treated arm); `outside` counts the pairs in no bin, NaN among them."""

    population: str
    column: str
    label: str
    bins: tuple[Bin, ...]
    outside: int


def recall_curve(
    population: str, column: tuple[str, str], values: NDArray[np.float64], scores: PairedScores, edges: Sequence[float]
) -> Curve:
    """Bin the pairs by `values` (n,) of `column` = (name, label)."""
    control, treated = scores.found("control"), scores.found("treated")
    bins = []
    inside = np.zeros(len(values), dtype=bool)
    for low, high in pairwise(edges):
        here = (values >= low) & (values < high)
        inside |= here
        groups = None if scores.groups is None else scores.groups[here]
        bins.append(Bin(low, high, Recall.over(control[here], groups), Recall.over(treated[here], groups)))
    return Curve(population, *column, bins=tuple(bins), outside=int(np.sum(~inside)))
