"""Which properties of a lens decide whether it is found, once the others are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.driver_model import Carried, Coefficient, Companion, Driver, DriverModel
from lensaudit.evaluation.selection.driver_table import (
    PER_COLUMN,
    DriverTable,
    TakenOut,
    design,
    driver_table,
    untangled,
    variance_inflation,
)
from lensaudit.evaluation.selection.logistic import cross_validated_auroc, fitted, standard_errors
from lensaudit.evaluation.selection.parameters import Array, Parameter
from lensaudit.statistics import holm
from lensaudit.statistics.proportions import normal_quantile

RESAMPLES = 500
FEWEST = 10
"""Lenses found, and lenses lost, below which there is no model."""

_STREAM = 0xD21E5  # keeps these draws apart from others of the same seed


def driver_model(
    parameters: Sequence[Parameter], values: Mapping[str, Array], found: NDArray[np.bool_], seed: int
) -> DriverModel:
    """Logistic regression of "found" on all parameters at once, each in units of its standard deviation.

    Parameters that go together (a brighter source makes an arc of higher S/N) each look like a driver alone. In the
    common model the coefficients of one are what it does while the others stay. What the others all but fix (variance
    inflation of 10 and more) is taken out first, of those the one missed least. Squares are in it where there are
    lenses enough, because finders lose the brightest and largest systems as well as the faintest. A small ridge keeps
    the fit finite where parameters separate found from lost; intervals come from resampled lenses, p-values from the
    likelihood ratio without the parameter, after Holm.

    Parameters
    ----------
    parameters
        Candidates; those with ``driver`` are used.
    values
        Name of each parameter → values of the lenses (n,), NaN where they do not apply.
    found
        Which lenses were selected (n,).
    seed
        Of resamples and folds.
    """
    whole, left_out, n_missing = driver_table([p for p in parameters if p.driver], values, found)
    n, n_found = len(whole.found), int(whole.found.sum())
    status = _why_not(whole, n_found)
    if status:
        return DriverModel((), n, n_found, n_missing, left_out=left_out, status=status)
    table, gone = untangled(whole)
    drivers = _drivers(table, np.random.default_rng([seed, _STREAM]))
    return DriverModel(
        tuple(sorted(drivers, key=lambda driver: -driver.explained)),
        n,
        n_found,
        n_missing,
        carried=_carried(gone, table),
        left_out=left_out,
        auroc=cross_validated_auroc(design(table.x, table.curved), table.found, seed),
        auroc_straight=cross_validated_auroc(table.x, table.found, seed),
        notes=_notes(table),
    )


def _why_not(table: DriverTable, n_found: int) -> str:
    n = len(table.found)
    if n and n_found == n:
        return f"all {n} lenses are found, so nothing tells found from lost at this threshold"
    if n and not n_found:
        return f"none of the {n} lenses is found, so nothing tells found from lost at this threshold"
    if min(n_found, n - n_found) < FEWEST:
        return f"{n_found} lenses found and {n - n_found} lost, {FEWEST} of each are needed"
    return "" if table.parameters else "no parameter varies among the lenses"


def _drivers(table: DriverTable, rng: np.random.Generator) -> list[Driver]:
    x, y, k = table.x, table.found, len(table.parameters)
    full, null = fitted(design(x, table.curved), y), fitted(x[:, :0], y)
    lost = np.array([fitted(design(np.delete(x, i, axis=1), table.curved), y).deviance for i in range(k)])
    lost = np.maximum(0.0, lost - full.deviance)
    p_holm = holm(chi2.sf(lost, 2 if table.curved else 1))
    p_alone = holm([_p_alone(x[:, [i]], y, table.curved) for i in range(k)])
    drawn, inflation = _resampled(table, rng), variance_inflation(x)
    gained = null.deviance - full.deviance
    return [
        Driver(
            parameter,
            float(table.mean[i]),
            float(table.sd[i]),
            alone=_wald(x[:, [i]], y),
            slope=_percentiles(full.slopes[i], drawn[:, i]),
            bend=_percentiles(full.slopes[k + i], drawn[:, k + i]) if table.curved else None,
            p_alone=float(p_alone[i]),
            p_holm=float(p_holm[i]),
            explained=float(lost[i] / gained) if gained > 0 else 0.0,
            vif=float(inflation[i]),
            companion=_companion(table, x[:, i], i),
        )
        for i, parameter in enumerate(table.parameters)
    ]


def _carried(gone: Sequence[TakenOut], table: DriverTable) -> tuple[Carried, ...]:
    if not gone:
        return ()
    p_alone = holm([_p_alone(one.column[:, None], table.found, table.curved) for one in gone])
    return tuple(
        Carried(one.parameter, one.vif, p_alone=float(p), p_cost=one.p_cost, companion=_companion(table, one.column))
        for one, p in zip(gone, p_alone, strict=True)
    )


def _p_alone(x: Array, y: NDArray[np.bool_], curved: bool) -> float:
    gained = fitted(x[:, :0], y).deviance - fitted(design(x, curved), y).deviance
    return float(chi2.sf(max(0.0, gained), 2 if curved else 1))


def _wald(x: Array, y: NDArray[np.bool_]) -> Coefficient:
    fit = fitted(x, y)
    half = normal_quantile(CONFIDENCE) * float(standard_errors(x, fit)[0])
    value = float(fit.slopes[0])
    return Coefficient(value, value - half, value + half)


def _resampled(table: DriverTable, rng: np.random.Generator) -> Array:
    """Coefficients of the model in each resample of the lenses, float64 (resamples, columns)."""
    columns, y = design(table.x, table.curved), table.found
    drawn: list[Array] = []
    while len(drawn) < RESAMPLES:
        rows = rng.integers(len(y), size=len(y))
        if 0 < y[rows].sum() < len(rows):  # ten of each class at least: a resample of one class is all but impossible
            drawn.append(fitted(columns[rows], y[rows]).slopes)
    return np.array(drawn)


def _percentiles(value: float, drawn: Array) -> Coefficient:
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Coefficient(float(value), float(low), float(high))


def _companion(table: DriverTable, values: Array, itself: int | None = None) -> Companion | None:
    """The parameter of the table that `values` go with most; None where there is no other."""
    r = table.x.T @ values / len(values)
    strength = np.abs(r)
    if itself is not None:
        strength[itself] = -1
    best = int(np.argmax(strength))
    return Companion(table.parameters[best].words, float(r[best])) if strength[best] >= 0 else None


def _notes(table: DriverTable) -> tuple[str, ...]:
    notes = []
    k = len(table.parameters)
    if not table.curved:
        notes.append(f"{table.rarer} lenses of the rarer outcome are too few to ask where recall bends")
    if table.rarer < PER_COLUMN * k:
        notes.append(f"{k} parameters want {PER_COLUMN * k} lenses of the rarer outcome: the intervals are rough")
    columns = design(table.x, table.curved)
    order = columns @ fitted(columns, table.found).slopes
    if order[table.found].min() > order[~table.found].max():
        notes.append(
            "the parameters separate found from lost completely: how large coefficients are is up to the ridge"
        )
    return tuple(notes)
