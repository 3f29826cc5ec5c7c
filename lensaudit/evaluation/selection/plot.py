"""The selection function drawn: recall maps, medians that move, what drives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lensaudit.display.colour import FAINT, LENS, QUIET, SERIES, ink_on, recall_map
from lensaudit.display.figures import legend_below, new_figure, save_figure, styled
from lensaudit.evaluation.selection.driver_model import Driver
from lensaudit.evaluation.selection.function import SelectionFunction
from lensaudit.evaluation.selection.parameters import FEW
from lensaudit.evaluation.selection.recall_maps import RecallMap


def plot_map(path: Path, one: RecallMap, threshold: str, title: str) -> None:
    """Write a recall map as PNG."""
    _save(path, draw_map(one, threshold, title))


def plot_medians(path: Path, selection: SelectionFunction, title: str) -> None:
    """Write the shifts of the medians as PNG."""
    _save(path, draw_medians(selection, title))


def plot_drivers(path: Path, selection: SelectionFunction, title: str) -> None:
    """Write the coefficients of the model as PNG."""
    _save(path, draw_drivers(selection, title))


@styled
def draw_map(one: RecallMap, threshold: str, title: str) -> Figure:
    """Recall as colour, its percentage and n in the cell; hatched where fewer than 100 lenses are left."""
    figure = new_figure(7.4, 5.6)
    axes = figure.subplots()
    shown = axes.imshow(
        np.ma.masked_invalid(one.recall), origin="lower", vmin=0, vmax=1, cmap=recall_map(), aspect="auto"
    )
    for row, column in np.ndindex(one.n.shape):
        _cell(axes, one, row, column, shown.get_cmap())
    for set_ticks, set_label, axis in (
        (axes.set_xticks, axes.set_xlabel, one.x),
        (axes.set_yticks, axes.set_ylabel, one.y),
    ):
        set_ticks(np.arange(len(axis.edges)) - 0.5, labels=[f"{edge:g}" for edge in axis.edges])
        set_label(axis.parameter.label)
    axes.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes, label=f"recall at {threshold}", format=lambda share, _: f"{100 * share:.0f} %")
    left_out = f"; {one.n_outside} outside the edges, {one.n_missing} without a value"
    axes.set_title(
        f"{title}\nn = {one.n.sum()} lenses{left_out}\nhatched: fewer than {FEW} lenses", fontsize=9, loc="left"
    )
    return figure


@styled
def draw_medians(selection: SelectionFunction, title: str) -> Figure:
    """Median of the selected less that of all, in units of the spread of all, with 95 % bootstrap intervals."""
    names = list(dict.fromkeys(row.parameter.name for row in selection.medians))
    cuts = [cut.words for cut in selection.cuts]
    figure = new_figure(8.6, 1.4 + 0.42 * len(names))
    axes = figure.subplots()
    labelled = set()
    for row in selection.medians:
        if not np.isfinite(row.shift.value) or not row.spread > 0:
            continue
        which = cuts.index(row.threshold)
        height = names.index(row.parameter.name) + 0.7 * ((which + 0.5) / len(cuts) - 0.5)
        colour = SERIES[which % len(SERIES)]
        axes.hlines(height, row.shift.low / row.spread, row.shift.high / row.spread, color=colour, linewidth=1.2)
        label = "" if which in labelled else f"{row.threshold}: {selection.cuts[which].recall.k} lenses"
        labelled.add(which)
        face = "white" if row.few else colour
        axes.plot(row.shift.value / row.spread, height, "o", color=colour, markerfacecolor=face, ms=4, label=label)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    words = {row.parameter.name: row.parameter.words for row in selection.medians}
    axes.set_yticks(range(len(names)), labels=[words[name] for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("median of the selected − median of all lenses, in half-widths of the central 68 % of all")
    if labelled:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    note = f"of {selection.n_lenses} lenses; 95 % bootstrap; hollow: fewer than {FEW} selected"
    axes.set_title(f"{title}\n{note}", fontsize=9, loc="left")
    return figure


@styled
def draw_drivers(selection: SelectionFunction, title: str) -> Figure:
    """Slopes alone and with the others held, and bends, per standard deviation; what drives is set in bold."""
    model = selection.drivers
    figure = new_figure(9, 1.7 + 0.36 * max(len(model.drivers), 3))
    if model.status:
        axes = figure.subplots()
        axes.text(0.5, 0.5, model.sentences[0], ha="center", va="center", wrap=True, transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    curved = model.drivers[0].bend is not None
    axes_of = figure.subplots(1, 2 if curved else 1, sharey=True, squeeze=False, width_ratios=[3, 2][: 1 + curved])[0]
    for place, driver in enumerate(model.drivers):
        _driver(axes_of, place, driver)
    first = axes_of[0]
    first.set_yticks(range(len(model.drivers)), labels=[d.parameter.words for d in model.drivers])
    for label, driver in zip(first.get_yticklabels(), model.drivers, strict=True):
        label.set_fontweight("bold" if driver.verdict == "drives" else "normal")
    first.set_ylim(len(model.drivers) - 0.5, -0.5)
    first.set_xlabel("slope: log-odds of being found per σ")
    if curved:
        axes_of[1].set_xlabel("bend: log-odds per σ²")
    for axes in axes_of:
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
        legend_below(figure, first)
    told = f"n = {model.n} lenses, {model.n_found} found at {selection.cut.words}; 95 % intervals; bold: drives"
    figure.suptitle(f"{title}\n{told}", fontsize=9, x=0.01, ha="left")
    return figure


def _cell(axes: Axes, one: RecallMap, row: int, column: int, colours: Colormap) -> None:
    few, recall = bool(one.few[row, column]), one.recall[row, column]
    if few:
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor=(1, 1, 1, 0.55), linewidth=0))
    if not one.n[row, column]:
        axes.text(column, row, "n = 0", ha="center", va="center", fontsize=7.5, color=QUIET)
        return
    text = f"{100 * recall:.0f} %\nn = {one.n[row, column]}"
    back = {"facecolor": colours(recall), "edgecolor": "none", "pad": 1.2} if few else None  # hatches off the digits
    axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink_on(colours(recall)), bbox=back)


def _driver(axes_of: np.ndarray, place: int, driver: Driver) -> None:
    drawn = [(axes_of[0], driver.alone, -0.17, FAINT, "alone"), (axes_of[0], driver.slope, 0.17, LENS, "others held")]
    if driver.bend is not None:
        drawn.append((axes_of[1], driver.bend, 0.0, LENS, "others held"))
    for axes, coefficient, shift, colour, label in drawn:
        axes.hlines(place + shift, coefficient.low, coefficient.high, color=colour, linewidth=1.4)
        axes.plot(coefficient.value, place + shift, "o", color=colour, ms=4.5, label=label)


def _save(path: Path, figure: Figure) -> None:
    save_figure(path, figure)
