"""Pictures of a probe, each drawn from the numbers of a `ProbeResult`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.display.figures import save_figure
from lensaudit.probes.columns import Curve
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.experiment import Experiment
from lensaudit.probes.finding import ALL_PAIRS, ARMS, Finding, Recall
from lensaudit.probes.result import Example, ProbeResult

COLOUR = {"control": "#4477AA", "treated": "#CC3311"}
"""Blue and red of Paul Tol's colour-blind safe sets."""

MARKER = {"control": "o", "treated": "s"}


def errors(recalls: Sequence[Recall]) -> NDArray[np.float64]:
    """Distances (2, n) from the values to their intervals, as `errorbar` wants them."""
    distances = [(one.value - one.low, one.high - one.value) for one in recalls]
    return np.maximum(np.array(distances, dtype=float).T, 0.0)


def recall_axis(axes: Axes) -> None:
    """A recall axis from 0 to 1 with a light grid."""
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("recall at the finder's threshold")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


WIDTH = 0.36


def recall_figure(result: ProbeResult) -> Figure:
    """Two bars per finding: control and last dose, 95 % Wilson intervals, number of pairs and the verdict below."""
    last = result.definition.arms()[-1].dose
    findings = [finding for finding in result.findings if finding.n > 0 and finding.dose == last]
    figure = Figure(figsize=(max(1.6 + 1.5 * len(findings), 3.6), 3.8), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(findings))
    for arm, shift in zip(ARMS, (-WIDTH / 2, WIDTH / 2), strict=True):
        recalls = [getattr(finding, arm) for finding in findings]
        heights = [one.value for one in recalls]
        axes.bar(places + shift, heights, WIDTH, color=COLOUR[arm], label=arm)
        axes.errorbar(places + shift, heights, errors(recalls), fmt="none", ecolor="0.15", capsize=3)
        for place, one in zip(places + shift, recalls, strict=True):
            axes.text(place, one.high + 0.01, f"{one.value:.2f}", ha="center", va="bottom", fontsize=8)
    names = [f"{f.population}, {f.subset}\nn = {f.n}\n{f.verdict.word if f.verdict else ''}" for f in findings]
    axes.set_xticks(places, names, fontsize=8)
    axes.set_title(f"{result.definition.title}: {result.finder.name}", fontsize=10, loc="left")
    recall_axis(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper right", ncols=2, bbox_to_anchor=(1, 1.1))
    return figure


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


def doses_figure(result: ProbeResult) -> Figure:
    """Per population: recall at every dose with its Wilson interval, the control's level and the tolerated loss."""
    by_population: dict[str, list[Finding]] = {}
    for finding in result.findings:
        if finding.subset == ALL_PAIRS:
            by_population.setdefault(finding.population, []).append(finding)
    figure = Figure(figsize=(4.4 * len(by_population), 3.3), layout="constrained")
    grid = figure.subplots(1, len(by_population), squeeze=False)[0]
    for axes, (population, findings) in zip(grid, by_population.items(), strict=True):
        _draw_doses(axes, population, findings, result)
    grid[0].legend(frameon=False, fontsize=7)
    return figure


def _draw_doses(axes: Axes, population: str, findings: list[Finding], result: ProbeResult) -> None:
    doses = result.definition.doses
    assert doses is not None
    control = findings[0].control
    axes.axhspan(control.low, control.high, color=COLOUR["control"], alpha=0.15, linewidth=0)
    axes.axhline(control.value, color=COLOUR["control"], linewidth=1, label="control, 95 % interval")
    if result.definition.nature != "contaminant":
        tolerated = control.value - result.settings.tolerance
        axes.axhline(tolerated, color="0.4", linewidth=0.8, linestyle=":", label="tolerated loss")
    if doses.control is not None:
        axes.axvline(doses.control, color=COLOUR["control"], linewidth=0.6)
    recalls = [finding.treated for finding in findings]
    x = [math.nan if finding.dose is None else finding.dose for finding in findings]
    axes.errorbar(
        x, [one.value for one in recalls], errors(recalls), fmt="s-", color=COLOUR["treated"],
        capsize=2, markersize=4, linewidth=0.8, label="treated, 95 % interval",
    )  # fmt: skip
    for answer in result.responses:
        if answer.population == population and not math.isnan(answer.crossing):
            axes.axvline(answer.crossing, color="0.4", linewidth=0.8, linestyle="--")
    axes.set_title(f"{population}, n = {findings[0].n} pairs", fontsize=9)
    recall_axis(axes)
    if result.definition.nature == "contaminant":
        axes.set_ylabel("share called a lens")
    axes.set_xlabel(doses.label)


BINS = 40


def effect_figure(result: ProbeResult) -> Figure:
    """One histogram per population of logit(treated) − logit(control), with the mean and its interval."""
    last = result.definition.arms()[-1].dose
    findings = [finding for finding in result.findings if finding.subset == ALL_PAIRS and finding.dose == last]
    figure = Figure(figsize=(4.2 * len(findings), 3.0), layout="constrained")
    population = result.column("population")
    change = result.column("logit_treated") - result.column("logit_control")
    for axes, finding in zip(figure.subplots(1, len(findings), squeeze=False)[0], findings, strict=True):
        axes.hist(change[population == finding.population], bins=_edges(change), color="0.75")
        mean = finding.logit_change
        axes.axvspan(mean.low, mean.high, color=COLOUR["treated"], alpha=0.3, linewidth=0)
        axes.axvline(
            mean.value, color=COLOUR["treated"], label=f"mean {mean.value:+.2f} [{mean.low:+.2f}, {mean.high:+.2f}]"
        )
        axes.axvline(0, color="0.2", linewidth=0.8, linestyle=":")
        dose = "" if last is None else f", dose {last:g}"
        axes.set_title(f"{finding.population}{dose}, n = {finding.n} pairs", fontsize=9)
        axes.set_xlabel("change of logit, treated − control")
        axes.set_ylabel("pairs")
        axes.legend(frameon=False, fontsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure


def _edges(change: np.ndarray) -> np.ndarray:
    """The same bins for all populations; at least one wide where nothing changes."""
    reach = max(float(np.abs(change).max()), 0.5)
    return np.linspace(-reach, reach, BINS + 1)


COLOUR_BANDS = ("H", "J", "Y")
"""Red, green, blue: the NISP pictures of Wilde et al. 2022."""

DETAIL_BAND = "VIS"
SIDE_INCH = 1.7


def gallery_figure(result: ProbeResult, experiments: Mapping[str, Experiment]) -> Figure:
    """One row per example; per arm the NISP colours and log VIS, on one scale for both arms."""
    examples = result.examples
    kinds = _kinds(next(iter(experiments.values())).source.fields.bands)
    columns = len(ARMS) * len(kinds)
    figure = Figure(figsize=(SIDE_INCH * columns + 1.2, (SIDE_INCH + 0.28) * len(examples)), layout="constrained")
    grid = figure.subplots(len(examples), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    for row, example in zip(grid, examples, strict=True):
        panels = _panels(example, experiments[example.population], kinds)
        for axes, (title, panel) in zip(row, panels, strict=True):
            axes.imshow(panel, origin="lower", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(title, fontsize=7, pad=2)
        row[0].set_ylabel(f"{example.pair_id}\n{example.reason}", fontsize=6.5)
    return figure


def _kinds(bands: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Name and bands of each panel: colours where the NISP bands are there, and one band in detail."""
    detail = DETAIL_BAND if DETAIL_BAND in bands else bands[0]
    colours = [("NISP HJY", COLOUR_BANDS)] if set(COLOUR_BANDS) <= set(bands) else []
    return [*colours, (f"log {detail}", (detail,))]


def _panels(
    example: Example, experiment: Experiment, kinds: Sequence[tuple[str, tuple[str, ...]]]
) -> list[tuple[str, NDArray[np.float64]]]:
    """Title and picture of each panel of one row: all of the control, then all of the treated arm."""
    scores = {"control": example.p_control, "treated": example.p_treated}
    last = len(experiment.arms) - 1
    cutouts = {arm: experiment.images(example.index, number) for arm, number in zip(ARMS, (0, last), strict=True)}
    panels = []
    for arm in ARMS:
        for name, bands in kinds:
            channels = [_scaled(cutouts[arm][band], [cutouts[other][band] for other in ARMS]) for band in bands]
            picture = np.stack(channels, axis=-1) if len(bands) > 1 else channels[0]
            panels.append((f"{arm} p = {scores[arm]:.3f}, {name}", picture))
    return panels


def _scaled(image: NDArray[np.float32], both: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Logarithm of the light above the sky in units of the noise, on [0, 1]; sky and noise from both arms together."""
    pixels = np.concatenate([one.ravel() for one in both]).astype(float)
    sky = float(np.median(pixels))
    noise = 1.4826 * float(np.median(np.abs(pixels - sky))) or 1.0
    top = float(np.percentile(pixels, 99.9)) - sky
    scaled = np.log1p(np.clip(image - sky, 0, None) / noise) / np.log1p(max(top, noise) / noise)
    return np.clip(scaled, 0, 1)


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
