"""ROC curve, histogram of the scores, and training history."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lensaudit.display.colour import FAINT, INK, LENS, NON_LENS, QUIET, UNLABELLED
from lensaudit.display.figures import FULL_WIDTH_IN, legend_below, light_grid, row_of_axes
from lensaudit.display.numbers import percent


def draw_roc(performance: dict[str, Any]) -> Figure:
    """Draw ``performance["roc"]``."""
    figure, (linear, log) = row_of_axes(FULL_WIDTH_IN, 3.7, columns=2)
    roc = performance["roc"]
    floor = 0.5 / performance["n_non_lenses"]
    _curve(linear, roc)
    linear.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", label="guessing")
    linear.set(xlim=(0, 1), ylim=(0, 1.01), title="All thresholds")
    _curve(log, roc, floor)
    grid = np.geomspace(floor, 1, 200)
    log.plot(grid, grid, color=FAINT, linewidth=0.8, linestyle=":")
    log.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01), title="Few false positives (logarithmic)")
    log.axvline(1 / performance["n_non_lenses"], color=FAINT, linewidth=0.8)
    log.text(1 / performance["n_non_lenses"], 1.0, " one false positive", fontsize=7.5, va="top", color=QUIET)
    _operating_point(linear, performance)
    _operating_point(log, performance)
    for axes in (linear, log):
        axes.set(xlabel=f"False-positive rate (of {performance['n_non_lenses']} non-lenses)")
        light_grid(axes)
    linear.set_ylabel(f"Recall (of {performance['n_lenses']} lenses)")
    legend_below(figure, linear)
    return figure


def alt_roc(performance: dict[str, Any]) -> str:
    """Say what the curve shows, with its numbers."""
    roc = performance["roc"]
    fpr, tpr = np.array(roc["fpr"]), np.array(roc["tpr"])
    at = ", ".join(f"{percent(float(tpr[fpr <= x].max(initial=0)))} at {percent(x)}" for x in (0.01, 0.1, 0.5))
    of = f"{performance['n_lenses']} lenses and {performance['n_non_lenses']} non-lenses"
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


GROUPS = (("lenses", LENS, "-"), ("non_lenses", NON_LENS, "--"), ("unlabelled", UNLABELLED, ":"))


def draw_histogram(performance: dict[str, Any]) -> Figure:
    """Draw ``performance["scores"]``: counts on a logarithmic axis, so that tails stay visible."""
    figure, (axes,) = row_of_axes(height=3.1)
    scores = performance["scores"]
    edges = np.array(scores["edges"])
    for name, colour, line in GROUPS:
        counts = np.array(scores[name])
        if counts.sum():
            axes.stairs(
                counts,
                edges,
                color=colour,
                linestyle=line,
                linewidth=1.5,
                label=f"{name.replace('_', '-')}, n = {counts.sum()}",
            )
    axes.axvline(performance["threshold"], color=INK, linewidth=0.9)
    axes.text(performance["threshold"], 1.0, " threshold", transform=axes.get_xaxis_transform(), fontsize=7.5, va="top")
    axes.set(yscale="log", ylim=(0.7, None), xlim=(0, 1), xlabel="Score p(lens)", ylabel="Cutouts per 0.04 of score")
    axes.spines["left"].set_color(FAINT)
    light_grid(axes, "y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.17), ncols=3)
    return figure


def _words(name: str) -> str:
    return name.replace("_", "-")


def alt_histogram(performance: dict[str, Any]) -> str:
    """Say what the histogram shows."""
    scores, parts = performance["scores"], []
    for name, _, _ in GROUPS:
        total, first, last = sum(scores[name]), scores[name][0], scores[name][-1]
        if total:
            parts.append(f"of {total} {_words(name)}, {first} score in the lowest bin and {last} in the highest")
    return "Histogram of scores: " + "; ".join(parts) + "."


PAIRS = (("loss", "Class-weighted cross-entropy"), ("accuracy", "Accuracy"))


def draw_history(history: list[dict[str, Any]]) -> Figure:
    """Draw rows with ``epoch``, ``train_…`` and ``validation_…`` of ``loss`` and, where there, ``accuracy``."""
    shown = [pair for pair in PAIRS if _has(history, f"validation_{pair[0]}")]
    figure, axes = row_of_axes(FULL_WIDTH_IN, 2.9, columns=len(shown))
    for one, (quantity, label) in zip(axes, shown, strict=True):
        for part, colour, line in (("train", FAINT, "--"), ("validation", LENS, "-")):
            if _has(history, f"{part}_{quantity}"):
                name = "training" if part == "train" else "validation"
                one.plot(*_series(history, f"{part}_{quantity}"), color=colour, linestyle=line, label=name)
        kept = best_epoch(history)
        if kept is not None:
            one.axvline(kept, color=NON_LENS, linewidth=0.9, label=f"weights kept: epoch {kept:g}")
        one.set(xlabel="Epoch", ylabel=label)
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
        light_grid(one)
    legend_below(figure, axes[0])
    return figure


def alt_history(history: list[dict[str, Any]]) -> str:
    """Say how long training went and where the validation loss was lowest."""
    kept = best_epoch(history)
    lowest = "" if kept is None else f", lowest validation loss at epoch {kept:g}"
    return f"Training history over {len(history)} epochs{lowest}."


def history_drawable(history: list[dict[str, Any]] | None) -> bool:
    """Whether there are at least two epochs with a validation loss to draw."""
    return bool(history) and len(history or []) > 1 and _has(history or [], "validation_loss")


def best_epoch(history: list[dict[str, Any]]) -> float | None:
    """Epoch of the lowest validation loss."""
    epochs, losses = _series(history, "validation_loss")
    return float(epochs[int(np.argmin(losses))]) if len(losses) else None


def _has(history: list[dict[str, Any]], key: str) -> bool:
    return any(row.get(key) is not None for row in history)


def _series(history: list[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [(row.get("epoch", i), row[key]) for i, row in enumerate(history) if row.get(key) is not None]
    return np.array([r[0] for r in rows], dtype=float), np.array([r[1] for r in rows], dtype=float)
