"""ROC curve with its pointwise band, on linear and on logarithmic false-positive rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.report.figures.style import FAINT, FULL_WIDTH_IN, LENS, light_grid, new_figure
from lensaudit.report.numbers import percent


def draw(performance: dict[str, Any]) -> Figure:
    """Draw ``performance["roc"]``."""
    figure, (linear, log) = new_figure(FULL_WIDTH_IN, 3.5, columns=2)
    roc = performance["roc"]
    floor = 0.5 / roc["n_nonlenses"]
    _curve(linear, roc)
    linear.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", label="guessing")
    linear.set(xlim=(0, 1), ylim=(0, 1.01), title="All thresholds")
    _curve(log, roc, floor)
    grid = np.geomspace(floor, 1, 200)
    log.plot(grid, grid, color=FAINT, linewidth=0.8, linestyle=":")
    log.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01), title="Few false alarms (logarithmic)")
    log.axvline(1 / roc["n_nonlenses"], color=FAINT, linewidth=0.8)
    log.text(1 / roc["n_nonlenses"], 1.0, " one false alarm", fontsize=7.5, va="top", color="#5c6670")
    _operating_point(linear, performance)
    _operating_point(log, performance)
    for axes in (linear, log):
        axes.set(xlabel=f"False-positive rate (of {roc['n_nonlenses']} non-lenses)")
        light_grid(axes)
    linear.set_ylabel(f"Recall (of {roc['n_lenses']} lenses)")
    linear.legend(loc="lower right")
    return figure


def alt(performance: dict[str, Any]) -> str:
    """Say what the curve shows, with its numbers."""
    roc = performance["roc"]
    fpr, tpr = np.array(roc["fpr"]), np.array(roc["tpr"])
    at = ", ".join(f"{percent(float(tpr[fpr <= x].max(initial=0)))} at {percent(x)}" for x in (0.01, 0.1, 0.5))
    of = f"{roc['n_lenses']} lenses and {roc['n_nonlenses']} non-lenses"
    return f"ROC curve of {of}: recall at false-positive rate: {at}."


def _curve(axes: Axes, roc: dict[str, Any], floor: float = 0.0) -> None:
    fpr = np.maximum(roc["fpr"], floor)
    band: dict[str, Any] = {"color": LENS, "alpha": 0.18, "linewidth": 0, "step": "post", "label": "95 % band"}
    axes.fill_between(fpr, roc["low"], roc["high"], **band)
    axes.plot(fpr, roc["tpr"], color=LENS, drawstyle="steps-post", label="this finder")


def _operating_point(axes: Axes, performance: dict[str, Any]) -> None:
    confusion = performance["confusion"]
    recall = confusion["tp"] / max(confusion["tp"] + confusion["fn"], 1)
    alarms = confusion["fp"] / max(confusion["fp"] + confusion["tn"], 1)
    if alarms == 0 and axes.get_xscale() == "log":
        return
    label = f"at the threshold p = {performance['threshold']:g}"
    axes.plot(alarms, recall, "o", color="white", markeredgecolor=LENS, markeredgewidth=1.6, markersize=6, label=label)
