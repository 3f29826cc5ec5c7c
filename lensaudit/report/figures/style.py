"""One look for all figures: colour-blind safe colours (Okabe & Ito 2008), thin axes, no decoration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LENS = "#0072b2"
NON_LENS = "#c04f00"  # vermillion, darkened to 4.5:1 on white
TREATED = "#a8467c"  # reddish purple, darkened likewise
UNLABELLED = "#5c6670"
INK = "#1d2733"
FAINT = "#8a94a0"
GRID = "#e3e7ec"

FULL_WIDTH_IN = 9.4
HALF_WIDTH_IN = 4.6

_RC: Any = {
    "svg.fonttype": "path",  # letters as outlines: the same on every machine, no font is asked for
    "svg.hashsalt": "lensaudit",  # the same numbers give the same bytes
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the look while figures are made and saved."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(width: float = HALF_WIDTH_IN, height: float = 2.9, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` × `height` inches and its row of axes; never touches pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, list(axes)


def light_grid(axes: Axes, axis: Any = "both") -> None:
    """Faint grid lines behind the data."""
    axes.grid(True, axis=axis, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
