"""The finder's training history: losses and accuracies per epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lensaudit.report.figures.style import FAINT, FULL_WIDTH_IN, LENS, NON_LENS, light_grid, new_figure

PAIRS = (("loss", "Class-weighted cross-entropy"), ("accuracy", "Accuracy"))


def draw(history: list[dict[str, Any]]) -> Figure:
    """Draw rows with ``epoch``, ``train_…`` and ``validation_…`` of ``loss`` and, where there, ``accuracy``."""
    shown = [pair for pair in PAIRS if _has(history, f"validation_{pair[0]}")]
    figure, axes = new_figure(FULL_WIDTH_IN, 2.7, columns=len(shown))
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
    axes[0].legend(loc="best")
    return figure


def alt(history: list[dict[str, Any]]) -> str:
    """Say how long training went and where the validation loss was lowest."""
    kept = best_epoch(history)
    lowest = "" if kept is None else f", lowest validation loss at epoch {kept:g}"
    return f"Training history over {len(history)} epochs{lowest}."


def drawable(history: list[dict[str, Any]] | None) -> bool:
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
