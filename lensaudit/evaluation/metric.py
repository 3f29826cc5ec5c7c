"""What an evaluation consists of, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.display.colour import FAINT, INK, LENS, NON_LENS, QUIET, UNLABELLED, ink_on, recall_map
from lensaudit.display.figures import axes_or_new, legend_under, light_grid, row_of_axes, save_figure, styled
from lensaudit.display.numbers import count, percent, plural, with_interval
from lensaudit.records import Cells, Counts, Facts, Floats, Json, Number, Record, Shown
from lensaudit.statistics import Confusion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

POINTS = 200
BAND_RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class RocBand(Record):
    """Highest recall at each false-positive rate, float64 (m,), and its pointwise 95 % bootstrap band."""

    ALSO = ("method",)

    fpr: Floats
    tpr: Floats
    low: Floats
    high: Floats

    @property
    def method(self) -> str:
        """How the band was made."""
        return f"pointwise bootstrap, classes resampled apart, {BAND_RESAMPLES} resamples"

    def to_json(self) -> Json:
        """Lists of numbers, rounded to 1e-6."""
        rounded = {name: np.round(getattr(self, name), 6).tolist() for name in ("fpr", "tpr", "low", "high")}
        return {**rounded, "method": self.method}

    @styled
    def plot(self, ax: Axes | None = None, *, log: bool = False) -> Axes:
        """Draw the curve with its band; `Evaluation.plot` also says of how many lenses and shows the threshold.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        log
            Whether the axis of false positives is logarithmic.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``.
        """
        axes = draw_roc(axes_or_new(ax), self, log=log)
        legend_under(axes)
        return axes


def roc_band(lenses: Array, others: Array, generator: np.random.Generator, confidence: float = 0.95) -> RocBand:
    """Curve and band from scores of lenses (n1,) and non-lenses (n0,), both with at least one."""
    allowed = allowed_counts(len(others))
    drawn = np.empty((BAND_RESAMPLES, len(allowed)))
    for row in range(BAND_RESAMPLES):
        positive = lenses[generator.integers(len(lenses), size=len(lenses))]
        negative = others[generator.integers(len(others), size=len(others))]
        drawn[row] = recalls(positive, negative, allowed)
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
    low, high = np.quantile(drawn, tails, axis=0)
    return RocBand(allowed / len(others), recalls(lenses, others, allowed), low, high)


def allowed_counts(others: int) -> NDArray[np.int64]:
    """Numbers of false positives to draw the curve at: every few of them, closer together near none."""
    if others < POINTS:
        return np.arange(others + 1)
    spread = np.r_[0, np.geomspace(1, others, POINTS // 2), np.linspace(0, others, POINTS // 2)]
    return np.unique(np.round(spread).astype(np.int64))


def recalls(lenses: Array, others: Array, allowed: NDArray[np.int64]) -> Array:
    """Fraction of lenses above the threshold with at most so many false positives, for each of `allowed`."""
    falling = np.sort(others)[::-1]
    thresholds = np.r_[falling, -np.inf][allowed]
    ordered = np.sort(lenses)
    return 1 - np.searchsorted(ordered, thresholds, side="right") / len(ordered)


CONFIDENCE = 0.95


LABELS = {
    "accuracy": "accuracy",
    "precision": "precision (purity in this set)",
    "recall": "recall (completeness)",
    "fbeta": "Fβ",
    "auroc": "AUROC",
    "tpr0": "TPR0",
    "tpr10": "TPR10",
    "tpr_at_fpr": "completeness at FPR 1\u202f%",
}
"""The one name of each metric in tables and pages."""


INVERTED = (
    "ranks non-lenses above lenses; check that label 1 means a lens, and which output of the finder is the lens "
    "(lens_index)"
)


@dataclass(frozen=True)
class Metric(Record):
    """One number with its interval.

    Attributes
    ----------
    name
        ``accuracy``, ``precision``, ``recall``, ``fbeta``, ``auroc``, ``tpr0``, ``tpr10`` or ``tpr_at_fpr``.
    value, low, high
        The number and its 95 % interval; NaN where it does not exist.
    n
        Images it is measured on.
    method
        How the interval was made.
    status
        Empty, or why the number or its interval does not exist.
    """

    name: str
    value: Number
    low: Number
    high: Number
    n: int
    method: str
    status: str = ""


@dataclass(frozen=True, repr=False)
class Evaluation(Shown, Record):
    """Metrics of one finder on one set.

    Attributes
    ----------
    metrics
        In the order of the table.
    threshold, beta, fpr
        What counts as a lens (p ≥ threshold), the β of Fβ, the rate of ``tpr_at_fpr``.
    counts
        Calls at the threshold.
    n_unlabelled, n_unscored
        Images left out: of unknown label, and labelled but without a score.
    roc
        The curve with its band; None with one class only.
    """

    ALSO = ("confidence", "n", "n_lenses", "n_non_lenses")

    metrics: tuple[Metric, ...]
    threshold: float
    beta: float
    fpr: float
    counts: Confusion
    n_unlabelled: int
    n_unscored: int
    roc: RocBand | None

    def _facts(self) -> Facts:
        left_out = {"unlabelled": self.n_unlabelled, "unscored": self.n_unscored}
        counts = {"lenses": self.n_lenses, "non-lenses": self.n_non_lenses}
        return {**counts, **{word: n for word, n in left_out.items() if n}, "threshold": self.threshold}

    def _rows(self) -> list[Cells]:
        return [
            {"metric": one.name, "value": with_interval(one.value, one.low, one.high), "n": one.n, "status": one.status}
            for one in self.metrics
        ]

    @property
    def inverted(self) -> bool:
        """Whether AUROC's interval lies below 0.5."""
        return any(one.name == "auroc" and one.high < 0.5 for one in self.metrics)

    @property
    def confidence(self) -> float:
        """Of every interval."""
        return CONFIDENCE

    @property
    def n(self) -> int:
        """Images measured on."""
        return self.counts.n

    @property
    def n_lenses(self) -> int:
        """Lenses measured on."""
        return self.counts.tp + self.counts.fn

    @property
    def n_non_lenses(self) -> int:
        """Non-lenses measured on."""
        return self.counts.fp + self.counts.tn

    def metric(self, name: str) -> Metric:
        """The metric called `name`; KeyError if there is none."""
        return {metric.name: metric for metric in self.metrics}[name]

    def label(self, name: str) -> str:
        """The name of a metric with the threshold or the β that it depends on."""
        told = {"accuracy": f" at p ≥ {self.threshold:g}", "fbeta": f", β = {self.beta:g}"}
        return LABELS[name] + told.get(name, "")

    @styled
    def plot(self, ax: Axes | None = None, *, log: bool = False) -> Axes:
        """Draw the ROC curve with its 95 % band, the point of the threshold, and how many lenses there are.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        log
            Whether the axis of false positives is logarithmic, as for surveys, in which lenses are rare.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``. Without lenses or non-lenses it says so.

        See Also
        --------
        Evaluation.plot_confusion : the counts at the threshold.
        """
        axes = axes_or_new(ax)
        if self.roc is None:
            axes.text(0.5, 0.5, "needs lenses and non-lenses", ha="center", va="center", transform=axes.transAxes)
            return axes
        draw_roc(axes, self.roc, self.counts, self.threshold, log=log)
        area = self.metric("auroc")
        axes.set_title(f"AUROC {with_interval(area.value, area.low, area.high)}")
        legend_under(axes)
        return axes

    @styled
    def plot_confusion(self, ax: Axes | None = None) -> Axes:
        """Draw the counts at the threshold with their fractions of lenses and of non-lenses; returns the axes."""
        axes = draw_confusion(axes_or_new(ax), self.counts)
        axes.set_title(f"Called lenses at p ≥ {self.threshold:g}")
        return axes


BINS = 25


@dataclass(frozen=True, eq=False)
class ScoreHistogram(Record):
    """Images per bin of p(lens), by class.

    Attributes
    ----------
    edges
        Of the bins, float64 (m + 1,), from 0 to 1.
    lenses, non_lenses, unlabelled
        Counts, int64 (m,).
    """

    edges: Floats
    lenses: Counts
    non_lenses: Counts
    unlabelled: Counts

    @classmethod
    def of(cls, labels: ArrayLike, p_lens: ArrayLike, bins: int = BINS) -> ScoreHistogram:
        """Count p of images (n,) labelled 1 lens, 0 non-lens, −1 unknown (n,); NaN is left out."""
        label, p = np.asarray(labels), np.asarray(p_lens, float)
        edges, scored = np.linspace(0, 1, bins + 1), np.isfinite(p)
        groups = (label == 1, label == 0, label < 0)
        return cls(np.round(edges, 6), *(np.histogram(p[scored & members], edges)[0] for members in groups))

    @styled
    def plot(self, ax: Axes | None = None, *, threshold: float | None = None) -> Axes:
        """Draw the counts on a logarithmic axis, so that tails stay visible; returns the axes.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        threshold
            Of p, drawn as a line.
        """
        axes = axes_or_new(ax)
        for name, colour, line in GROUPS:
            counts = getattr(self, name)
            if counts.sum():
                label = f"{name.replace('_', '-')}, n = {counts.sum()}"
                axes.stairs(counts, self.edges, color=colour, linestyle=line, linewidth=1.5, label=label)
        if threshold is not None:
            axes.axvline(threshold, color=INK, linewidth=0.9)
            axes.text(threshold, 1.0, " threshold", transform=axes.get_xaxis_transform(), fontsize=7.5, va="top")
        step = self.edges[1] - self.edges[0]
        axes.set(yscale="log", ylim=(0.7, None), xlim=(0, 1), xlabel="Score p(lens)")
        axes.set_ylabel(f"Cutouts per {step:g} of score")
        light_grid(axes, "y")
        legend_under(axes)
        return axes

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "non-lenses" not in words:
            return words
        return {**words, "non_lenses": words["non-lenses"]}


GROUPS = (("lenses", LENS, "-"), ("non_lenses", NON_LENS, "--"), ("unlabelled", UNLABELLED, ":"))


@styled
def plot_evaluation(path: Path, evaluation: Evaluation, labels: ArrayLike, p_lens: ArrayLike, title: str) -> None:
    """Write `path` as PNG: ROC (logarithmic false-positive axis) beside the histogram of p(lens) by class."""
    figure, (curve, histogram) = row_of_axes(10, 4.4, columns=2)
    evaluation.plot(curve, log=True)
    ScoreHistogram.of(labels, p_lens).plot(histogram, threshold=evaluation.threshold)
    figure.suptitle(title)
    save_figure(path, figure)


def draw_roc(
    axes: Axes, roc: RocBand, counts: Confusion | None = None, threshold: float | None = None, *, log: bool = False
) -> Axes:
    """Draw a ROC curve with its band and chance; the caller places the legend. Returns `axes`.

    Parameters
    ----------
    counts
        At `threshold`: of how many lenses and non-lenses the curve is, and the point on it.
    log
        Whether the axis of false positives is logarithmic; what has none stands at half of one.
    """
    n_lenses, n_others = (counts.tp + counts.fn, counts.fp + counts.tn) if counts else (0, 0)
    one = 1 / n_others if n_others else float(roc.fpr[roc.fpr > 0].min(initial=1.0))
    floor = one / 2 if log else 0.0
    draw_curve(axes, roc, floor, label="this finder, 95 % band", color=LENS)
    chance = np.geomspace(floor, 1, 200) if log else np.array([0.0, 1.0])
    axes.plot(chance, chance, color=FAINT, linewidth=0.8, linestyle=":", label="chance")
    if log:
        axes.set_xscale("log")
        axes.axvline(one, color=FAINT, linewidth=0.8)
        axes.text(one, 1.0, " one false positive", fontsize=7.5, va="top", color=QUIET)
    if counts and threshold is not None:
        alarms, recall = counts.fp / max(n_others, 1), counts.tp / max(n_lenses, 1)
        point: Any = {"color": "white", "markeredgecolor": LENS, "markeredgewidth": 1.6, "markersize": 6}
        axes.plot(max(alarms, floor), recall, "o", **point, label=f"at the threshold p = {threshold:g}")
    axes.set(xlim=(floor, 1), ylim=(0, 1.01))
    axes.set_xlabel("False-positive rate" + (f" (of {plural(n_others, 'non-lens', 'non-lenses')})" if counts else ""))
    axes.set_ylabel("Recall" + (f" (of {plural(n_lenses, 'lens', 'lenses')})" if counts else ""))
    light_grid(axes)
    return axes


def draw_curve(axes: Axes, roc: RocBand, floor: float, label: str, **look: Any) -> None:
    """Draw a curve and its band, no false-positive rate below `floor`; `look` as ``Axes.plot`` takes it."""
    fpr = np.maximum(roc.fpr, floor)
    band: Any = {"color": look["color"], "alpha": 0.15, "linewidth": 0, "step": "post"}
    axes.fill_between(fpr, roc.low, roc.high, **band)
    axes.plot(fpr, roc.tpr, drawstyle="steps-post", label=label, **look)


def draw_confusion(axes: Axes, counts: Confusion) -> Axes:
    """Draw the four counts with their fraction of the row; returns `axes`."""
    rows = np.array([[counts.tp, counts.fn], [counts.fp, counts.tn]])
    n = rows.sum(axis=1)
    fractions = np.divide(rows, n[:, None], out=np.zeros(rows.shape), where=n[:, None] > 0)
    shown = axes.imshow(fractions, vmin=0, vmax=1, cmap=recall_map(), aspect="auto")
    for row, column in np.ndindex(2, 2):
        words = f"{count(int(rows[row, column]))}\n{percent(fractions[row, column] if n[row] else None)}"
        ink = ink_on(shown.get_cmap()(fractions[row, column]))
        axes.text(column, row, words, ha="center", va="center", color=ink)
    axes.set_xticks([0, 1], ["called lens", "called non-lens"])
    axes.set_yticks([0, 1], [f"lenses\nn = {count(int(n[0]))}", f"non-lenses\nn = {count(int(n[1]))}"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes
