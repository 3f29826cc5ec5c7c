"""Recall of both arms per finding, with intervals and n."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lensaudit.probes.figures.style import COLOUR, errors, recall_axis
from lensaudit.probes.finding import ARMS
from lensaudit.probes.result import ProbeResult

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
