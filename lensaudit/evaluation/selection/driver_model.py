"""What the model of found and lost consists of, and its picture."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lensaudit.display.colour import FAINT, INK, LENS
from lensaudit.display.figures import (
    FULL_WIDTH_IN,
    axes_or_new,
    legend_below,
    legend_under,
    light_grid,
    row_of_axes,
    styled,
)
from lensaudit.display.numbers import decimal, significant
from lensaudit.evaluation.selection.parameters import Parameter, known_parameter
from lensaudit.records import Json, Number, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALPHA = 0.05


@dataclass(frozen=True)
class Coefficient(Record):
    """Log-odds of being found per standard deviation (or per its square), with a 95 % interval."""

    value: Number
    low: Number
    high: Number

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Companion(Record):
    """A parameter that another goes with, and Pearson's r of the two."""

    words: str
    correlation: Number

    def __str__(self) -> str:
        return f"with {self.words}, r = {decimal(self.correlation, 2)}"


@dataclass(frozen=True)
class Driver(Record):
    """One parameter in the model.

    Attributes
    ----------
    parameter
        What it is.
    mean, sd
        Mean and standard deviation among the lenses: in its unit, or of its decimal logarithm where that is modelled.
    alone
        Slope with no other parameter in the model, Wald's interval.
    slope
        Slope at the mean with all others held, bootstrap interval.
    bend
        Coefficient of the square with all others held: below zero, the middle is found best. None in a straight model.
    p_alone, p_holm
        Likelihood ratio of slope and bend with nothing else, and with all others held (χ²), each after Holm.
    explained
        Fraction of all the deviance the model explains that is lost without the parameter: what it alone can explain.
    vif
        Variance inflation: 1 where nothing goes with it.
    companion
        The parameter it goes with most; None for a parameter alone.
    """

    ALSO = ("verdict", "sense")

    parameter: Parameter
    mean: float
    sd: float
    alone: Coefficient
    slope: Coefficient
    bend: Coefficient | None
    p_alone: Number
    p_holm: Number
    explained: Number
    vif: Number
    companion: Companion | None

    @property
    def verdict(self) -> str:
        """``drives``, ``goes along`` (an effect alone, none shown with the others held) or ``not significant``."""
        if self.p_holm < ALPHA:
            return "drives"
        return "goes along" if self.p_alone < ALPHA else "not significant"

    @property
    def sense(self) -> str:
        """Which values are found more often, in words."""
        if self.bend is not None and self.bend.shown and abs(self.slope.value) < 2 * abs(self.bend.value):
            place = self.mean - self.sd * self.slope.value / (2 * self.bend.value)  # within one σ of the mean
            number = significant(10**place if self.parameter.logarithmic else place, 2)
            shown = f"{number} {self.parameter.unit}".rstrip()
            return f"found {'best' if self.bend.value < 0 else 'worst'} near {shown.replace(' ″', '″')}"
        return f"{'larger' if self.slope.value > 0 else 'smaller'} is found more often"

    def row(self) -> dict[str, Any]:
        """A row of a flat table, with NaN where something does not exist."""
        nothing = Coefficient(math.nan, math.nan, math.nan)
        parts = {"alone": self.alone, "slope": self.slope, "bend": self.bend or nothing}
        return {
            "parameter": self.parameter.name,
            "label": self.parameter.words,
            "unit": "dex" if self.parameter.logarithmic else self.parameter.unit,
            "mean": self.mean,
            "sd": self.sd,
            **{f"{name}{end}": value for name, part in parts.items() for end, value in _ends(part)},
            "p_alone": self.p_alone,
            "p_holm": self.p_holm,
            "explained": self.explained,
            "vif": self.vif,
            **_goes_with(self.companion),
            "verdict": self.verdict,
            "sense": self.sense,
        }

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "label" not in words:
            return words
        coefficients: Json = {
            name: {"value": words[name], "low": words[f"{name}_low"], "high": words[f"{name}_high"]}
            for name in ("alone", "slope", "bend")
        }
        if words["bend"] is None:
            coefficients["bend"] = None
        return {**_named(words), **coefficients}


@dataclass(frozen=True)
class Carried(Record):
    """A parameter taken out of the model because the others all but fix it.

    Attributes
    ----------
    parameter
        What it is.
    vif
        Variance inflation when it was taken out, 10 or more.
    companion
        What stays in the model that it goes with most.
    p_alone
        Likelihood ratio with nothing else in the model, after Holm.
    p_cost
        Likelihood ratio of taking it out: small where the others do not quite stand for it. Uncorrected.
    """

    parameter: Parameter
    vif: Number
    companion: Companion | None
    p_alone: Number
    p_cost: Number

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return _named(words) if "label" in words else words


@dataclass(frozen=True)
class DriverModel(Record):
    """The model, or why there is none.

    Attributes
    ----------
    drivers
        Those that explain most first; empty without a model.
    n, n_found, n_missing
        Lenses in the model, of them found, and lenses left out because they lack a parameter.
    carried
        Parameters that others stand for.
    left_out
        Words of parameters that are not in it for want of values → why.
    auroc, auroc_straight
        How well it ranks lenses it was not fitted to (five folds), and the same without squares.
    status
        Empty, or why there is no model.
    notes
        What weakens it.
    """

    ALSO = ("sentences",)

    drivers: tuple[Driver, ...]
    n: int
    n_found: int
    n_missing: int
    carried: tuple[Carried, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    auroc: Number = math.nan
    auroc_straight: Number = math.nan
    status: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What the model says, in words."""
        if self.status:
            return [f"No model of what drives the selection: {self.status}."]
        told = {word: [d for d in self.drivers if d.verdict == word] for word in ("drives", "goes along")}
        said = ["No parameter is shown to drive the selection once the others are held."]
        if told["drives"]:
            listed = "; ".join(f"{d.parameter.words} ({d.sense})" for d in told["drives"])
            said = [f"With the others held, these drive the selection, strongest first: {listed}."]
        if told["goes along"]:
            listed = "; ".join(f"{d.parameter.words}{_with(d)}" for d in told["goes along"])
            said.append(f"Look like drivers alone, but no effect is shown once the others are held: {listed}.")
        if self.carried:
            listed = "; ".join(f"{c.parameter.words}{_with(c)}" for c in self.carried)
            said.append(f"Not in the model, because the others all but fix them in this set: {listed}.")
        costly = [one.parameter.words for one in self.carried if one.p_cost < ALPHA]
        if costly:
            said.append(f"Without them the model is a little worse, so they may drive too: {', '.join(costly)}.")
        return said + [f"{note[0].upper()}{note[1:]}." for note in self.notes]

    @property
    def curved(self) -> bool:
        """Whether it has squares."""
        return any(one.bend is not None for one in self.drivers)

    @styled
    def plot(self, ax: Axes | None = None, *, of: str = "slope") -> Axes:
        """Draw the slopes of all parameters, alone and with the others held, or their bends; 95 % intervals.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        of
            ``slope`` or ``bend``.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``. Where there is no model it says why.
        """
        axes = draw_coefficients(axes_or_new(ax, 6.4, 1.5 + 0.3 * max(len(self.drivers), 3)), self, of)
        if not self.status:
            axes.set_title(f"n = {self.n} lenses, {self.n_found} found; 95 % intervals; bold: drives", fontsize=8)
            legend_under(axes)
        return axes


def draw_coefficients(axes: Axes, model: DriverModel, of: str = "slope") -> Axes:
    """Draw the slopes or bends of a model; the one drawing of command and report. Returns `axes`.

    The caller places the legend.
    """
    if model.status:
        axes.text(0.5, 0.5, model.sentences[0], ha="center", va="center", wrap=True, transform=axes.transAxes)
        axes.set_axis_off()
        return axes
    for place, driver in enumerate(model.drivers):
        drawn = [(driver.alone, -0.15, FAINT, "alone"), (driver.slope, 0.15, LENS, "all others held")]
        if of == "bend":
            drawn = [(driver.bend, 0.0, LENS, "all others held")] if driver.bend is not None else []
        for part, shift, colour, words in drawn:
            axes.hlines(place + shift, part.low, part.high, color=colour, linewidth=1.4)
            label = words if place == 0 else None
            axes.plot(part.value, place + shift, "o", color=colour, markersize=4.5, label=label)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(model.drivers)), [one.parameter.words for one in model.drivers])
    for tick, one in zip(axes.get_yticklabels(), model.drivers, strict=True):
        tick.set_fontweight("bold" if one.verdict == "drives" else "normal")
    axes.set_ylim(len(model.drivers) - 0.5, -0.6)
    axes.tick_params(axis="y", length=0)
    slope, bend = "Slope: log-odds of being found per σ", "Bend: log-odds per σ²; below 0 the middle is found best"
    axes.set_xlabel(slope if of == "slope" else bend)
    light_grid(axes, "x")
    return axes


@styled
def draw_drivers(model: DriverModel, title: str = "", width: float = FULL_WIDTH_IN) -> Figure:
    """Slopes, and where the model has them bends beside them; what drives is set in bold.

    Parameters
    ----------
    title
        Above n and what is found, such as finder and set.
    """
    curved = model.curved
    figure, axes = row_of_axes(width, 1.4 + 0.32 * max(len(model.drivers), 3) + 0.2 * bool(title), 1 + curved)
    draw_coefficients(axes[0], model)
    if model.status:
        return figure
    if curved:
        draw_coefficients(axes[1], model, "bend").set_yticks(range(len(model.drivers)), [""] * len(model.drivers))
    legend_below(figure, axes[0])
    if title:
        told = f"n = {model.n} lenses, {model.n_found} found; 95 % intervals; bold: drives"
        figure.suptitle(f"{title}\n{told}", fontsize=9, x=0.01, ha="left")
    return figure


def _named(words: Json) -> Json:
    """Parameter and companion of a flat row of an earlier version."""
    companion = {"words": words["goes_with"], "correlation": words["correlation"]} if words["goes_with"] else None
    parameter = known_parameter(words["parameter"], words["label"], words.get("unit", ""))
    return {**words, "parameter": parameter, "companion": companion}


CLOSE = 0.3
"""|r| from which on a sentence names the companion."""


def _with(one: Driver | Carried) -> str:
    close = one.companion is not None and abs(one.companion.correlation) >= CLOSE
    return f" ({one.companion})" if close else ""


def _goes_with(companion: Companion | None) -> dict[str, Any]:
    if companion is None:
        return {"goes_with": "", "correlation": math.nan}
    return {"goes_with": companion.words, "correlation": companion.correlation}


def _ends(coefficient: Coefficient) -> list[tuple[str, float]]:
    return [("" if name == "value" else f"_{name}", value) for name, value in asdict(coefficient).items()]
