"""The lenses as the model takes them: standardised, complete, without what others fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from lensaudit.evaluation.selection.logistic import fitted
from lensaudit.evaluation.selection.parameters import Array, Parameter

INFLATED = 10.0
"""Variance inflation from which on a set cannot tell a parameter from the others (Marquardt 1970)."""
MOST_MISSING = 0.1
"""A parameter that more lenses than this lack would cost the model more lenses than it is worth."""
PER_COLUMN = 10
"""Lenses of the rarer outcome that a model wants per column (Peduzzi et al. 1996, J. Clin. Epidemiol. 49, 1373)."""


@dataclass(frozen=True, eq=False)
class DriverTable:
    """Standardised parameters of the lenses that have them all.

    Attributes
    ----------
    parameters
        Its columns.
    x
        float64 (n, k), mean 0 and standard deviation 1.
    found
        bool (n,).
    mean, sd
        Of each before it was standardised, float64 (k,).
    """

    parameters: tuple[Parameter, ...]
    x: Array
    found: NDArray[np.bool_]
    mean: Array
    sd: Array

    @property
    def rarer(self) -> int:
        """Lenses of the rarer outcome."""
        return int(min(self.found.sum(), (~self.found).sum()))

    @property
    def curved(self) -> bool:
        """Whether there are enough lenses to ask for squares too."""
        return self.rarer >= 2 * PER_COLUMN * len(self.parameters)

    def without(self, column: int) -> DriverTable:
        """The table less one parameter."""
        kept = [i for i in range(len(self.parameters)) if i != column]
        parameters = tuple(self.parameters[i] for i in kept)
        return DriverTable(parameters, self.x[:, kept], self.found, self.mean[kept], self.sd[kept])


def design(x: Array, curved: bool) -> Array:
    """Columns (n, k) followed, where `curved`, by their squares less 1, which is the mean of a square."""
    return np.hstack([x, x**2 - 1]) if curved else x


def driver_table(
    parameters: Sequence[Parameter], values: Mapping[str, Array], found: NDArray[np.bool_]
) -> tuple[DriverTable, dict[str, str], int]:
    """The table, parameters that are not in it with the reason, and the number of lenses that lack a value."""
    used, left_out = [], {}
    for parameter in parameters:
        numbers = parameter.modelled(values[parameter.name])
        lacking = int((~np.isfinite(numbers)).sum())
        if lacking > MOST_MISSING * len(numbers):
            left_out[parameter.words] = f"{lacking} of {len(numbers)} lenses lack it"
        else:
            used.append((parameter, numbers))
    raw = np.column_stack([numbers for _, numbers in used]) if used else np.empty((len(found), 0))
    known = np.isfinite(raw).all(axis=1)
    raw = raw[known]
    sd = raw.std(axis=0) if len(raw) else np.zeros(len(used))
    varies = sd > 1e-9 * np.maximum(1.0, np.abs(raw).max(axis=0, initial=0))
    left_out |= {used[i][0].words: "the same for all lenses" for i in np.flatnonzero(~varies)}
    raw, sd = raw[:, varies], sd[varies]
    mean = raw.mean(axis=0) if len(raw) else np.zeros(raw.shape[1])
    x = (raw - mean) / sd
    kept = tuple(used[i][0] for i in np.flatnonzero(varies))
    return DriverTable(kept, x, found[known], mean, sd), left_out, int((~known).sum())


def variance_inflation(x: Array) -> Array:
    """1 / (1 − R²) of each standardised column on the others, float64 (k,); infinite where the others fix it."""
    inflation = np.ones(x.shape[1])
    for column in range(x.shape[1]):
        others = np.delete(x, column, axis=1)
        if others.shape[1]:
            rest = x[:, column] - others @ np.linalg.lstsq(others, x[:, column], rcond=None)[0]
            unexplained = float((rest**2).mean())
            inflation[column] = 1 / unexplained if unexplained > 1e-10 else np.inf
    return inflation


@dataclass(frozen=True)
class TakenOut:
    """A parameter taken out with its standardised column, its variance inflation then, and what that cost (p)."""

    parameter: Parameter
    column: Array
    vif: float
    p_cost: float


def untangled(table: DriverTable) -> tuple[DriverTable, list[TakenOut]]:
    """Take out parameters until no variance inflation reaches 10: of those that do, always the one missed least.

    Missed least: without it the deviance rises least. So of two that say nearly the same, the one stays that says
    better which lenses are found.
    """
    gone: list[TakenOut] = []
    while True:
        inflation = variance_inflation(table.x)
        tangled = np.flatnonzero(inflation >= INFLATED)
        if not len(tangled):
            return table, gone
        full = fitted(design(table.x, table.curved), table.found).deviance
        costs = {int(i): _cost(table, int(i), full) for i in tangled}
        least = min(costs, key=lambda i: (costs[i], -inflation[i]))
        p = float(chi2.sf(max(0.0, costs[least]), 2 if table.curved else 1))
        gone.append(TakenOut(table.parameters[least], table.x[:, least], float(inflation[least]), p))
        table = table.without(least)


def _cost(table: DriverTable, column: int, full: float) -> float:
    less = table.without(column)
    return fitted(design(less.x, table.curved), table.found).deviance - full
