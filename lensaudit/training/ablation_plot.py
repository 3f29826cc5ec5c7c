"""Overlaid ROC curves of an ablation (Forero Sanchez et al. 2019, Figs. 1–4, with the spread of the repeats)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.figures import save_figure
from lensaudit.statistics import roc_curve

if TYPE_CHECKING:
    from lensaudit.training.ablation import Run

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Paul Tol's bright scheme: told apart by the colour-blind."""

GRID = np.linspace(0, 1, 401)


def plot_ablation(path: Path, runs: Sequence[Run], labels: NDArray[np.integer[Any]], title: str) -> None:
    """Write `path` as PNG: the mean curve of every arm's repeats, and the band between their lowest and highest."""
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    for colour, arm in zip(COLOURS, dict.fromkeys(run.arm for run in runs), strict=False):
        members = [run for run in runs if run.arm == arm]
        curves = np.array([recall_on_grid(run.logit, labels) for run in members])
        areas = np.array([run.auroc for run in members])
        spread = f" ± {areas.std(ddof=1):.3f}" if len(areas) > 1 else ""
        axes.fill_between(GRID, curves.min(0), curves.max(0), color=colour, alpha=0.2, linewidth=0)
        label = f"{arm}: AUROC {areas.mean():.3f}{spread} (n = {len(areas)})"
        axes.plot(GRID, curves.mean(0), color=colour, label=label)
    axes.plot(GRID, GRID, color="0.6", linewidth=1, linestyle=":", label="chance")
    axes.set_xlabel("false-positive rate")
    axes.set_ylabel("recall (true-positive rate)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize="small", title="band: lowest to highest repeat")
    axes.set_title(title, fontsize="medium")
    save_figure(path, figure, dpi=130)


def recall_on_grid(logit: NDArray[np.float64], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Recall at each false-positive rate of `GRID`."""
    scored = np.isfinite(logit)
    roc = roc_curve(logit[scored & (labels == 1)], logit[scored & (labels == 0)])
    return np.asarray(np.interp(GRID, roc.fpr, roc.tpr))
