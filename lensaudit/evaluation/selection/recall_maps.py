"""Recall over two parameters at once and along one: the numbers and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.display.colour import FAINT, LENS, QUIET, ink_on
from lensaudit.display.colour import recall_map as colours_of_recall
from lensaudit.display.figures import axes_or_new, figure_of, light_grid, styled
from lensaudit.display.numbers import WithInterval, percent, plural
from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.parameters import (
    ARC_SNR,
    EINSTEIN_RADIUS,
    FEW,
    Array,
    Parameter,
    known_parameter,
)
from lensaudit.records import Counts, Floats, Json, Record
from lensaudit.statistics import Proportion, wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The same for every finder and set, so that two selection functions can be laid side by side.
THETA_E_EDGES = (0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
ARC_SNR_EDGES = (0.0, 20.0, 40.0, 80.0, 160.0, 640.0)
SOURCE_MAGNITUDE_EDGES = (20.0, 22.0, 23.0, 24.0, 25.0, 27.0)


@dataclass(frozen=True)
class Axis(Record):
    """A parameter with rising bin edges (bins + 1), in its unit."""

    parameter: Parameter
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0).all():
            raise ValueError("edges must be at least two rising numbers")

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "parameter" in words:
            return words
        name, unit = words["label"].removesuffix("]").partition(" [")[::2]
        return {"parameter": known_parameter(words["name"], name, unit), "edges": words["edges"]}


@dataclass(frozen=True, eq=False)
class RecallMap(Record):
    """Recall in the cells of two axes; rows are bins of `y`, columns bins of `x`.

    Attributes
    ----------
    x, y
        The axes. A cell holds its lower edges; the last one its upper edge too.
    n, k
        Lenses and those of them found, int64 (ny, nx).
    low, high
        95 % Wilson interval of `recall`, float64 (ny, nx); NaN in an empty cell.
    n_missing, n_outside
        Lenses that lack one of the two parameters, and that lie outside the edges.
    """

    x: Axis
    y: Axis
    n: Counts
    k: Counts
    low: Floats
    high: Floats
    n_missing: int
    n_outside: int

    @property
    def recall(self) -> Array:
        """k / n, float64 (ny, nx); NaN in an empty cell."""
        return np.divide(self.k, self.n, out=np.full(self.n.shape, np.nan), where=self.n > 0)

    @property
    def total(self) -> int:
        """Lenses in all cells."""
        return int(self.n.sum())

    @property
    def few(self) -> NDArray[np.bool_]:
        """Cells with fewer than 100 lenses, empty ones among them."""
        return self.n < FEW

    @property
    def name(self) -> str:
        """How files and tables name it."""
        return f"{self.x.parameter.name}-{self.y.parameter.name}"

    @styled
    def plot(self, ax: Axes | None = None, *, bar: str = "") -> Axes:
        """Draw recall as colour with its percentage and n in every cell, hatched below 100 lenses.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        bar
            Words beside a bar of the colours, such as ``recall at p ≥ 0.5``; no bar without them.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``.
        """
        return draw_recall_map(axes_or_new(ax, 4.6, 3.7), self, bar)

    def along(self, which: str = "x") -> RecallCurve:
        """Recall along one axis, all of the other axis together."""
        axis, other = (self.x, 0) if which == "x" else (self.y, 1)
        found, n = self.k.sum(axis=other), self.n.sum(axis=other)
        bins = tuple(
            RecallBin(*_proportion(int(k), int(of)), start=start, end=end)
            for k, of, start, end in zip(found, n, axis.edges[:-1], axis.edges[1:], strict=True)
        )
        return RecallCurve(axis.parameter.words, axis.parameter.unit, bins, self.total)

    def cells(self) -> list[dict[str, Any]]:
        """One record per cell, row by row."""
        ends = [(axis.edges[:-1], axis.edges[1:]) for axis in (self.x, self.y)]
        return [
            {
                "map": self.name,
                "x_from": ends[0][0][i],
                "x_to": ends[0][1][i],
                "y_from": ends[1][0][j],
                "y_to": ends[1][1][j],
                "n": int(self.n[j, i]),
                "k": int(self.k[j, i]),
                "recall": float(self.recall[j, i]),
                "low": float(self.low[j, i]),
                "high": float(self.high[j, i]),
                "few": bool(self.few[j, i]),
            }
            for j, i in np.ndindex(self.n.shape)
        ]

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "cells" not in words:
            return words
        shape = len(words["y"]["edges"]) - 1, len(words["x"]["edges"]) - 1
        tables = {name: [cell[name] for cell in words["cells"]] for name in ("n", "k", "low", "high")}
        kinds = {"n": int, "k": int, "low": float, "high": float}
        return {**words, **{name: np.array(cells, kinds[name]).reshape(shape) for name, cells in tables.items()}}


@dataclass(frozen=True)
class RecallBin(Proportion):
    """Recall of the lenses whose property lies in [start, end)."""

    ALSO = ("value", "few")

    start: float = field(kw_only=True)
    end: float = field(kw_only=True)

    @property
    def few(self) -> bool:
        """Fewer than 100 lenses."""
        return self.n < FEW


@dataclass(frozen=True)
class RecallCurve(Record):
    """Recall along one property of the lenses: its words and unit, the bins, and how many lenses are in them."""

    label: str
    unit: str
    bins: tuple[RecallBin, ...]
    n: int

    @styled
    def plot(self, ax: Axes | None = None, *, overall: float | None = None) -> Axes:
        """Draw the recall of every bin with its Wilson interval and n, hollow where lenses are few; returns the axes.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        overall
            Recall of all lenses, a dashed line.
        """
        return draw_recall_curve(axes_or_new(ax, height=2.9), self, overall)


def recall_map(x_values: ArrayLike, y_values: ArrayLike, found: ArrayLike, x: Axis, y: Axis) -> RecallMap:
    """Recall in the cells of two axes.

    Parameters
    ----------
    x_values, y_values
        The parameters of the lenses (n,), in the units of the axes; NaN where they do not apply.
    found
        Whether each lens was selected, boolean (n,).
    x, y
        Parameters and edges.
    """
    across, up, hit = np.asarray(x_values, float), np.asarray(y_values, float), np.asarray(found, bool)
    if not across.shape == up.shape == hit.shape or hit.ndim != 1:
        raise ValueError(f"values {across.shape}, {up.shape} and found {hit.shape} must be equally long lists")
    known = np.isfinite(across) & np.isfinite(up)
    edges = (np.asarray(y.edges), np.asarray(x.edges))
    n = _counts(up[known], across[known], edges)
    k = _counts(up[known & hit], across[known & hit], edges)
    low, high = np.full((2, *n.shape), np.nan)
    for cell in np.ndindex(n.shape):
        low[cell], high[cell] = wilson_interval(int(k[cell]), int(n[cell]), CONFIDENCE)
    return RecallMap(x, y, n, k, low, high, int((~known).sum()), int(known.sum() - n.sum()))


def default_axes(parameters: tuple[Parameter, ...]) -> list[tuple[Axis, Axis]]:
    """θ_E against arc S/N and against the magnitude of the source, as far as the set knows them."""
    if EINSTEIN_RADIUS not in parameters:
        return []
    against = [Axis(p, ARC_SNR_EDGES) for p in parameters if p == ARC_SNR]
    against += [Axis(p, SOURCE_MAGNITUDE_EDGES) for p in parameters if p.name.startswith("mag_source_")]
    return [(Axis(EINSTEIN_RADIUS, THETA_E_EDGES), other) for other in against]


def _counts(rows: Array, columns: Array, edges: tuple[Array, Array]) -> NDArray[np.int64]:
    return np.histogram2d(rows, columns, bins=edges)[0].astype(np.int64)


def draw_recall_map(axes: Axes, one: RecallMap, bar: str = "") -> Axes:
    """Draw a recall map: the one drawing of the command and of the report; returns `axes`."""
    from matplotlib.patches import Rectangle

    colours = colours_of_recall()
    corners = [np.arange(cells + 1) - 0.5 for cells in one.n.shape]
    cells = np.ma.masked_invalid(one.recall)
    shown = axes.pcolormesh(corners[1], corners[0], cells, vmin=0, vmax=1, cmap=colours)  # vectors, no pixels in an SVG
    for row, column in np.ndindex(one.n.shape):
        n, few, recall = int(one.n[row, column]), bool(one.few[row, column]), float(one.recall[row, column])
        if not n:
            axes.text(column, row, "n = 0*", ha="center", va="center", fontsize=7, color=QUIET)
            continue
        colour = colours(recall)
        words = f"{percent(recall)}\nn = {n}{'*' if few else ''}"
        back = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if few else None  # hatches off the digits
        axes.text(column, row, words, ha="center", va="center", fontsize=7.5, color=ink_on(colour), bbox=back)
        if few:
            look: Any = {"fill": False, "hatch": "///", "edgecolor": (*_opposite(colour), 0.4), "linewidth": 0}
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **look))
    for set_ticks, set_label, axis in (
        (axes.set_xticks, axes.set_xlabel, one.x),
        (axes.set_yticks, axes.set_ylabel, one.y),
    ):
        set_ticks(np.arange(len(axis.edges)) - 0.5, [f"{edge:g}" for edge in axis.edges])
        set_label(_capital(axis.parameter.label))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    out = {"outside the edges": one.n_outside, "without a value": one.n_missing}
    gone = "".join(f", {n} {why}" for why, n in out.items() if n)
    axes.set_title(f"n = {plural(one.total, 'lens', 'lenses')}{gone}; hatched, *: fewer than {FEW}", fontsize=8)
    if bar:
        figure_of(axes).colorbar(shown, ax=axes, label=bar, format=lambda part, _: percent(part))
    return axes


class _Bin(WithInterval, Protocol):
    """Recall of the lenses in [start, end) and its interval, as `RecallBin` and the bins of an audit have it."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def few(self) -> bool: ...


class Curve(Protocol):
    """What `draw_recall_curve` draws."""

    @property
    def label(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def bins(self) -> Sequence[_Bin]: ...
    @property
    def n(self) -> int: ...


_LABEL_HEIGHTS = (-0.07, -0.145)
"""Where n stands, in turn, so that the numbers of narrow bins do not run into each other."""


def draw_recall_curve(axes: Axes, curve: Curve, overall: float | None = None) -> Axes:
    """Draw recall along one property: the one drawing of selection function and report; returns `axes`.

    Parameters
    ----------
    overall
        Recall of all lenses, a dashed line.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, ScalarFormatter

    logarithmic = _wants_logarithm(curve.bins)
    for place, one in enumerate(curve.bins):
        if one.n:
            _draw_bin(axes, one, logarithmic, _LABEL_HEIGHTS[place % 2])
    if overall is not None:
        axes.axhline(overall, color=FAINT, linewidth=0.9, linestyle="--", label=f"all lenses: {percent(overall)}")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    unit = f" [{curve.unit}]" if curve.unit else ""
    axes.set(ylim=(-0.2, 1.03), ylabel="Recall", xlabel=_capital(f"{curve.label}{unit}"))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_title(f"n = {plural(curve.n, 'lens', 'lenses')}; per bin below", fontsize=8)
    light_grid(axes, "y")
    return axes


def _draw_bin(axes: Axes, one: _Bin, logarithmic: bool, label_height: float) -> None:
    middle = float(np.sqrt(one.start * one.end)) if logarithmic else (one.start + one.end) / 2
    axes.hlines(one.value, one.start, one.end, color=LENS, linewidth=1.1)
    axes.vlines(middle, one.low, one.high, color=LENS, linewidth=1.1)
    face = "white" if one.few else LENS
    axes.plot(middle, one.value, "o", color=face, markeredgecolor=LENS, markeredgewidth=1.3, markersize=5)
    words = f"{one.n}{'*' if one.few else ''}"
    axes.text(middle, label_height, words, fontsize=7.5, ha="center", va="center", color=QUIET)


def _wants_logarithm(bins: Sequence[_Bin]) -> bool:
    """Whether the last bin would crowd the others on a linear axis; never where an edge is not positive."""
    if len(bins) < 3 or bins[0].start <= 0:
        return False
    return bool(bins[-1].end / bins[len(bins) // 2].start > 4)


def _proportion(k: int, n: int) -> tuple[int, int, float, float]:
    return k, n, *wilson_interval(k, n, CONFIDENCE)


def _opposite(colour: Any) -> tuple[float, float, float]:
    """White on dark cells and black on pale ones."""
    return (1, 1, 1) if ink_on(colour) == "white" else (0, 0, 0)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
