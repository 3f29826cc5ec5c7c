"""How far a cutout lies from the simulated ones, and which lie beyond nearly all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BEYOND = 0.01
"""Fraction of the simulated cutouts that lie beyond the threshold themselves."""

_FOLDS = 5
_LEAST_SPREAD = 0.1
"""Standard deviation that a feature has at least, as a fraction of the typical one: one that is silent on all simulated
cutouts and speaks on a real one is what is looked for, and must not divide by zero."""


@dataclass(frozen=True, eq=False)
class Distances:
    """Mahalanobis distances from the simulated cutouts (Lee et al. 2018, NeurIPS).

    Attributes
    ----------
    real, simulated
        Float64 (n,) and (m,); each simulated cutout's is from those of other folds, so that both are out of sample.
    threshold
        That 1 % of the simulated cutouts exceed.
    """

    real: Floats
    simulated: Floats
    threshold: float


def distances_from(
    simulated: NDArray[np.floating[Any]], real: NDArray[np.floating[Any]], generator: np.random.Generator
) -> Distances:
    """Distances of both from the mean of `simulated`, by its covariance, shrunk by Ledoit & Wolf 2004.

    Parameters
    ----------
    simulated, real
        Features (m, d) and (n, d) without NaN; at least three simulated.
    generator
        Deals the simulated cutouts out into folds.
    """
    m = len(simulated)
    fold = generator.permutation(m) % min(_FOLDS, m)
    own, others = np.empty(m), []
    for one in range(int(fold.max()) + 1):
        near = _Gaussian.of(np.asarray(simulated[fold != one], np.float64))
        own[fold == one] = near.distance(simulated[fold == one])
        others.append(near.distance(real))
    return Distances(np.mean(others, axis=0), own, float(np.quantile(own, 1 - BEYOND, method="higher")))


@dataclass(frozen=True, eq=False)
class _Gaussian:
    """Mean and spread (d,), and Cholesky factor (d, d) of the inverse covariance of what was standardised by them."""

    mean: Floats
    spread: Floats
    whitening: Floats

    @classmethod
    def of(cls, values: Floats) -> _Gaussian:
        from sklearn.covariance import ledoit_wolf

        mean, spread = values.mean(axis=0), values.std(axis=0)
        typical = float(np.median(spread[spread > 0])) if (spread > 0).any() else 1.0
        spread = np.maximum(spread, _LEAST_SPREAD * typical)
        covariance, _ = ledoit_wolf((values - mean) / spread, assume_centered=True)
        size = len(covariance)
        ridge = 1e-6 * max(float(np.trace(covariance)) / size, 1e-6)
        inverse = np.linalg.inv(covariance + ridge * np.eye(size))
        whitening = np.linalg.cholesky((inverse + inverse.T) / 2)
        return cls(mean, np.asarray(spread, np.float64), np.asarray(whitening, np.float64))

    def distance(self, values: NDArray[np.floating[Any]]) -> Floats:
        """Distances (n,) of points (n, d)."""
        return np.asarray(np.linalg.norm(((values - self.mean) / self.spread) @ self.whitening, axis=1))
