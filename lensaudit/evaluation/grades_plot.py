"""Scores of graded candidates drawn: every one of them, and what each grade has on average."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lensaudit.evaluation.grades import Grade
from lensaudit.figures import save_figure

_ONE, _MEAN = "#4477aa", "#ee6677"
_WIDTH = 0.3


def plot_grades(path: Path, found: Sequence[Grade], grades: Sequence[str], p_lens: ArrayLike, title: str) -> None:
    """Write `path` as PNG.

    Parameters
    ----------
    found
        As `by_grade` gives it.
    grades, p_lens
        Of each candidate (n,).
    """
    named, p = np.asarray(grades), np.asarray(p_lens, float)
    figure = Figure(figsize=(1.8 + 1.3 * max(len(found), 3), 4.2), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(found):
        values = np.sort(p[(named == one.grade) & np.isfinite(p)])
        shift = _WIDTH * (np.arange(len(values)) * 0.618034 % 1 - 0.5)  # golden section: even, and nothing is drawn
        axes.plot(place + shift, values, ".", color=_ONE, alpha=0.5, label="one candidate" if not place else None)
        if np.isfinite(one.low):
            reach = [[max(one.mean - one.low, 0)], [max(one.high - one.mean, 0)]]
            axes.errorbar(
                place + _WIDTH, one.mean, reach, fmt="s", color=_MEAN, capsize=3, label=None if place else "mean, 95 %"
            )
    axes.set_xticks(range(len(found)), [f"{one.grade}\nn = {one.n}" for one in found])
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("grade")
    axes.set_ylabel("p(lens)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    axes.set_title(title, fontsize="medium", wrap=True)
    save_figure(path, figure, dpi=130)
