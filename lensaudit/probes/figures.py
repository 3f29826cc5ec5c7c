"""Pictures of a probe, each drawn from the numbers of a `ProbeResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.display.colour import CONTROL, FAINT, INK, TREATED
from lensaudit.display.figures import (
    FULL_WIDTH_IN,
    draw_pixels,
    legend_below,
    light_grid,
    new_figure,
    row_of_axes,
    save_figure,
    styled,
)
from lensaudit.display.images import NISP_RGB, colour_scale, grey, grey_scale, has_colour, main_band, nisp_rgb
from lensaudit.display.numbers import probability, shortest, with_interval
from lensaudit.probes.columns import Curve
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.experiment import Experiment
from lensaudit.probes.finding import ALL_PAIRS, ARMS, Recall, called, draw_arms
from lensaudit.probes.response import draw_doses
from lensaudit.probes.result import Example, ProbeResult

COLOUR = {"control": CONTROL, "treated": TREATED}
MARKER = {"control": "o", "treated": "s"}


def errors(recalls: Sequence[Recall]) -> NDArray[np.float64]:
    """Distances (2, n) from the values to their intervals, as `errorbar` wants them."""
    distances = [(one.value - one.low, one.high - one.value) for one in recalls]
    return np.maximum(np.array(distances, dtype=float).T, 0.0)


def recall_axis(axes: Axes) -> None:
    """A recall axis from 0 to 1 with a light grid."""
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("recall at the finder's threshold")
    light_grid(axes, "y")


@styled
def recall_figure(result: ProbeResult) -> Figure:
    """Control and last dose of every finding with pairs, 95 % Wilson intervals, number of pairs and the verdict."""
    last = result.definition.arms()[-1].dose
    findings = [finding for finding in result.findings if finding.n > 0 and finding.dose == last]
    figure = new_figure(FULL_WIDTH_IN, 1.6 + 0.62 * len(findings))
    axes = figure.add_subplot()
    words = [f.verdict.word if f.verdict else "" for f in findings]
    names = [f"{f.which}\n(n = {f.n} pairs)\n{word}" for f, word in zip(findings, words, strict=True)]
    draw_arms(axes, findings, names)
    axes.set_title(f"{result.definition.title}: {result.finder.name}", fontsize=10, loc="left")
    legend_below(figure, axes)
    return figure


@styled
def curves_figure(result: ProbeResult) -> Figure:
    """One row per population, one column per truth column; n of each bin below it."""
    populations = list(dict.fromkeys(curve.population for curve in result.curves))
    columns = list(dict.fromkeys(curve.column for curve in result.curves))
    figure = new_figure(4.4 * len(columns), 3.0 * len(populations))
    grid = figure.subplots(len(populations), len(columns), squeeze=False)
    for curve in result.curves:
        _draw(grid[populations.index(curve.population), columns.index(curve.column)], curve)
    legend_below(figure, grid[0, 0])
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
    names = [f"{shortest(one.low)}–{shortest(one.high)}\nn = {one.control.n}" for one in curve.bins]
    axes.set_xticks(places, names, fontsize=7)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xlabel(f"{curve.label} of the treated arm" + (f"; {curve.outside} pairs outside" if curve.outside else ""))
    axes.set_title(called(curve.population), fontsize=9)
    recall_axis(axes)


@styled
def doses_figure(result: ProbeResult) -> Figure:
    """One panel for each population: `draw_doses`."""
    populations = list(dict.fromkeys(finding.population for finding in result.findings))
    figure, grid = row_of_axes(4.4 * len(populations), 3.3, columns=len(populations))
    for axes, population in zip(grid, populations, strict=True):
        findings = result.dosed(population)
        draw_doses(axes, findings, result.dose_scale, result.response(population))
        axes.set_title(f"{called(population)}, n = {findings[0].n} pairs", fontsize=9)
    legend_below(figure, grid[0], 4)
    return figure


BINS = 40


@styled
def effect_figure(result: ProbeResult) -> Figure:
    """One histogram per population of logit(treated) − logit(control), with the mean and its interval."""
    last = result.definition.arms()[-1].dose
    findings = [finding for finding in result.findings if finding.subset == ALL_PAIRS and finding.dose == last]
    figure = new_figure(4.2 * len(findings), 3.0)
    population = result.column("population")
    change = result.column("logit_treated") - result.column("logit_control")
    for axes, finding in zip(figure.subplots(1, len(findings), squeeze=False)[0], findings, strict=True):
        axes.hist(change[population == finding.population], bins=_edges(change), color=FAINT, alpha=0.6)
        mean = finding.logit_change
        axes.axvspan(mean.low, mean.high, color=COLOUR["treated"], alpha=0.3, linewidth=0)
        axes.axvline(
            mean.value,
            color=COLOUR["treated"],
            label=f"mean {with_interval(mean.value, mean.low, mean.high, 2, sign=True)}",
        )
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
        dose = "" if last is None else f", dose {shortest(last)}"
        axes.set_title(f"{called(finding.population)}{dose}, n = {finding.n} pairs", fontsize=9)
        axes.set_xlabel("change of logit, treated − control")
        axes.set_ylabel("pairs")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return figure


def _edges(change: np.ndarray) -> np.ndarray:
    """The same bins for all populations; at least one wide where nothing changes."""
    reach = max(float(np.abs(change).max()), 0.5)
    return np.linspace(-reach, reach, BINS + 1)


SIDE_INCH = 1.7


@styled
def gallery_figure(result: ProbeResult, experiments: Mapping[str, Experiment]) -> Figure:
    """One row per example; per arm the NISP colours and VIS, on one scale for both arms."""
    rows = [_panels(example, experiments[example.population]) for example in result.examples]
    figure = new_figure(SIDE_INCH * len(rows[0]) + 1.2, (SIDE_INCH + 0.28) * len(rows))
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for line, panels, example in zip(grid, rows, result.examples, strict=True):
        for axes, (title, width, picture) in zip(line, panels, strict=True):
            draw_pixels(axes, picture, width)
            axes.set_title(title, fontsize=7, pad=2)
        line[0].set_ylabel(f"{example.pair_id}\n{example.reason}", fontsize=6.5)
    return figure


def _panels(example: Example, experiment: Experiment) -> list[tuple[str, float, NDArray[np.float64]]]:
    """Title, width [arcsec] and picture of each panel of one row: all of the control, then all of the treated arm."""
    fields = experiment.source.fields
    band = main_band(fields.bands)
    width = fields.pixel_scale_arcsec[band] * fields.shape[band][1]
    last = len(experiment.arms) - 1
    control, treated = (experiment.images(example.index, number) for number in (0, last))
    greys = grey_scale(control[band], treated[band])
    panels: list[tuple[str, float, NDArray[np.float64]]] = []
    for arm, cutout, p in (("control", control, example.p_control), ("treated", treated, example.p_treated)):
        title = f"{arm} p = {probability(p)}"
        if has_colour(fields.bands):
            both = {name: np.concatenate([control[name], treated[name]], axis=1) for name in NISP_RGB}
            panels.append((f"{title}, NISP HJY", width, nisp_rgb(cutout, colour_scale(both))))
        panels.append((f"{title}, {band}", width, grey(cutout[band], greys)))
    return panels


_FROM_NUMBERS = {"recall": recall_figure, "doses": doses_figure, "curves": curves_figure, "effect": effect_figure}


def figure_files(definition: ProbeDefinition) -> dict[str, str]:
    """Name of each figure this probe has → its file, in the order of the page."""
    doses = ("doses",) if definition.doses and len(definition.doses.values) > 1 else ()
    names = ("recall", *doses, *(("curves",) if definition.curves else ()), "effect", "pairs")
    return {name: f"{name}.png" for name in names}


def draw_figures(result: ProbeResult, experiments: Mapping[str, Experiment], folder: Path) -> None:
    """Draw every figure the result has something for into `folder`; `experiments` are those of each population."""
    for name, file in result.figures.items():
        figure = gallery_figure(result, experiments) if name == "pairs" else _FROM_NUMBERS[name](result)
        save_figure(folder / file, figure)


__all__ = [
    "curves_figure",
    "doses_figure",
    "draw_figures",
    "effect_figure",
    "figure_files",
    "gallery_figure",
    "recall_figure",
]
