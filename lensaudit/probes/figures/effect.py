"""How the logit of each pair changes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lensaudit.probes.figures.style import COLOUR
from lensaudit.probes.finding import ALL_PAIRS
from lensaudit.probes.result import ProbeResult

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
