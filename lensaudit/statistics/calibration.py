"""Whether probabilities mean what they say: Brier score, calibration error, reliability diagram."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.records import Json, Number, Record
from lensaudit.statistics.proportions import Proportion

Array = NDArray[np.float64]

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin(Record):
    """One bin (left, right] of p: what was predicted and what was.

    Attributes
    ----------
    left, right
        Edges of the bin; the first one includes 0.
    mean_p
        Mean p of its images; NaN without one.
    lenses
        Lenses among its images.
    """

    left: float
    right: float
    mean_p: Number
    lenses: Proportion

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "said" not in words:
            return words
        lenses = {name: words[name] for name in ("k", "n", "low", "high")}
        return {"left": words["left"], "right": words["right"], "mean_p": words["said"], "lenses": lenses}


def brier_score(labels: ArrayLike, p: ArrayLike) -> float:
    """Mean of (p − label)² (Brier 1950): 0 is perfect, always saying the fraction s of lenses gives s (1 − s).

    Parameters
    ----------
    labels
        1 or 0 (n,).
    p
        Probabilities of 1 (n,).
    """
    y, said = _checked(labels, p)
    return float(np.mean((said - y) ** 2)) if len(y) else math.nan


def expected_calibration_error(labels: ArrayLike, p: ArrayLike, bins: int = BINS) -> float:
    """Mean over images of |fraction of lenses − mean p| of their bin, bins equally wide (Naeini et al. 2015)."""
    y, said = _checked(labels, p)
    return _error(y, said, _bins_of(said, bins), bins) if len(y) else math.nan


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error with its interval.

    Attributes
    ----------
    value
        Of these images; above 0 by chance alone, the more so the fewer there are.
    low, high
        Interval of the error itself.
    by_chance
        What `value` would stay below in 95 % of such sets were every p exactly right.
    """

    value: float
    low: float
    high: float
    by_chance: float


def calibration_error(
    labels: ArrayLike,
    p: ArrayLike,
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    bins: int = BINS,
) -> CalibrationError:
    """Expected calibration error, its bootstrap interval, and what chance gives.

    A resample's error has the chance of two drawings in it and lies too high; the basic interval, 2 × value less the
    quantiles, takes that out again to first order (Davison & Hinkley 1997, Section 5.2). It is widened to the value
    itself, and to 0 where the value is no larger than chance gives a calibrated finder, whose labels are drawn from
    its own probabilities (Bröcker & Smith 2007).
    """
    y, said = _checked(labels, p)
    if not len(y):
        return CalibrationError(math.nan, math.nan, math.nan, math.nan)
    bin_of = _bins_of(said, bins)
    drawn, calibrated = np.empty(resamples), np.empty(resamples)
    for row in range(resamples):
        chosen = generator.integers(len(y), size=len(y))
        drawn[row] = _error(y[chosen], said[chosen], bin_of[chosen], bins)
        calibrated[row] = _error((generator.random(len(y)) < said).astype(float), said, bin_of, bins)
    value, by_chance = _error(y, said, bin_of, bins), float(np.quantile(calibrated, confidence))
    low, high = np.clip(2 * value - np.quantile(drawn, [0.5 + confidence / 2, 0.5 - confidence / 2]), 0, 1)
    low = 0.0 if value <= by_chance else min(float(low), value)
    return CalibrationError(value, low, max(float(high), value), by_chance)


def reliability(labels: ArrayLike, p: ArrayLike, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Fraction of lenses against the mean probability, in equally wide bins of it."""
    y, said = _checked(labels, p)
    bin_of = _bins_of(said, bins)
    found = []
    for index in range(bins):
        inside = bin_of == index
        k, n = int(y[inside].sum()), int(inside.sum())
        mean = float(said[inside].mean()) if n else math.nan
        found.append(ReliabilityBin(index / bins, (index + 1) / bins, mean, Proportion.of(k, n)))
    return tuple(found)


def _error(y: Array, said: Array, bin_of: NDArray[np.intp], bins: int) -> float:
    """Σ over bins of |Σ (label − p)| / n: the bins' fractions and their weights in one."""
    return float(np.abs(np.bincount(bin_of, weights=y - said, minlength=bins)).sum()) / len(y)


def _bins_of(said: Array, bins: int) -> NDArray[np.intp]:
    """Bin of each p, right edges inside, as scikit-learn's ``calibration_curve`` has them."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], said)


def _checked(labels: ArrayLike, p: ArrayLike) -> tuple[Array, Array]:
    y, said = np.asarray(labels, float), np.asarray(p, float)
    if y.shape != said.shape or y.ndim != 1:
        raise ValueError(f"labels {y.shape} and probabilities {said.shape} must be equally long lists")
    if not (((said >= 0) & (said <= 1)).all() and np.isin(y, (0, 1)).all()):
        raise ValueError("labels must be 0 or 1 and probabilities in [0, 1]")
    return y, said
