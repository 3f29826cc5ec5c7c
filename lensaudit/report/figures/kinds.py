"""Recall of each kind of lens and false-positive rate of each kind of non-lens."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lensaudit.report.figures.style import FULL_WIDTH_IN, LENS, NON_LENS, light_grid, new_figure
from lensaudit.report.numbers import percent


def draw(selection: dict[str, Any]) -> Figure:
    """Draw ``selection["lens_kinds"]`` on the left and ``selection["non_lens_kinds"]`` on the right."""
    tables = _tables(selection)
    rows = max(len(table["rows"]) for _, table, _ in tables)
    figure, axes = new_figure(FULL_WIDTH_IN, 1.0 + 0.34 * rows, columns=len(tables))
    for one, (title, table, colour) in zip(axes, tables, strict=True):
        _panel(one, title, table, colour)
    return figure


def alt(selection: dict[str, Any]) -> str:
    """List every kind with its rate and n."""
    parts = []
    for title, table, _ in _tables(selection):
        rows = ", ".join(f"{r['kind']} {percent(r['rate'])} of {r['n']}" for r in table["rows"])
        parts.append(f"{title}: {rows}")
    return "; ".join(parts) + "."


def drawable(table: dict[str, Any] | None) -> bool:
    """Whether a table has several kinds: a single one repeats the overall rate."""
    return table is not None and len(table["rows"]) > 1


def _tables(selection: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    named = (
        ("Lenses found (recall)", selection["lens_kinds"], LENS),
        ("Non-lenses called lenses (false-positive rate)", selection["non_lens_kinds"], NON_LENS),
    )
    return [entry for entry in named if drawable(entry[1])]


def _panel(axes: Axes, title: str, table: dict[str, Any], colour: str) -> None:
    rows = table["rows"]
    for y, row in enumerate(rows):
        axes.hlines(y, row["low"], row["high"], color=colour, linewidth=1.3)
        face = "white" if row["few"] else colour
        axes.plot(row["rate"], y, "o", color=face, markeredgecolor=colour, markeredgewidth=1.3, markersize=5.5)
    labels = [f"{row['kind']}  (n = {row['n']}{'*' if row['few'] else ''})" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    right = min(1.0, 1.3 * max(row["high"] for row in rows))
    axes.set(xlim=(-0.02 * right, 1.02 * right), ylim=(len(rows) - 0.4, -0.6), title=title)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(axis="y", length=0)
    light_grid(axes, "x")
