"""The table of pairs: scores and truth of both arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.imaging import TRUTH_COLUMNS
from lensaudit.probes.definition import LensRule, ProbeDefinition
from lensaudit.probes.finding import PairedScores, probability
from lensaudit.probes.pairs import ARMS, PairSets
from lensaudit.probes.result import PairColumn


@dataclass(frozen=True)
class Sample:
    """The pairs of one population: scores, per arm which of them (n,) fulfil the lens rule, pixels (n,) changed."""

    label: str
    pairs: PairSets
    scores: PairedScores
    fulfils: Mapping[str, NDArray[np.bool_]]
    changed: NDArray[np.int64]

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Pairs (n,) that hold a visible lens in both arms."""
        return np.logical_and.reduce([self.fulfils[arm] for arm in ARMS])


def fulfilling(rule: LensRule | None, pairs: PairSets) -> dict[str, NDArray[np.bool_]]:
    """Per arm, the pairs (n,) that fulfil the rule; all of them without a rule. A NaN fulfils nothing."""
    keep = {arm: np.ones(pairs.plan.n, dtype=bool) for arm in ARMS}
    for column, value in (rule.above if rule else {}).items():
        for arm in ARMS:
            keep[arm] &= np.nan_to_num(pairs.truth(arm, column).astype(float), nan=-np.inf) > value
    return keep


def pair_columns(samples: Sequence[Sample]) -> tuple[PairColumn, ...]:
    """Columns of ``pairs.parquet`` over all populations, in their order."""

    def column(name: str, unit: str, description: str, values: Callable[[Sample], Any]) -> PairColumn:
        return PairColumn(name, unit, description, np.concatenate([np.asarray(values(one)) for one in samples]))

    def score(arm: str) -> Callable[[Sample], NDArray[np.float64]]:
        return lambda sample: getattr(sample.scores, arm)

    def fulfils(arm: str) -> Callable[[Sample], NDArray[np.bool_]]:
        return lambda sample: sample.fulfils[arm]

    def truth(arm: str, name: str) -> Callable[[Sample], NDArray[Any]]:
        return lambda sample: sample.pairs.truth(arm, name)

    return (
        column("pair_id", "", "name of the pair, its id in both lens sets", lambda one: one.pairs.control.column("id")),
        column("population", "", "label of the population", lambda one: [one.label] * one.pairs.plan.n),
        column("index", "", "index of the scene in its population", lambda one: np.arange(one.pairs.plan.n)),
        *(column(f"p_{arm}", "", f"p(lens) of the {arm} arm", _probability(score(arm))) for arm in ARMS),
        *(column(f"logit_{arm}", "", f"logit of the {arm} arm", score(arm)) for arm in ARMS),
        column("n_changed_pixels", "", "pixels of the first band that differ by more than 0.5 σ", lambda s: s.changed),
        *(
            column(f"{arm}_fulfils_rule", "", f"whether the {arm} arm fulfils the lens rule", fulfils(arm))
            for arm in ARMS
        ),
        *(
            column(f"{arm}_{c.name}", c.unit or "", f"{arm} arm: {c.description}", truth(arm, c.name))
            for arm in ARMS
            for c in TRUTH_COLUMNS
        ),
    )


def check_columns(definition: ProbeDefinition) -> None:
    """Make sure that the lens rule and the curves name truth columns, before anything is rendered.

    Raises
    ------
    UsageError
        One of them does not exist.
    """
    known = [column.name for column in TRUTH_COLUMNS]
    rule = definition.lens_rule.above if definition.lens_rule else {}
    for field, names in (("lens_rule.above", rule), ("curves", definition.curves)):
        for name in names:
            if name not in known:
                message = f"{field} names truth column '{name}'; allowed: {', '.join(known)}"
                raise UsageError(f"probe '{definition.name}': {message}")


def _probability(score: Callable[[Sample], NDArray[np.float64]]) -> Callable[[Sample], NDArray[np.float64]]:
    return lambda sample: probability(score(sample))
