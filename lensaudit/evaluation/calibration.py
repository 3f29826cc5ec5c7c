"""Whether a finder's probabilities mean what they say, on one labelled set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from lensaudit.display.colour import FAINT, INK, LENS, NON_LENS
from lensaudit.display.figures import new_figure, save_figure, styled
from lensaudit.evaluation.metric import CONFIDENCE, Evaluation, Metric
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import (
    RESAMPLES,
    ReliabilityBin,
    bootstrap_interval,
    brier_score,
    calibration_error,
    reliability,
)

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


BINS = 40


@styled
def plot_evaluation(path: Path, evaluation: Evaluation, labels: ArrayLike, p_lens: ArrayLike, title: str) -> None:
    """Write `path` as PNG: ROC (log false-positive axis) beside the histogram of p(lens) by class."""
    figure = new_figure(10, 4.2)
    curve, histogram = figure.subplots(1, 2)
    _draw_roc(curve, evaluation)
    _draw_scores(histogram, np.asarray(labels), np.asarray(p_lens, float), evaluation.threshold)
    figure.suptitle(title)
    save_figure(path, figure)


def _draw_roc(axes: Axes, evaluation: Evaluation) -> None:
    axes.set_xlabel("false-positive rate")
    axes.set_ylabel("recall (true-positive rate)")
    roc = evaluation.roc
    if roc is None:
        axes.text(0.5, 0.5, "needs lenses and non-lenses", ha="center", va="center", transform=axes.transAxes)
        return
    area = evaluation.metric("auroc")
    smallest = 1 / evaluation.n_non_lenses
    decades = [10.0**power for power in range(-9, 1) if 10.0**power > 2 * smallest]
    axes.fill_between(roc.fpr, roc.low, roc.high, color=LENS, alpha=0.2, linewidth=0, step="post", label="95 % band")
    axes.step(roc.fpr, roc.tpr, where="post", color=LENS, label=f"AUROC {area.value:.3f}")
    axes.plot(roc.fpr, roc.fpr, color=FAINT, linewidth=1, linestyle=":", label="chance")
    counts = evaluation.counts
    point = (counts.fp / evaluation.n_non_lenses, counts.tp / evaluation.n_lenses)
    axes.plot(*point, "o", color=INK, markersize=5, label=f"p ≥ {evaluation.threshold:g}")
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.3)
    axes.set_xticks([0, *decades], labels=["0", *(f"{decade:g}" for decade in decades)])
    axes.minorticks_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4)


def _draw_scores(axes: Axes, labels: np.ndarray, p_lens: np.ndarray, threshold: float) -> None:
    edges = np.linspace(0, 1, BINS + 1).tolist()
    for value, name, colour in ((1, "lenses", LENS), (0, "non-lenses", NON_LENS)):
        scores = p_lens[(labels == value) & np.isfinite(p_lens)]
        if len(scores):
            axes.hist(scores, edges, histtype="step", color=colour, linewidth=1.5, label=f"{len(scores)} {name}")
    axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
    axes.set_xlabel("p(lens)")
    axes.set_ylabel("images per bin")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlim(0, 1)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
