"""Calibrated probabilities for a rare class: fitted, and measured on images that were not used for the fit.

After Holloway et al. 2024 (MNRAS 530, 1297), who calibrate finders with isotonic regression and carry the probabilities
to a survey's prevalence. Sampling weights (inverse inclusion probabilities) of graded subsets that were not drawn at
random enter the fit and every number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from lensaudit.display.colour import LENS, UNLABELLED
from lensaudit.display.figures import axes_or_new, legend_under, light_grid, styled
from lensaudit.display.numbers import with_interval
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.calibration_fit import FEWEST, METHODS, Sample, checked_weights
from lensaudit.evaluation.measure import draw_reliability
from lensaudit.evaluation.metric import Metric
from lensaudit.provenance import Provenance
from lensaudit.records import Cells, Facts, Number, Record, Shown
from lensaudit.statistics import (
    RESAMPLES,
    Calibrator,
    FalsePositiveBound,
    Probabilities,
    Survey,
    TopN,
    WeightedBin,
    WeightedFraction,
    bootstrap_interval,
    false_positive_bound,
    top_of,
    weighted_calibration_error,
    weighted_reliability,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
_STREAM_FOLDS, _STREAM_ECE, _STREAM_BRIER = 31, 32, 33


@dataclass(frozen=True)
class CalibrationSettings:
    """How a calibration is fitted and measured.

    Attributes
    ----------
    method
        A key of `METHODS`.
    prevalence
        Fraction of lenses where the probabilities are used, in (0, 1); None: the set's own (weighted) fraction.
    folds
        Parts of cross-fitting: every image is measured by a map that was fitted without its part, and the map that is
        kept is fitted on all.
    holdout
        Instead: fraction of the images that is only measured on, in (0, 1); the map that is kept is fitted on the rest.
    fpr
        False-positive rate to bound, in (0, 1).
    inspected
        Values of N of the table of the highest scores; empty for powers of ten.
    survey
        Images of the survey that the highest N are of; None: those that the set stands for (the sum of its weights).
    seed
        Root of every draw.
    """

    method: str = "isotonic"
    prevalence: float | None = None
    folds: int = 5
    holdout: float | None = None
    fpr: float = 0.01
    inspected: tuple[int, ...] = ()
    survey: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"--method {self.method} is not known; allowed: {', '.join(METHODS)}")
        for name, value in (("prevalence", self.prevalence), ("holdout", self.holdout), ("fpr", self.fpr)):
            if value is not None and not 0 < value < 1:
                raise UsageError(f"--{name} {value:g} is not a fraction; give a number between 0 and 1")
        if self.folds < 2:
            raise UsageError(f"--folds {self.folds}: cross-fitting needs 2 parts or more")
        if min(self.inspected, default=1) < 1:
            raise UsageError(f"--inspect {min(self.inspected)}: give 1 or more")
        if self.survey is not None and self.survey < max(1, *self.inspected, 1):
            most = max(self.inspected, default=1)
            raise UsageError(f"--survey {self.survey}: has fewer images than --inspect {most}; give as many or more")


@dataclass(frozen=True)
class Reliability(Record):
    """Whether probabilities mean what they say, at the set's own (weighted) fraction of lenses.

    Attributes
    ----------
    ece
        Expected calibration error; `ece_by_chance` is what it stays below in 95 % of such sets were every p right.
    brier
        Brier score.
    bins
        The reliability diagram.
    """

    ece: Metric
    ece_by_chance: Number
    brier: Metric
    bins: tuple[WeightedBin, ...]

    @classmethod
    def of(cls, labels: ArrayLike, p: ArrayLike, weights: ArrayLike, seed: int = 0) -> Reliability:
        """Of images labelled 1 or 0 with probabilities and sampling weights, (n,) each."""
        y, said, w = (np.asarray(one, float) for one in (labels, p, weights))
        error = weighted_calibration_error(y, said, w, np.random.default_rng([seed, _STREAM_ECE]))
        rows = np.stack([w * (said - y) ** 2, w], axis=1)
        ends = bootstrap_interval([rows], _ratio, np.random.default_rng([seed, _STREAM_BRIER]))
        how = "test inversion over bins", f"bootstrap over images, {RESAMPLES} resamples"
        return cls(
            Metric("ece", error.value, error.low, error.high, len(y), how[0]),
            error.by_chance,
            Metric("brier", _ratio(rows), *ends, len(y), how[1]),
            weighted_reliability(y, said, w),
        )

    @styled
    def plot(self, ax: Axes | None = None, *, colour: str = LENS, label: str = "fraction, 95 % interval") -> Axes:
        """Draw the fraction of lenses against the mean p of each bin; returns the axes.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        colour, label
            Of the points.
        """
        axes = draw_reliability(axes_or_new(ax, 4.6, 4.2), self.bins, colour, label)
        axes.set_title(f"ECE {with_interval(self.ece.value, self.ece.low, self.ece.high)}")
        legend_under(axes)
        return axes


@dataclass(frozen=True, repr=False)
class Calibrated(Shown, Record):
    """A finder's calibration, and what it is worth on images that were not used for the fit.

    Attributes
    ----------
    calibrator
        What the calibrated finder keeps.
    measured_on
        How the images of `before` and `after` were kept from the fit, in a sentence.
    before, after
        Reliability of the finder's own probabilities and of the calibrated ones, on the same images.
    top
        The highest N of a survey at the stated prevalence.
    bound
        A threshold with a bounded false-positive rate.
    recall_at_bound
        Lenses of the set above that threshold.
    n_lenses, n_non_lenses
        Images with label and score; `effective` is Kish's number of both together.
    n_unlabelled, n_unscored
        Images left out.
    finder, set
        Name of the one, path of the other.
    """

    ALSO = ("method",)

    calibrator: Calibrator
    measured_on: str
    before: Reliability
    after: Reliability
    top: tuple[TopN, ...]
    bound: FalsePositiveBound
    recall_at_bound: WeightedFraction
    n_lenses: int
    n_non_lenses: int
    effective: float
    n_unlabelled: int
    n_unscored: int
    finder: str = ""
    set: str = ""
    provenance: Provenance | None = None

    @property
    def method(self) -> str:
        """``isotonic``, ``beta`` or ``venn-abers``."""
        return self.calibrator.method

    def _facts(self) -> Facts:
        ends = {name: with_interval(one.ece.value, one.ece.low, one.ece.high) for name, one in self._sides()}
        counts = {"lenses": self.n_lenses, "non-lenses": self.n_non_lenses}
        return {"method": self.method, **counts, "prevalence": self.calibrator.prevalence} | {
            f"ECE {name}": words for name, words in ends.items()
        }

    def _rows(self) -> list[Cells]:
        return [
            {
                "top": one.n,
                "purity": with_interval(one.purity.value, one.purity.low, one.purity.high),
                "completeness": with_interval(one.completeness.value, one.completeness.low, one.completeness.high),
            }
            for one in self.top
        ]

    def _sides(self) -> tuple[tuple[str, Reliability], tuple[str, Reliability]]:
        return ("before", self.before), ("after", self.after)

    @styled
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the reliability diagram before and after; returns the axes.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        """
        axes = axes_or_new(ax, 4.8, 4.6)
        for (name, side), colour in zip(self._sides(), (UNLABELLED, LENS), strict=True):
            ece = with_interval(side.ece.value, side.ece.low, side.ece.high)
            draw_reliability(axes, side.bins, colour, f"{name}: ECE {ece}", ideal=name == "before")
        axes.set_title(f"{self.method}, n = {self.n_lenses} lenses and {self.n_non_lenses} non-lenses")
        legend_under(axes)
        return axes

    @styled
    def plot_top(self, ax: Axes | None = None) -> Axes:
        """Draw purity and completeness of the highest N at the stated prevalence; returns the axes.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        """
        axes = axes_or_new(ax, 4.8, 4.2)
        n = [one.n for one in self.top]
        for name, colour, shape in (("purity", LENS, "o"), ("completeness", UNLABELLED, "s")):
            shown = [getattr(one, name) for one in self.top]
            axes.vlines(n, [one.low for one in shown], [one.high for one in shown], color=colour, linewidth=1.2)
            axes.plot(
                n, [one.value for one in shown], shape + "-", color=colour, linewidth=0.8, markersize=4, label=name
            )
        few = [one.n for one in self.top if one.few]
        if few:
            axes.axvspan(min(n) / 1.3, max(few) * 1.15, color=UNLABELLED, alpha=0.12, linewidth=0)
        axes.set(xscale="log", ylim=(0, 1.02), xlabel="Images inspected, highest scores first", ylabel="Fraction")
        axes.set_title(
            f"Prevalence {self.calibrator.prevalence:.3g}" + ("; grey: set too small to tell" if few else "")
        )
        light_grid(axes)
        legend_under(axes)
        return axes


def _ratio(rows: Array) -> float:
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def calibrate_scores(
    labels: ArrayLike,
    logit: ArrayLike,
    weights: ArrayLike | None,
    settings: CalibrationSettings,
    *,
    source: tuple[str, str, str] = ("set", "", ""),
) -> tuple[Calibrated, Probabilities]:
    """Fit and measure a calibration.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown (n,); the unknown are left out and counted.
    logit
        Log-odds of the finder (n,); NaN is left out and counted. The finder must not have been trained on them.
    weights
        Sampling weights (n,), 0 or more: the inverse of the chance with which an image entered the set; None: alike.
    settings
        How.
    source
        Where the set lies, its hash, and the column of the weights: for messages and the record.

    Returns
    -------
    calibrated, probabilities
        The record, and for every image (n,) its probability at the stated prevalence by a map that was fitted without
        it; with a hold-out that of the images fitted on is NaN, and so is that of images left out.

    Raises
    ------
    DataError
        There are too few of a class, the weights are no weights, or the fit fails.
    """
    label, z = np.asarray(labels), np.asarray(logit, float)
    known = (label == 0) | (label == 1)
    used = known & np.isfinite(z)
    w = checked_weights(weights, used, source[2])[used]
    sample = Sample(label[used].astype(float), z[used], w, source[0])
    sample.refuse_few()
    part = _parts(sample, settings)
    kept = sample if settings.holdout is None else sample.of(part != 0)
    calibrator = _calibrator(kept, settings, source)
    rows, at_set, at_prevalence = _out_of_fit(sample, part, settings)
    lenses, others = (sample.of(sample.y == one) for one in (1, 0))
    survey = Survey(calibrator.prevalence, settings.survey or max(round(float(w.sum())), len(w)))
    bound = false_positive_bound(others.z, others.w, settings.fpr, settings.seed)
    record = Calibrated(
        calibrator=calibrator,
        measured_on=_how(settings, len(rows), len(w)),
        before=Reliability.of(sample.y[rows], expit(sample.z[rows]), w[rows], settings.seed),
        after=Reliability.of(sample.y[rows], at_set, w[rows], settings.seed),
        top=top_of(lenses.pair, others.pair, survey, _inspected(settings, survey.images), settings.seed),
        bound=bound,
        recall_at_bound=WeightedFraction.of(lenses.z > bound.threshold, lenses.w * (not bound.status)),
        n_lenses=len(lenses.y),
        n_non_lenses=len(others.y),
        effective=float(w.sum() ** 2 / (w**2).sum()),
        n_unlabelled=int((~known).sum()),
        n_unscored=int((known & ~used).sum()),
    )
    everyone = np.full((3, len(label)), math.nan)
    everyone[:, np.flatnonzero(used)[rows]] = at_prevalence
    return record, Probabilities(*everyone)


def _parts(sample: Sample, settings: CalibrationSettings) -> NDArray[np.int64]:
    """Part of every image, each class divided alike; with a hold-out part 0 is what is only measured on."""
    draws = np.random.default_rng([settings.seed, _STREAM_FOLDS])
    y, part = sample.y, np.empty(len(sample.y), np.int64)
    for one in (0, 1):
        rows = draws.permutation(np.flatnonzero(y == one))
        if settings.holdout is None:
            part[rows] = np.arange(len(rows)) % settings.folds
            continue
        held = round(settings.holdout * len(rows))
        if min(held, len(rows) - held) < FEWEST / 2:
            raise DataError(
                f"{sample.where}: {len(rows)} {'lenses' if one else 'non-lenses'} leave {held} to measure on and "
                f"{len(rows) - held} to fit on; give another --holdout, or --folds, which uses all for both"
            )
        part[rows] = np.arange(len(rows)) >= held
    return part


def _calibrator(sample: Sample, settings: CalibrationSettings, source: Sequence[str] = ("", "", "")) -> Calibrator:
    fraction = sample.fraction
    return Calibrator(
        map=METHODS[settings.method](sample),
        fitted_fraction=fraction,
        prevalence=fraction if settings.prevalence is None else settings.prevalence,
        n_lenses=int((sample.y == 1).sum()),
        n_non_lenses=int((sample.y == 0).sum()),
        set=source[1],
        weights=source[2],
        seed=settings.seed,
    )


def _out_of_fit(
    sample: Sample, part: NDArray[np.int64], settings: CalibrationSettings
) -> tuple[NDArray[np.intp], Array, Array]:
    """Rows that were measured, their p at the set's own fraction (m,), and p, low and high at the prevalence (3, m)."""
    measured = [0] if settings.holdout is not None else range(settings.folds)
    rows, at_set, at_prevalence = [], [], []
    prevalence = sample.fraction if settings.prevalence is None else settings.prevalence
    for one in measured:
        calibrator = _calibrator(sample.of(part != one), settings)
        inside = np.flatnonzero(part == one)
        found = calibrator.probabilities(sample.z[inside], prevalence)
        rows.append(inside)
        at_set.append(calibrator.map.of(sample.z[inside]).p)
        at_prevalence.append(np.stack([found.p, found.low, found.high]))
    return np.concatenate(rows), np.concatenate(at_set), np.concatenate(at_prevalence, axis=1)


def _how(settings: CalibrationSettings, measured: int, n: int) -> str:
    if settings.holdout is None:
        return (
            f"cross-fitted in {settings.folds} parts: each of {n} images by a map fitted without its part; the "
            f"map that is kept is fitted on all"
        )
    return f"hold-out: {measured} of {n} images, none of which the map was fitted on"


def _inspected(settings: CalibrationSettings, images: int) -> list[int]:
    if max(settings.inspected, default=1) > images:
        raise UsageError(f"--inspect {max(settings.inspected)}: the survey has {images} images; give --survey more")
    if settings.inspected:
        return sorted(set(settings.inspected))
    return [n for power in range(1, 12) for n in (10**power, 3 * 10**power) if n <= images][-8:] or [images]
