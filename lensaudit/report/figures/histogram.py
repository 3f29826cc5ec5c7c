"""Scores of lenses and non-lenses as counts per bin."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lensaudit.report.figures.style import FAINT, INK, LENS, NON_LENS, UNLABELLED, light_grid, new_figure

GROUPS = (("lenses", LENS, "-"), ("non-lenses", NON_LENS, "--"), ("unlabelled", UNLABELLED, ":"))


def draw(performance: dict[str, Any]) -> Figure:
    """Draw ``performance["scores"]``: counts on a logarithmic axis, so that tails stay visible."""
    figure, (axes,) = new_figure(height=3.1)
    scores = performance["scores"]
    edges = np.array(scores["edges"])
    for name, colour, line in GROUPS:
        counts = np.array(scores[name])
        if counts.sum():
            axes.stairs(counts, edges, color=colour, linestyle=line, linewidth=1.5, label=f"{name}, n = {counts.sum()}")
    axes.axvline(performance["threshold"], color=INK, linewidth=0.9)
    axes.text(performance["threshold"], 1.0, " threshold", transform=axes.get_xaxis_transform(), fontsize=7.5, va="top")
    axes.set(yscale="log", ylim=(0.7, None), xlim=(0, 1), xlabel="Score p(lens)", ylabel="Cutouts per 0.04 of score")
    axes.spines["left"].set_color(FAINT)
    light_grid(axes, "y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.17), ncols=3)
    return figure


def alt(performance: dict[str, Any]) -> str:
    """Say what the histogram shows."""
    scores, parts = performance["scores"], []
    for name, _, _ in GROUPS:
        total, first, last = sum(scores[name]), scores[name][0], scores[name][-1]
        if total:
            parts.append(f"of {total} {name}, {first} score in the lowest bin and {last} in the highest")
    return "Histogram of scores: " + "; ".join(parts) + "."
