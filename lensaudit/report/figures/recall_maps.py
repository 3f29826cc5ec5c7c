"""Recall over two properties of the lenses."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lensaudit.report.figures.style import FAINT, INK, LENS, NON_LENS, new_figure
from lensaudit.report.numbers import percent

COLOURS = LinearSegmentedColormap.from_list("recall", [NON_LENS, "#f4efe6", LENS])
"""The page's colour of what is lost, through paper, to that of what is found."""


def draw(one: dict[str, Any]) -> Figure:
    """Draw one of ``selection_function["maps"]``: recall and n in each cell, hatched below 100 lenses."""
    figure, (axes,) = new_figure(height=3.7)
    x, y = one["x"]["edges"], one["y"]["edges"]
    for number, cell in enumerate(one["cells"]):
        row, column = divmod(number, len(x) - 1)
        _cell(axes, row, column, cell)
    axes.set(xlim=(-0.5, len(x) - 1.5), ylim=(-0.5, len(y) - 1.5))
    axes.set_xticks(np.arange(len(x)) - 0.5, [f"{edge:g}" for edge in x])
    axes.set_yticks(np.arange(len(y)) - 0.5, [f"{edge:g}" for edge in y])
    axes.set(xlabel=_label(one["x"]["label"]), ylabel=_label(one["y"]["label"]))
    axes.set_title(f"n = {one['n']} lenses; n of each cell below its recall", fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def alt(one: dict[str, Any]) -> str:
    """List the cells that hold 100 lenses or more, and count the others."""
    full = [cell for cell in one["cells"] if not cell["few"]]
    listed = "; ".join(
        f"{cell['x_from']:g} to {cell['x_to']:g} by {cell['y_from']:g} to {cell['y_to']:g}: "
        f"{percent(cell['recall'])} of {cell['n']}"
        for cell in full
    )
    few = len(one["cells"]) - len(full)
    told = f"Cells with 100 lenses or more: {listed or 'none'}."
    return f"Recall over {one['x']['label']} and {one['y']['label']}. {told} {few} cells have fewer."


def _cell(axes: Axes, row: int, column: int, cell: dict[str, Any]) -> None:
    corner = (column - 0.5, row - 0.5)
    if not cell["n"]:
        axes.add_patch(Rectangle(corner, 1, 1, facecolor="white", edgecolor="#e3e7ec", linewidth=0.8))
        axes.text(column, row, "0", ha="center", va="center", fontsize=7, color=FAINT)
        return
    colour = COLOURS(cell["recall"])
    style: dict[str, Any] = {"hatch": "////", "alpha": 0.5} if cell["few"] else {}
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8, **style))
    dark = not cell["few"] and 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.55
    text = f"{100 * cell['recall']:.0f} %\n{cell['n']}{'*' if cell['few'] else ''}"
    axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color="white" if dark else INK)


def _label(text: str) -> str:
    return text[:1].upper() + text[1:]
