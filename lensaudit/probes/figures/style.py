"""Colours and small pieces the figures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lensaudit.probes.finding import Recall

COLOUR = {"control": "#4477AA", "treated": "#CC3311"}
"""Blue and red of Paul Tol's colour-blind safe sets."""

MARKER = {"control": "o", "treated": "s"}


def errors(recalls: Sequence[Recall]) -> NDArray[np.float64]:
    """Distances (2, n) from the values to their intervals, as `errorbar` wants them."""
    distances = [(one.value - one.low, one.high - one.value) for one in recalls]
    return np.maximum(np.array(distances, dtype=float).T, 0.0)


def recall_axis(axes: Axes) -> None:
    """A recall axis from 0 to 1 with a light grid."""
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("recall at the finder's threshold")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
