"""What drives being found: slopes alone and with the other properties held."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from lensaudit.report.figures.style import FAINT, FULL_WIDTH_IN, INK, LENS, light_grid, new_figure
from lensaudit.report.numbers import decimal


def draw(model: dict[str, Any]) -> Figure:
    """Draw ``selection_function["drivers"]``: log-odds of being found per standard deviation, 95 % intervals."""
    rows = model["drivers"]
    curved = any(row["bend"] is not None for row in rows)
    figure, axes = new_figure(FULL_WIDTH_IN, 1.1 + 0.3 * len(rows), columns=2 if curved else 1)
    for y, row in enumerate(rows):
        for part, shift, colour in (("alone", -0.15, FAINT), ("slope", 0.15, LENS)):
            axes[0].hlines(y + shift, row[f"{part}_low"], row[f"{part}_high"], color=colour, linewidth=1.4)
            label = {"alone": "alone", "slope": "all others held"}[part] if y == 0 else None
            axes[0].plot(row[part], y + shift, "o", color=colour, markersize=4.5, label=label)
        if row["bend"] is not None:
            axes[1].hlines(y, row["bend_low"], row["bend_high"], color=LENS, linewidth=1.4)
            axes[1].plot(row["bend"], y, "o", color=LENS, markersize=4.5)
    for one in axes:
        one.axvline(0, color=INK, linewidth=0.8)
        one.set_ylim(len(rows) - 0.5, -0.6)
        one.set_yticks(range(len(rows)), [row["label"] for row in rows] if one is axes[0] else [""] * len(rows))
        one.tick_params(axis="y", length=0)
        light_grid(one, "x")
    for tick, row in zip(axes[0].get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row["verdict"] == "drives" else "normal")
    axes[0].set_xlabel("Slope: log-odds of being found per σ")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    if curved:
        axes[1].set_xlabel("Bend: log-odds per σ²; below 0 the middle is found best")
    return figure


def drawable(function: dict[str, Any]) -> bool:
    """Whether there is a model."""
    return bool(function["drivers"]["drivers"])


def alt(model: dict[str, Any]) -> str:
    """List the slopes with the others held."""
    parts = [
        f"{row['label']} {decimal(row['slope'], 2)} ({decimal(row['slope_low'], 2)} to {decimal(row['slope_high'], 2)})"
        for row in model["drivers"]
    ]
    return f"Log-odds of being found per standard deviation, others held, n = {model['n']}: {'; '.join(parts)}."
