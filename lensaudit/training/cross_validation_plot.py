"""A cross-validation drawn: ROC curve of every fold, and both metrics fold by fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.figures import save_figure
from lensaudit.training.ablation_plot import GRID, recall_on_grid
from lensaudit.training.cross_validation import CrossValidation

_ONE, _ALL = "#4477aa", "#ee6677"


def plot_cross_validation(path: Path, result: CrossValidation, labels: NDArray[np.integer[Any]], title: str) -> None:
    """Write `path` as PNG.

    Parameters
    ----------
    labels
        Of the whole set (n,).
    """
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    curves, dots = figure.subplots(1, 2)
    _draw_curves(curves, result, labels)
    _draw_metrics(dots, result)
    for axes in (curves, dots):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    counted = sum(fold.found.counts.n for fold in result.folds)
    figure.suptitle(f"{title} of {counted} images")
    save_figure(path, figure, dpi=130)


def _draw_curves(axes: Axes, result: CrossValidation, labels: NDArray[np.integer[Any]]) -> None:
    curves = np.array([recall_on_grid(fold.scores.logit, labels[fold.rows]) for fold in result.folds])
    for number, curve in enumerate(curves):
        axes.plot(GRID, curve, color=_ONE, linewidth=0.8, alpha=0.6, label="one fold" if number == 0 else None)
    axes.plot(GRID, curves.mean(0), color=_ALL, linewidth=2, label="mean over folds")
    axes.plot(GRID, GRID, color="0.6", linewidth=1, linestyle=":", label="chance")
    axes.set_xlabel("false-positive rate")
    axes.set_ylabel("recall (true-positive rate)")


def _draw_metrics(axes: Axes, result: CrossValidation) -> None:
    numbers = np.array([fold.number for fold in result.folds])
    for shift, (name, label, marker) in zip((-0.1, 0.1), (("auroc", "ROC AUC", "o"), ("f1", "F1", "s")), strict=True):
        metrics = [fold.found.metric("fbeta" if name == "f1" else name) for fold in result.folds]
        values = np.array([metric.value for metric in metrics])
        reach = np.array([[metric.value - metric.low, metric.high - metric.value] for metric in metrics]).T
        colour, spread = (_ONE if name == "auroc" else _ALL), result.spread(name)
        words = f"{label}: {spread.mean:.3f} ± {spread.deviation:.3f}"
        axes.errorbar(numbers + shift, values, np.nan_to_num(reach), fmt=marker, color=colour, capsize=2, label=words)
        axes.axhline(spread.mean, color=colour, linewidth=1)
        axes.axhspan(spread.mean - spread.deviation, spread.mean + spread.deviation, color=colour, alpha=0.12)
    axes.set_xticks(numbers)
    axes.set_xlabel("fold (bars: 95 % interval of its images; band: standard deviation over folds)")
    axes.set_ylabel("ROC AUC, F1")
