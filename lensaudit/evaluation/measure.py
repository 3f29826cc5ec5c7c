"""From labels and scores to metrics with intervals, and whether probabilities mean what they say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.display.colour import FAINT, LENS
from lensaudit.display.figures import axes_or_new, legend_under, light_grid, styled
from lensaudit.display.numbers import plural, with_interval
from lensaudit.errors import DataError
from lensaudit.evaluation.metric import CONFIDENCE, Evaluation, Metric, roc_band
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import (
    RESAMPLES,
    Confusion,
    Probabilities,
    ReliabilityBin,
    WeightedBin,
    allowed_false_positives,
    auroc,
    auroc_interval,
    bootstrap_interval,
    brier_score,
    calibration_error,
    confusion,
    fbeta_of_counts,
    reliability,
    strict_threshold,
    tpr0,
    tpr10,
    tpr_at_fpr,
    wilson_interval,
)
from lensaudit.statistics.roc import FALSE_POSITIVES_OF_TPR10

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lensaudit.finders import Scores


Array = NDArray[np.float64]

FPR = 0.01
PAPER_BETA = 0.03
"""β of Wilde et al. 2022."""

_WILSON = "Wilson"
_APART = f"bootstrap, classes resampled apart, {RESAMPLES} resamples; never narrower than Wilson"
_STREAM_FBETA, _STREAM_TPR10, _STREAM_FPR, _STREAM_ROC = 1, 2, 3, 4


def evaluate(
    labels: ArrayLike,
    p_lens: ArrayLike,
    logit: ArrayLike,
    *,
    threshold: float = 0.5,
    beta: float = PAPER_BETA,
    seed: int = 0,
) -> Evaluation:
    """Measure a finder on labelled images.

    Images are called lenses where p ≥ threshold and ranked by logit, which does not saturate as p does.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown (n,); the unknown are left out and counted.
    p_lens, logit
        Scores (n,); NaN for images that could not be scored, which are left out and counted.
    threshold, beta
        What counts as a lens, and the β of Fβ.
    seed
        Root of the bootstrap's draws.

    Returns
    -------
    Evaluation
        A metric that does not exist, such as the recall of a set without lenses, is NaN with a status.
    """
    label, p, z = (np.asarray(values) for values in (labels, p_lens, logit))
    if not label.shape == p.shape == z.shape or label.ndim != 1:
        raise ValueError(f"labels {label.shape}, p_lens {p.shape} and logit {z.shape} must be equally long lists")
    known = (label == 0) | (label == 1)
    scored = known & np.isfinite(p) & ~np.isnan(z)
    counts = confusion(label[scored], p[scored] >= threshold)
    lenses, others = z[scored & (label == 1)].astype(float), z[scored & (label == 0)].astype(float)
    ranks = Ranks(lenses, others, seed)
    return Evaluation(
        metrics=(*_calls(counts, beta, seed), ranks.auroc(), ranks.tpr0(), ranks.tpr10(), ranks.tpr_at_fpr()),
        threshold=threshold,
        beta=beta,
        fpr=FPR,
        counts=counts,
        n_unlabelled=int((~known).sum()),
        n_unscored=int((known & ~scored).sum()),
        roc=roc_band(lenses, others, _draws(seed, _STREAM_ROC), CONFIDENCE) if len(lenses) and len(others) else None,
    )


def _calls(counts: Confusion, beta: float, seed: int) -> tuple[Metric, ...]:
    """Accuracy, precision, recall and Fβ at the threshold."""
    return (
        _share("accuracy", counts.tp + counts.tn, counts.n, "no labelled images"),
        _share("precision", counts.tp, counts.tp + counts.fp, "nothing was called a lens"),
        _share("recall", counts.tp, counts.tp + counts.fn, "no lenses"),
        _fbeta(counts, beta, _draws(seed, _STREAM_FBETA)),
    )


def _share(name: str, part: int, whole: int, otherwise: str) -> Metric:
    value = part / whole if whole else math.nan
    return Metric(name, value, *wilson_interval(part, whole, CONFIDENCE), whole, _WILSON, "" if whole else otherwise)


def _fbeta(counts: Confusion, beta: float, generator: np.random.Generator) -> Metric:
    value, method = counts.fbeta(beta), f"bootstrap over images, {RESAMPLES} resamples"
    if math.isnan(value):
        return Metric("fbeta", value, math.nan, math.nan, counts.n, "", "neither lenses nor calls")
    if value in (0.0, 1.0):  # every resample would say the same
        return Metric("fbeta", value, *_fbeta_of_rates(counts, beta), counts.n, "Fβ of Wilson's limits")
    cells = np.array([counts.tp, counts.fp, counts.fn, counts.tn])
    tp, fp, fn, _ = generator.multinomial(counts.n, cells / counts.n, size=RESAMPLES).T
    low, high = np.nanquantile(fbeta_of_counts(tp, fp, fn, beta), [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Metric("fbeta", value, float(low), float(high), counts.n, method)


def _fbeta_of_rates(counts: Confusion, beta: float) -> tuple[float, float]:
    """Fβ, which rises with both, at the lower and upper Wilson limits of precision and recall."""
    called, lenses = counts.tp + counts.fp, counts.tp + counts.fn
    limits = []
    for side in (0, 1):
        precision = wilson_interval(counts.tp, called, CONFIDENCE)[side] if called else float(side)
        recall = wilson_interval(counts.tp, lenses, CONFIDENCE)[side] if lenses else float(side)
        weighted = beta**2 * precision + recall
        limits.append((1 + beta**2) * precision * recall / weighted if weighted else 0.0)
    return limits[0], limits[1]


@dataclass(frozen=True)
class Ranks:
    """Metrics of the ranking alone, from the logits of lenses (n1,) and non-lenses (n0,)."""

    lenses: Array
    others: Array
    seed: int

    def auroc(self) -> Metric:
        """Area under the ROC curve."""
        value = auroc(self.lenses, self.others)
        interval = auroc_interval(self.lenses, self.others, CONFIDENCE)
        method = "DeLong on the log-odds scale" if 0 < value < 1 else "Wilson with the smaller class"
        status = self._missing or ("" if math.isfinite(interval[0]) else "an interval needs two of each class")
        return Metric("auroc", value, *interval, self._n, method, status)

    def tpr0(self) -> Metric:
        """Recall above every non-lens; the bootstrap fails for an extreme (Bickel & Freedman 1981)."""
        return self._above_given("tpr0", tpr0(self.lenses, self.others), 0)

    def tpr10(self) -> Metric:
        """Recall with fewer than ten false positives."""
        if not self._missing and len(self.others) <= FALSE_POSITIVES_OF_TPR10:
            return self._absent("tpr10", f"only {len(self.others)} non-lenses: every threshold has fewer than ten")
        return self._resampled("tpr10", tpr10(self.lenses, self.others), FALSE_POSITIVES_OF_TPR10, _STREAM_TPR10)

    def tpr_at_fpr(self) -> Metric:
        """Recall at a false-positive rate of at most 1 %."""
        value, allowed = tpr_at_fpr(self.lenses, self.others, FPR), allowed_false_positives(len(self.others), FPR)
        if allowed == 0:
            return self._above_given("tpr_at_fpr", value, 0)
        return self._resampled("tpr_at_fpr", value, allowed, _STREAM_FPR)

    @property
    def _n(self) -> int:
        return len(self.lenses) + len(self.others)

    @property
    def _missing(self) -> str:
        if len(self.lenses) and len(self.others):
            return ""
        return "no labelled images" if not self._n else "no lenses" if not len(self.lenses) else "no non-lenses"

    def _absent(self, name: str, status: str) -> Metric:
        return Metric(name, math.nan, math.nan, math.nan, self._n, "", status)

    def _above_given(self, name: str, value: float, allowed: int) -> Metric:
        """A fraction of lenses, given the threshold that these non-lenses set."""
        if self._missing:
            return self._absent(name, self._missing)
        found = int((self.lenses > strict_threshold(self.others, allowed)).sum())
        interval = wilson_interval(found, len(self.lenses), CONFIDENCE)
        return Metric(name, value, *interval, self._n, "Wilson, given these non-lenses' highest score")

    def _resampled(self, name: str, value: float, allowed: int, which: int) -> Metric:
        if self._missing:
            return self._absent(name, self._missing)

        def recall(lenses: Array, others: Array) -> float:
            return float(np.mean(lenses > strict_threshold(others, allowed)))

        groups, draws = [self.lenses, self.others], _draws(self.seed, which)
        drawn = bootstrap_interval(groups, recall, draws, confidence=CONFIDENCE)
        given = wilson_interval(round(value * len(self.lenses)), len(self.lenses), CONFIDENCE)
        # where no lens, or every lens, is found, every resample says so too: Wilson keeps what chance remains
        return Metric(name, value, min(drawn[0], given[0]), max(drawn[1], given[1]), self._n, _APART)


def _draws(seed: int, which: int) -> np.random.Generator:
    return np.random.default_rng([seed, which])


_NAMED = 3


def in_order_of(ids: Sequence[str], scores: Scores, path: Path) -> Scores:
    """The scores of exactly the images `ids`, in that order.

    Raises
    ------
    DataError
        An image is scored twice, is missing, or does not belong to the set; the message names up to three.
    """
    from lensaudit.finders import Scores as Ordered

    counted = Counter(scores.ids)
    wanted = set(ids)
    faults = {
        "are there more than once": [name for name, times in counted.items() if times > 1],
        "are missing": [name for name in ids if name not in counted],
        "do not belong to the set": [name for name in counted if name not in wanted],
    }
    for fault, names in faults.items():
        if names:
            shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
            raise DataError(f"{path}: {len(names)} ids {fault} ({shown}); write it with lensaudit score on this set")
    position = {name: row for row, name in enumerate(scores.ids)}
    rows = [position[name] for name in ids]
    found = scores.calibrated
    calibrated = None if found is None else Probabilities(found.p[rows], found.low[rows], found.high[rows])
    status = tuple(scores.status[row] for row in rows)
    members = None if scores.members is None else scores.members.of_rows(rows)
    told = scores.p_lens[rows], scores.logit[rows]
    return Ordered(tuple(ids), *told, status, calibrated=calibrated, members=members)


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
    axes: Axes,
    bins: Sequence[ReliabilityBin] | Sequence[WeightedBin],
    colour: str = LENS,
    label: str = "this finder, 95 % interval",
    *,
    ideal: bool = True,
) -> Axes:
    """Draw the fraction of lenses of every bin that has images, with its interval; returns `axes`.

    Parameters
    ----------
    ideal
        Whether the line on which every p is right is drawn too.
    """
    there = [one for one in bins if one.lenses.n]
    said, fraction = ([one.mean_p for one in there], [one.lenses.value for one in there])
    low, high = ([getattr(one.lenses, end) for one in there] for end in ("low", "high"))
    if ideal:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":", label="every p right")
    axes.vlines(said, low, high, color=colour, linewidth=1.2)
    axes.plot(said, fraction, "o-", color=colour, linewidth=0.8, markersize=4, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="Mean p(lens) of the bin", ylabel="Fraction of lenses")
    light_grid(axes)
    return axes
