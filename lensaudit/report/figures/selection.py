"""Recall along one property of the lenses."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, ScalarFormatter

from lensaudit.report.figures.style import FAINT, LENS, light_grid, new_figure
from lensaudit.report.numbers import percent, significant

LABEL_HEIGHTS = (-0.07, -0.145)
"""Where n stands, in turn, so that the numbers of narrow bins do not run into each other."""


def draw(curve: dict[str, Any], overall: float | None) -> Figure:
    """Draw one curve of ``selection["curves"]``; `overall` is the recall of all lenses, a dashed line."""
    figure, (axes,) = new_figure(height=2.75)
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


def alt(curve: dict[str, Any]) -> str:
    """List the bins with their recall and n."""
    bins = "; ".join(
        f"{significant(b['from'])} to {significant(b['to'])}: {percent(b['rate'])} of {b['n']}" for b in curve["bins"]
    )
    unit = f" in {curve['unit']}" if curve["unit"] else ""
    return f"Recall against {curve['label']}{unit}: {bins}."


def _bin(axes: Axes, one: dict[str, Any], logarithmic: bool, label_height: float) -> None:
    middle = np.sqrt(one["from"] * one["to"]) if logarithmic else (one["from"] + one["to"]) / 2
    axes.hlines(one["rate"], one["from"], one["to"], color=LENS, linewidth=1.1)
    axes.vlines(middle, one["low"], one["high"], color=LENS, linewidth=1.1)
    face = "white" if one["few"] else LENS
    axes.plot(middle, one["rate"], "o", color=face, markeredgecolor=LENS, markeredgewidth=1.3, markersize=5)
    mark = "*" if one["few"] else ""
    axes.text(middle, label_height, f"{one['n']}{mark}", fontsize=7.5, ha="center", va="center", color="#5c6670")


def _wants_logarithm(bins: list[dict[str, Any]]) -> bool:
    """Whether the last bin would crowd the others on a linear axis; never where an edge is not positive."""
    if len(bins) < 3 or bins[0]["from"] <= 0:
        return False
    return bool(bins[-1]["to"] / bins[len(bins) // 2]["from"] > 4)
