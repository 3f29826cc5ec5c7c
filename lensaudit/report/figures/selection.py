"""Recall along properties of the lenses, over two of them, by kind of system, and what drives being found."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, ScalarFormatter

from lensaudit.display.colour import FAINT, GRID, INK, LENS, NON_LENS, QUIET, ink_on, recall_map
from lensaudit.display.figures import FULL_WIDTH_IN, light_grid, row_of_axes
from lensaudit.display.numbers import decimal, percent, significant
from lensaudit.evaluation.selection.driver_model import DriverModel
from lensaudit.evaluation.selection.recall_maps import RecallMap

LABEL_HEIGHTS = (-0.07, -0.145)
"""Where n stands, in turn, so that the numbers of narrow bins do not run into each other."""


def draw_selection(curve: dict[str, Any], overall: float | None) -> Figure:
    """Draw one curve of ``selection["curves"]``; `overall` is the recall of all lenses, a dashed line."""
    figure, (axes,) = row_of_axes(height=2.75)
    logarithmic = _wants_logarithm(curve["bins"])
    for place, one in enumerate(curve["bins"]):
        if one["n"]:
            _bin(axes, one, logarithmic, LABEL_HEIGHTS[place % 2])
    if overall is not None:
        axes.axhline(overall, color=FAINT, linewidth=0.9, linestyle="--", label=f"all lenses: {percent(overall)}")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    unit = f" [{curve['unit']}]" if curve["unit"] else ""
    label = f"{curve['label']}{unit}"
    axes.set(ylim=(-0.2, 1.03), ylabel="Recall", xlabel=label)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_title(f"n = {curve['n']} lenses; per bin below", fontsize=8)
    light_grid(axes, "y")
    return figure


def alt_selection(curve: dict[str, Any]) -> str:
    """List the bins with their recall and n."""
    bins = "; ".join(
        f"{significant(b['start'])} to {significant(b['end'])}: {percent(b['value'])} of {b['n']}"
        for b in curve["bins"]
    )
    unit = f" in {curve['unit']}" if curve["unit"] else ""
    return f"Recall against {curve['label']}{unit}: {bins}."


def _bin(axes: Axes, one: dict[str, Any], logarithmic: bool, label_height: float) -> None:
    middle = np.sqrt(one["start"] * one["end"]) if logarithmic else (one["start"] + one["end"]) / 2
    axes.hlines(one["value"], one["start"], one["end"], color=LENS, linewidth=1.1)
    axes.vlines(middle, one["low"], one["high"], color=LENS, linewidth=1.1)
    face = "white" if one["few"] else LENS
    axes.plot(middle, one["value"], "o", color=face, markeredgecolor=LENS, markeredgewidth=1.3, markersize=5)
    mark = "*" if one["few"] else ""
    axes.text(middle, label_height, f"{one['n']}{mark}", fontsize=7.5, ha="center", va="center", color=QUIET)


def _wants_logarithm(bins: list[dict[str, Any]]) -> bool:
    """Whether the last bin would crowd the others on a linear axis; never where an edge is not positive."""
    if len(bins) < 3 or bins[0]["start"] <= 0:
        return False
    return bool(bins[-1]["end"] / bins[len(bins) // 2]["start"] > 4)


def draw_recall_maps(one: RecallMap) -> Figure:
    """Draw recall and n in each cell, hatched below 100 lenses."""
    figure, (axes,) = row_of_axes(height=3.7)
    x, y = one.x.edges, one.y.edges
    for row, column in np.ndindex(one.n.shape):
        _cell(axes, one, row, column)
    axes.set(xlim=(-0.5, len(x) - 1.5), ylim=(-0.5, len(y) - 1.5))
    axes.set_xticks(np.arange(len(x)) - 0.5, [f"{edge:g}" for edge in x])
    axes.set_yticks(np.arange(len(y)) - 0.5, [f"{edge:g}" for edge in y])
    axes.set(xlabel=_label(one.x.parameter.label), ylabel=_label(one.y.parameter.label))
    axes.set_title(f"n = {one.total} lenses; n of each cell below its recall", fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def alt_recall_maps(one: RecallMap) -> str:
    """List the cells that hold 100 lenses or more, and count the others."""
    full = [cell for cell in one.cells() if not cell["few"]]
    listed = "; ".join(
        f"{cell['x_from']:g} to {cell['x_to']:g} by {cell['y_from']:g} to {cell['y_to']:g}: "
        f"{percent(cell['recall'])} of {cell['n']}"
        for cell in full
    )
    few = one.n.size - len(full)
    told = f"Cells with 100 lenses or more: {listed or 'none'}."
    return f"Recall over {one.x.parameter.label} and {one.y.parameter.label}. {told} {few} cells have fewer."


def _cell(axes: Axes, one: RecallMap, row: int, column: int) -> None:
    corner, n, few = (column - 0.5, row - 0.5), int(one.n[row, column]), bool(one.few[row, column])
    if not n:
        axes.add_patch(Rectangle(corner, 1, 1, facecolor="white", edgecolor=GRID, linewidth=0.8))
        axes.text(column, row, "0", ha="center", va="center", fontsize=7, color=FAINT)
        return
    recall = float(one.recall[row, column])
    colour = recall_map()(recall)
    style: dict[str, Any] = {"hatch": "////", "alpha": 0.5} if few else {}
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8, **style))
    ink = INK if few else ink_on(colour)
    text = f"{100 * recall:.0f} %\n{n}{'*' if few else ''}"
    axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink)


def _label(text: str) -> str:
    return text[:1].upper() + text[1:]


def draw_kinds(selection: dict[str, Any]) -> Figure:
    """Draw ``selection["lens_kinds"]`` on the left and ``selection["non_lens_kinds"]`` on the right."""
    tables = _tables(selection)
    rows = max(len(table["rows"]) for _, table, _ in tables)
    figure, axes = row_of_axes(FULL_WIDTH_IN, 1.0 + 0.34 * rows, columns=len(tables))
    for one, (title, table, colour) in zip(axes, tables, strict=True):
        _panel(one, title, table, colour)
    return figure


def alt_kinds(selection: dict[str, Any]) -> str:
    """List every kind with its rate and n."""
    parts = []
    for title, table, _ in _tables(selection):
        rows = ", ".join(f"{r['kind']} {percent(r['value'])} of {r['n']}" for r in table["rows"])
        parts.append(f"{title}: {rows}")
    return "; ".join(parts) + "."


def kinds_drawable(table: dict[str, Any] | None) -> bool:
    """Whether a table has several kinds: a single one repeats the overall rate."""
    return table is not None and len(table["rows"]) > 1


def _tables(selection: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    named = (
        ("Lenses found (recall)", selection["lens_kinds"], LENS),
        ("Non-lenses called lenses (false-positive rate)", selection["non_lens_kinds"], NON_LENS),
    )
    return [entry for entry in named if kinds_drawable(entry[1])]


def _panel(axes: Axes, title: str, table: dict[str, Any], colour: str) -> None:
    rows = table["rows"]
    for y, row in enumerate(rows):
        axes.hlines(y, row["low"], row["high"], color=colour, linewidth=1.3)
        face = "white" if row["few"] else colour
        axes.plot(row["value"], y, "o", color=face, markeredgecolor=colour, markeredgewidth=1.3, markersize=5.5)
    labels = [f"{row['kind']}  (n = {row['n']}{'*' if row['few'] else ''})" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    right = min(1.0, 1.3 * max(row["high"] for row in rows))
    axes.set(xlim=(-0.02 * right, 1.02 * right), ylim=(len(rows) - 0.4, -0.6), title=title)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(axis="y", length=0)
    light_grid(axes, "x")


def draw_drivers(model: DriverModel) -> Figure:
    """Draw the log-odds of being found per standard deviation, 95 % intervals."""
    rows = model.drivers
    curved = any(row.bend is not None for row in rows)
    figure, axes = row_of_axes(FULL_WIDTH_IN, 1.1 + 0.3 * len(rows), columns=2 if curved else 1)
    for y, row in enumerate(rows):
        for part, shift, colour, words in (
            (row.alone, -0.15, FAINT, "alone"),
            (row.slope, 0.15, LENS, "all others held"),
        ):
            axes[0].hlines(y + shift, part.low, part.high, color=colour, linewidth=1.4)
            label = words if y == 0 else None
            axes[0].plot(part.value, y + shift, "o", color=colour, markersize=4.5, label=label)
        if row.bend is not None:
            axes[1].hlines(y, row.bend.low, row.bend.high, color=LENS, linewidth=1.4)
            axes[1].plot(row.bend.value, y, "o", color=LENS, markersize=4.5)
    for one in axes:
        one.axvline(0, color=INK, linewidth=0.8)
        one.set_ylim(len(rows) - 0.5, -0.6)
        one.set_yticks(range(len(rows)), [row.parameter.words for row in rows] if one is axes[0] else [""] * len(rows))
        one.tick_params(axis="y", length=0)
        light_grid(one, "x")
    for tick, row in zip(axes[0].get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row.verdict == "drives" else "normal")
    axes[0].set_xlabel("Slope: log-odds of being found per σ")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    if curved:
        axes[1].set_xlabel("Bend: log-odds per σ²; below 0 the middle is found best")
    return figure


def alt_drivers(model: DriverModel) -> str:
    """List the slopes with the others held."""
    parts = [
        f"{row.parameter.words} {decimal(row.slope.value, 2)} "
        f"({decimal(row.slope.low, 2)} to {decimal(row.slope.high, 2)})"
        for row in model.drivers
    ]
    return f"Log-odds of being found per standard deviation, others held, n = {model.n}: {'; '.join(parts)}."
