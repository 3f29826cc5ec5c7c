"""Which properties of a lens decide whether it is found, once the others are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, expit

from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.driver_model import Carried, Coefficient, Companion, Driver, DriverModel
from lensaudit.evaluation.selection.parameters import Array, Parameter
from lensaudit.statistics import holm
from lensaudit.statistics.proportions import normal_quantile

RIDGE = 0.1
"""λ of λ β² / 2 beside the negative log-likelihood, β per standard deviation: a normal prior of width 3. With hundreds
of lenses it moves nothing; where parameters separate found from lost it keeps β finite."""

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Fit:
    """Log-odds per unit of each column, float64 (k,), intercept, and −2 log-likelihood."""

    slopes: Array
    intercept: float
    deviance: float

    def log_odds(self, x: Array) -> Array:
        """Log-odds of being found of rows (n, k)."""
        return np.asarray(x @ self.slopes + self.intercept, float)


def fitted(x: Array, y: NDArray[np.bool_]) -> Fit:
    """Fit an intercept and the columns of `x` (n, k); both outcomes occur. Without columns it is the fraction alone."""
    if not x.shape[1]:
        fraction = float(y.mean())
        return Fit(np.empty(0), float(np.log(fraction / (1 - fraction))), _deviance(np.full(len(y), fraction), y))
    model = _model().fit(x, y)
    fit = Fit(model.coef_[0].astype(float), float(model.intercept_[0]), np.nan)
    return Fit(fit.slopes, fit.intercept, _deviance(expit(fit.log_odds(x)), y))


def standard_errors(x: Array, fit: Fit) -> Array:
    """Wald's standard errors of the slopes: root of the diagonal of the inverse information, float64 (k,)."""
    p = expit(fit.log_odds(x))
    design = np.column_stack([np.ones(len(x)), x])
    information = (design * (p * (1 - p))[:, None]).T @ design
    information[np.arange(1, len(information)), np.arange(1, len(information))] += RIDGE
    return np.asarray(np.sqrt(np.diag(np.linalg.pinv(information))[1:]), float)


def cross_validated_auroc(x: Array, y: NDArray[np.bool_], seed: int) -> float:
    """AUROC of the model on lenses it was not fitted to, in five folds; it needs five of each outcome."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return float(roc_auc_score(y, cross_val_predict(_model(), x, y, cv=folds, method="decision_function")))


def _deviance(p: Array, y: NDArray[np.bool_]) -> float:
    tiny = np.finfo(float).tiny
    return float(-2 * np.log(np.maximum(np.where(y, p, 1 - p), tiny)).sum())


def _model():  # type: ignore[no-untyped-def]
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / RIDGE, solver="newton-cholesky", max_iter=200)


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
        p = float(chdtrc(2 if table.curved else 1, max(0.0, costs[least])))
        gone.append(TakenOut(table.parameters[least], table.x[:, least], float(inflation[least]), p))
        table = table.without(least)


def _cost(table: DriverTable, column: int, full: float) -> float:
    less = table.without(column)
    return fitted(design(less.x, table.curved), table.found).deviance - full


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
    p_holm = holm(chdtrc(2 if table.curved else 1, lost))
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
    return float(chdtrc(2 if curved else 1, max(0.0, gained)))


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
