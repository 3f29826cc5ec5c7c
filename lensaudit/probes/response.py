"""Dose and response: how recall changes along the strength of the edit, and where it leaves the tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.colour import CONTROL, FAINT, TREATED
from lensaudit.display.figures import light_grid
from lensaudit.display.numbers import shortest, significant
from lensaudit.probes.columns import Sample, physical_columns
from lensaudit.probes.definition import Doses
from lensaudit.records import Number, Record
from lensaudit.statistics import RESAMPLES, Proportion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Response(Record):
    """How one population answers to the doses, over all its pairs.

    Attributes
    ----------
    population
        Its label.
    crossing, low, high
        Dose at which the loss of recall first exceeds the tolerance, by straight lines between the doses, beginning at
        the control; NaN where it never does. The interval is the percentile bootstrap over pairs, or over hosts that
        have several; a NaN end means that the resamples there never cross.
    crossed
        Fraction of the resamples that cross.
    truth
        Truth column → its median over the systems in each arm, the control first: what a dose means.
    """

    population: str
    crossing: Number
    low: Number
    high: Number
    crossed: Number
    truth: dict[str, tuple[Number, ...]]


def response(sample: Sample, tolerance: float, control: float | None, rng: np.random.Generator) -> Response | None:
    """The response of a population; None where there are fewer than two doses.

    Parameters
    ----------
    control
        Strength at which the control stands on the axis; None leaves it out, and a first dose that has lost already
        is itself the crossing.
    """
    doses = np.array([arm.dose for arm in sample.experiment.arms[1:] if arm.dose is not None])
    if len(doses) < 2:
        return None
    found = np.stack([sample.scores(arm).found("treated") for arm in range(len(sample.experiment.arms))]).astype(float)
    change = found[1:] - found[:1]
    reached = float(_crossing(doses, change.mean(axis=1), tolerance, control))
    crossing = math.nan if math.isnan(reached) else reached  # the NaN that is read back: records are then equal
    summed, sizes = _by_host(change, sample.experiment.source.groups)
    n = len(sizes)
    draws = (rng.integers(n, size=n) for _ in range(RESAMPLES))
    resampled = np.stack([summed[:, rows].sum(axis=1) / sizes[rows].sum() for rows in draws])
    crossed = _crossing(doses, resampled, tolerance, control)
    crossed_fraction = float(np.mean(~np.isnan(crossed)))
    beyond = _beyond(crossing, control, doses)
    low, high = (_percentile(crossed, q, beyond) for q in (2.5, 97.5))
    named = physical_columns(sample.asked.truth)
    truth = {name: tuple(_median(sample.truth(arm, name)) for arm in range(len(found))) for name in named}
    return Response(sample.label, crossing, low, high, crossed_fraction, truth)


def _by_host(change: Array, groups: NDArray[np.intp] | None) -> tuple[Array, Array]:
    """Summed changes (arms, m) of what is drawn together, a host's pairs or one pair, and how many pairs (m,) it is."""
    if groups is None:
        return change, np.ones(change.shape[1])
    which = np.unique(groups, return_inverse=True)[1]
    return np.stack([np.bincount(which, one) for one in change]), np.bincount(which).astype(float)


def _crossing(doses: Array, change: Array, tolerance: float, control: float | None) -> Array:
    """Where the broken lines (…, doses) first fall to −tolerance, walking away from the control; NaN for never."""
    order = np.argsort(doses if control is None else np.abs(doses - control), kind="stable")
    x, y = doses[order], change[..., order]
    if control is None:
        return _walk(x, y, tolerance)
    # Both sides of the control are walked by themselves: a line must not jump across it.
    begin = np.zeros((*y.shape[:-1], 1))
    below, above = (
        _walk(np.r_[control, x[side]], np.concatenate([begin, y[..., side]], axis=-1), tolerance)
        for side in (x < control, x > control)
    )
    nearer = np.isnan(above) | (np.abs(below - control) <= np.abs(above - control))
    return np.where(nearer, below, above)


def _walk(x: Array, y: Array, tolerance: float) -> Array:
    """Where lines (…, points) first fall below −tolerance, between a point above it and the next."""
    lost = y < -tolerance
    at = lost.argmax(axis=-1, keepdims=True)
    before = np.maximum(at - 1, 0)
    y_at, y_before = np.take_along_axis(y, at, axis=-1), np.take_along_axis(y, before, axis=-1)
    fall = np.where(at > 0, y_before - y_at, 1.0)
    part = np.where(at > 0, (y_before + tolerance) / fall, 0.0)
    found = x[before] + part * (x[at] - x[before])
    return np.where(lost.any(axis=-1), found[..., 0], np.nan)


def _beyond(crossing: float, control: float | None, doses: Array) -> float:
    """Where resamples that never cross lie: beyond the last dose, on the side of the control where the sample does."""
    side = float(np.mean(doses)) if math.isnan(crossing) else crossing
    return math.inf if control is None or side >= control else -math.inf


def _percentile(values: Array, q: float, beyond: float) -> float:
    """Percentile of the crossings; those that never cross lie `beyond`."""
    filled = np.where(np.isnan(values), beyond, values)
    found = float(np.percentile(filled, q, method="nearest"))
    return found if math.isfinite(found) else math.nan


def _median(values: Array) -> float:
    known = values.astype(float)
    known = known[~np.isnan(known)]
    return float(np.median(known)) if known.size else math.nan


def lenses_at(doses: Doses, dose: float, response: Response | None) -> str:
    """Words that follow "lenses": what those of one dose are, by the median of a truth column where there is one."""
    physical = doses.physical
    if physical is not None and physical.at:
        value = _value(doses, dose, response)
        if math.isfinite(value):
            return physical.at.replace("{value}", significant(value, 2))
    return doses.phrase.replace("{dose}", shortest(dose))


def lenses_beyond(doses: Doses, dose: float, response: Response | None) -> str:
    """The same, from where the loss exceeds the tolerance on towards `dose`; as `lenses_at` where it does nowhere."""
    physical, control = doses.physical, doses.control
    if physical is None or response is None or control is None or math.isnan(response.crossing):
        return lenses_at(doses, dose, response)
    side = dose - control
    words = physical.above if side > 0 else physical.below
    value = _value(doses, response.crossing, response)
    if not words or (response.crossing - control) * side <= 0 or not math.isfinite(value):
        return lenses_at(doses, dose, response)
    return words.replace("{value}", significant(value, 2))


def _value(doses: Doses, dose: float, response: Response | None) -> float:
    """Physical value of a dose, by straight lines between the medians of the arms; NaN where there is none."""
    column = doses.physical.column if doses.physical else None
    if column is None:
        return dose
    medians: Sequence[float] = response.truth.get(column, ()) if response else ()
    if not medians or doses.control is None:
        return math.nan
    places = np.array([doses.control, *doses.values])
    order = np.argsort(places, kind="stable")
    return float(np.interp(dose, places[order], np.asarray(medians, float)[order]))


class ArmsAtDose(Protocol):
    """Both arms at one dose: a `Finding`, or a group of the report."""

    @property
    def dose(self) -> float | None: ...
    @property
    def control(self) -> Proportion: ...
    @property
    def treated(self) -> Proportion: ...


class Crossed(Protocol):
    """Where the loss leaves the tolerance: a `Response`, or that of the report."""

    @property
    def crossing(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def crossed(self) -> float: ...


@dataclass(frozen=True)
class DoseScale:
    """What a response curve is drawn against.

    Attributes
    ----------
    label
        Of the doses, with their unit.
    control
        Where the control stands among them; None where it has no place there.
    nature, tolerance
        Of the probe.
    """

    label: str
    control: float | None
    nature: str
    tolerance: float


def draw_doses(axes: Axes, arms: Sequence[ArmsAtDose], scale: DoseScale, response: Crossed | None) -> Axes:
    """Fraction called a lens at every dose of one population, the control's band, what is tolerated, the crossing."""
    from matplotlib.ticker import PercentFormatter

    ordered = sorted((one for one in arms if one.treated.n), key=lambda one: one.dose or 0.0)
    if ordered:
        control, treated = ordered[0].control, [one.treated for one in ordered]
        axes.axhspan(control.low, control.high, color=CONTROL, alpha=0.14, linewidth=0)
        axes.axhline(control.value, color=CONTROL, linewidth=1, label="control")
        for level, words in _tolerated(scale, control.value).items():
            axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=":", label=words)
        x = [one.dose or 0.0 for one in ordered]
        axes.vlines(x, [one.low for one in treated], [one.high for one in treated], color=TREATED, linewidth=1.3)
        values = [one.value for one in treated]
        axes.plot(x, values, "s-", color=TREATED, linewidth=0.8, markersize=4.5, label="treated")
    if scale.control is not None:
        axes.axvline(scale.control, color=CONTROL, linewidth=0.6)
    axes.set(ylim=(-0.02, 1.03), ylabel="Called a lens", xlabel=scale.label)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    light_grid(axes, "y")
    if response is not None and not math.isnan(response.crossing):
        _draw_crossing(axes, response)
    return axes


def _tolerated(scale: DoseScale, control: float) -> dict[float, str | None]:
    """Level → its words in the legend; both ways where nothing may change."""
    if scale.nature == "contaminant":
        return {scale.tolerance: "tolerated fraction"}
    if scale.nature == "nuisance":
        return {control - scale.tolerance: "tolerated change", control + scale.tolerance: None}
    return {control - scale.tolerance: "tolerated loss"}


def _draw_crossing(axes: Axes, response: Crossed) -> None:
    left, right = axes.get_xlim()
    low = left if math.isnan(response.low) else response.low
    high = right if math.isnan(response.high) else response.high
    if response.crossed:
        axes.axvspan(min(low, high), max(low, high), ymax=0.035, color=FAINT, alpha=0.55, linewidth=0)
    axes.axvline(response.crossing, color=FAINT, linewidth=1, linestyle="--", label="tolerance crossed")
    axes.set_xlim(left, right)
