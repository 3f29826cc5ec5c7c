"""Recall along the strength of the edit."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.probes.figures.style import COLOUR, errors, recall_axis
from lensaudit.probes.finding import ALL_PAIRS, Finding
from lensaudit.probes.result import ProbeResult


def doses_figure(result: ProbeResult) -> Figure:
    """Per population: recall at every dose with its Wilson interval, the control's level and the tolerated loss."""
    by_population: dict[str, list[Finding]] = {}
    for finding in result.findings:
        if finding.subset == ALL_PAIRS:
            by_population.setdefault(finding.population, []).append(finding)
    figure = Figure(figsize=(4.4 * len(by_population), 3.3), layout="constrained")
    grid = figure.subplots(1, len(by_population), squeeze=False)[0]
    for axes, (population, findings) in zip(grid, by_population.items(), strict=True):
        _draw(axes, population, findings, result)
    grid[0].legend(frameon=False, fontsize=7)
    return figure


def _draw(axes: Axes, population: str, findings: list[Finding], result: ProbeResult) -> None:
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
