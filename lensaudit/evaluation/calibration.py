"""Whether a finder's probabilities mean what they say, on one labelled set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lensaudit.display.colour import FAINT, LENS
from lensaudit.display.figures import axes_or_new, legend_under, light_grid, styled
from lensaudit.display.numbers import plural, with_interval
from lensaudit.evaluation.metric import CONFIDENCE, Metric
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import (
    RESAMPLES,
    ReliabilityBin,
    bootstrap_interval,
    brier_score,
    calibration_error,
    reliability,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STREAM_BRIER, _STREAM_ECE = 5, 6  # 1 to 4 are those of `lensaudit.evaluation.measure`


@dataclass(frozen=True)
class Calibration(Record):
    """Calibration of one finder on one set, at that set's fraction of lenses.

    Attributes
    ----------
    ece
        Expected calibration error; `ece_by_chance` is what it stays below in 95 % of such sets were every p right.
    brier
        Brier score; `brier_of_fraction` is that of always saying the set's fraction of lenses.
    bins
        The reliability diagram.
    """

    ece: Metric
    ece_by_chance: Number
    brier: Metric
    brier_of_fraction: Number
    bins: tuple[ReliabilityBin, ...]

    @styled
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the reliability diagram: fraction of lenses against mean p, Wilson's 95 % intervals.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``.
        """
        axes = draw_reliability(axes_or_new(ax, 4.6, 4.2), self.bins)
        error = with_interval(self.ece.value, self.ece.low, self.ece.high)
        axes.set_title(f"n = {plural(self.ece.n, 'cutout')}; ECE {error}")
        legend_under(axes)
        return axes

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "ece_by_chance" in words:
            return words
        chance, constant = words["ece"].get("by_chance"), words["brier"].get("of_share")
        return {**words, "ece_by_chance": chance, "brier_of_fraction": constant}


def calibrate(labels: ArrayLike, p_lens: ArrayLike, seed: int = 0) -> Calibration:
    """Measure calibration; images of unknown label or without a score are left out.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown (n,).
    p_lens
        Probability of "lens" (n,); NaN where not scored.
    seed
        Root of the bootstrap's draws.
    """
    label, p = np.asarray(labels), np.asarray(p_lens, float)
    kept = ((label == 0) | (label == 1)) & np.isfinite(p)
    y, said = label[kept].astype(float), p[kept]
    status = "" if len(y) else "no labelled images"
    error = calibration_error(y, said, np.random.default_rng([seed, _STREAM_ECE]), confidence=CONFIDENCE)
    squares, draws = (said - y) ** 2, np.random.default_rng([seed, _STREAM_BRIER])
    interval = bootstrap_interval([squares], np.mean, draws, confidence=CONFIDENCE)
    fraction = float(y.mean()) if len(y) else math.nan
    return Calibration(
        Metric("ece", error.value, error.low, error.high, len(y), f"basic bootstrap, {RESAMPLES} resamples", status),
        error.by_chance,
        Metric(
            "brier", brier_score(y, said), *interval, len(y), f"bootstrap over images, {RESAMPLES} resamples", status
        ),
        fraction * (1 - fraction),
        reliability(y, said),
    )


def draw_reliability(
    axes: Axes, bins: Sequence[ReliabilityBin], colour: str = LENS, label: str = "this finder, 95 % interval"
) -> Axes:
    """Draw the fraction of lenses of every bin that has images, with its interval; returns `axes`."""
    there = [one for one in bins if one.lenses.n]
    said, fraction = ([one.mean_p for one in there], [one.lenses.value for one in there])
    low, high = ([getattr(one.lenses, end) for one in there] for end in ("low", "high"))
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", label="every p right")
    axes.vlines(said, low, high, color=colour, linewidth=1.2)
    axes.plot(said, fraction, "o-", color=colour, linewidth=0.8, markersize=4, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="Mean p(lens) of the bin", ylabel="Fraction of lenses")
    light_grid(axes)
    return axes
