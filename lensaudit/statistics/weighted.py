"""Reliability of probabilities where images have sampling weights: inverse chances of being in the set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.records import Number, Record
from lensaudit.statistics.proportions import BINS, CalibrationError, normal_quantile, wilson_interval

Array = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class WeightedFraction(Record):
    """Fraction of lenses among `n` images with sampling weights; NaN without any.

    `n_effective` is Kish's (Σw)² / Σw²; the interval is Wilson's for so many images, exact where all weights are alike.
    """

    value: Number
    low: Number
    high: Number
    n: int
    n_effective: Number

    @classmethod
    def of(cls, hits: ArrayLike, weights: ArrayLike) -> WeightedFraction:
        """Of images (n,) that are hits (1) or not (0), with their weights (n,)."""
        y, w = np.asarray(hits, float), np.asarray(weights, float)
        total = float(w.sum())
        if not total > 0:
            return cls(math.nan, math.nan, math.nan, 0, 0.0)
        value, effective = float(np.average(y, weights=w)), total**2 / float((w**2).sum())
        return cls(value, *_wilson(value, effective), int((w > 0).sum()), effective)


def _wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's interval for a fraction of n images, which need not be whole."""
    whole = round(n)
    if abs(n - whole) < 1e-9 and abs(value * n - round(value * n)) < 1e-9:
        return wilson_interval(min(round(value * n), whole), whole, CONFIDENCE)
    z = normal_quantile(CONFIDENCE)
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class WeightedBin(Record):
    """One bin (left, right] of p: mean p of its images, and the fraction of lenses among them, both weighted."""

    left: float
    right: float
    mean_p: Number
    lenses: WeightedFraction


def weighted_reliability(labels: ArrayLike, p: ArrayLike, weights: ArrayLike) -> tuple[WeightedBin, ...]:
    """As `reliability`, of images with sampling weights (n,)."""
    y, said = np.asarray(labels, float), np.asarray(p, float)
    w, bin_of = np.asarray(weights, float), bins_of_p(said)[1]
    found = []
    for index in range(BINS):
        inside = (bin_of == index) & (w > 0)
        mean = float(np.average(said[inside], weights=w[inside])) if inside.any() else math.nan
        lenses = WeightedFraction.of(y[inside], w[inside])
        found.append(WeightedBin(index / BINS, (index + 1) / BINS, mean, lenses))
    return tuple(found)


def weighted_calibration_error(
    labels: ArrayLike, p: ArrayLike, weights: ArrayLike, generator: np.random.Generator, *, draws: int = 1000
) -> CalibrationError:
    """Expected calibration error of images with sampling weights (n,), its interval, and what chance gives.

    Σ over bins of |d| adds up what chance does in every bin and lies too high. The interval holds the errors that, were
    the bins' differences d those found but for one factor, would not have given so large or so small a value by chance
    (2.5 % each): test inversion over normal draws of d. Their variance in a bin is that found, or that of right
    probabilities where it is larger, so that a bin with few images is not taken for certain.
    """
    y, said = np.asarray(labels, float), np.asarray(p, float)
    if not len(y):
        return CalibrationError(math.nan, math.nan, math.nan, math.nan)
    n, bin_of = len(y), bins_of_p(said)[1]
    w = np.asarray(weights, float)
    w = w / w.mean()
    off = w * (y - said)
    found, squares, right = (np.bincount(bin_of, one, BINS) / n for one in (off, off**2, w**2 * said * (1 - said)))
    covariance = (np.diag(np.maximum(squares, right)) - np.outer(found, found)) / n
    noise = generator.multivariate_normal(np.zeros(BINS), covariance, draws, method="eigh")
    chance = np.abs(generator.normal(size=(draws, BINS)) * np.sqrt(right / n)).sum(axis=1)
    value = float(np.abs(found).sum())
    shape = found / value if value else np.full(BINS, 1 / BINS)

    def large(error: float) -> float:
        """How often chance gives more than was found, were the error so large; rises with it."""
        return float((np.abs(error * shape + noise).sum(axis=1) >= value).mean())

    low, high = _rises_above(large, _TAIL), _rises_above(large, 1 - _TAIL)
    return CalibrationError(value, min(low, value), max(high, value), float(np.quantile(chance, 1 - 2 * _TAIL)))


_TAIL = 0.025
_HALVINGS = 30


def _rises_above(function: Callable[[float], float], level: float) -> float:
    """Where in [0, 1] a rising function reaches the level."""
    low, high = 0.0, 1.0
    if function(low) >= level:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) >= level else (middle, high)
    return high


def bins_of_p(said: Array) -> tuple[Array, NDArray[np.intp]]:
    """Edges of the bins of p (m + 1,), and the bin of each p (n,), right edges inside."""
    edges = np.linspace(0, 1, BINS + 1)
    return edges, np.searchsorted(edges[1:-1], said)
