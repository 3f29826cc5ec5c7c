"""Recall of both arms against truth columns."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.probes.curve import Curve
from lensaudit.probes.figures.style import COLOUR, MARKER, errors, recall_axis
from lensaudit.probes.finding import ARMS
from lensaudit.probes.result import ProbeResult


def curves_figure(result: ProbeResult) -> Figure:
    """One row per population, one column per truth column; n of each bin below it."""
    populations = list(dict.fromkeys(curve.population for curve in result.curves))
    columns = list(dict.fromkeys(curve.column for curve in result.curves))
    figure = Figure(figsize=(4.4 * len(columns), 3.0 * len(populations)), layout="constrained")
    grid = figure.subplots(len(populations), len(columns), squeeze=False)
    for curve in result.curves:
        _draw(grid[populations.index(curve.population), columns.index(curve.column)], curve)
    grid[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _draw(axes: Axes, curve: Curve) -> None:
    places = np.arange(len(curve.bins))
    for arm, shift in zip(ARMS, (-0.08, 0.08), strict=True):
        filled = [(place, getattr(one, arm)) for place, one in zip(places, curve.bins, strict=True) if one.control.n]
        recalls = [one for _, one in filled]
        x = np.array([place for place, _ in filled], dtype=float) + shift
        if recalls:
            heights = [one.value for one in recalls]
            axes.errorbar(
                x, heights, errors(recalls), fmt=MARKER[arm], color=COLOUR[arm], capsize=2, markersize=4, label=arm
            )
    names = [f"{one.low:g}–{one.high:g}\nn = {one.control.n}" for one in curve.bins]
    axes.set_xticks(places, names, fontsize=7)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xlabel(f"{curve.label} of the treated arm" + (f"; {curve.outside} pairs outside" if curve.outside else ""))
    axes.set_title(curve.population, fontsize=9)
    recall_axis(axes)
