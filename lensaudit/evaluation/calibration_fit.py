"""Fits of calibration maps to a weighted sample of labelled scores: isotonic, beta, Venn–Abers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from lensaudit.errors import DataError, UsageError
from lensaudit.statistics import BetaMap, IsotonicMap, VennAbersMap

Array = NDArray[np.float64]
Map = IsotonicMap | BetaMap | VennAbersMap

FEWEST = 20
"""Lenses, and non-lenses, that a calibration needs at least."""


def checked_weights(weights: ArrayLike | None, used: NDArray[np.bool_], column: str) -> Array:
    """Sampling weights (n,), scaled so that those used stand for as many images as they did; ones where None.

    Raises
    ------
    DataError
        They are no numbers, or one of those `used` is negative or not finite, or all are zero.
    """
    if weights is None:
        return np.ones(len(used))
    try:
        w = np.asarray(weights, float)
    except (TypeError, ValueError) as wrong:
        raise DataError(
            f"weights: column {column} holds no numbers; give one with inverse inclusion probabilities"
        ) from wrong
    wrong_rows = np.flatnonzero(used & ~((w >= 0) & np.isfinite(w)))
    if len(wrong_rows):
        first = int(wrong_rows[0])
        raise DataError(
            f"weights: column {column} is {w[first]:g} in row {first + 1} ({len(wrong_rows)} of "
            f"{int(used.sum())} labelled images); a weight is 0 or more, the inverse of the chance of being in the set"
        )
    if not (w[used] > 0).any():
        raise DataError(f"weights: column {column} is 0 for every labelled image; give inverse inclusion probabilities")
    return np.where(used, w, 0.0)


@dataclass(frozen=True)
class Sample:
    """Labels (1, 0), log-odds and sampling weights, (n,) each; `where` names the set in messages."""

    y: Array
    z: Array
    w: Array
    where: str = "set"

    def of(self, rows: NDArray[Any]) -> Sample:
        """Of these rows."""
        return Sample(self.y[rows], self.z[rows], self.w[rows], self.where)

    @property
    def pair(self) -> tuple[Array, Array]:
        """Log-odds and weights."""
        return self.z, self.w

    @property
    def fraction(self) -> float:
        """Weighted fraction of lenses."""
        return float(np.average(self.y, weights=self.w))

    def refuse_few(self) -> None:
        """Raise DataError where one class is missing or has too few images with a weight above 0."""
        counts = [int(((self.y == one) & (self.w > 0)).sum()) for one in (1, 0)]
        if not sum(counts):
            raise DataError(
                f"{self.where}: has no labelled image with a score and a weight; a calibration needs labels"
            )
        for count, what in zip(counts, ("lenses", "non-lenses"), strict=True):
            if count < FEWEST:
                weighted = " of a weight above 0" if (self.w == 0).any() else ""
                raise DataError(
                    f"{self.where}: has {count or 'no'} {what}{weighted}; a calibration needs at least {FEWEST} of "
                    f"each class, and hundreds for narrow intervals"
                )


def _isotonic(sample: Sample) -> IsotonicMap:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(sample.z, sample.y, sample_weight=sample.w)
    return IsotonicMap(np.asarray(fitted.X_thresholds_, float), np.asarray(fitted.y_thresholds_, float))


def _beta(sample: Sample) -> BetaMap:
    with warnings.catch_warnings():  # betacal silences all warnings, of everybody and for good
        from betacal import BetaCalibration

        fitted = BetaCalibration("abm").fit(expit(sample.z), sample.y, sample_weight=sample.w).calibrator_
    a, b, _ = fitted.map_
    if fitted.lr_.n_iter_[0] >= fitted.lr_.max_iter:
        raise DataError(
            f"{sample.where}: beta calibration does not converge, as where lenses and non-lenses do not overlap; "
            "use --method isotonic or venn-abers"
        )
    if min(a, b) < 0 or max(a, b) == 0:
        raise DataError(
            f"{sample.where}: lenses do not score above non-lenses, so beta calibration finds no rising map; check "
            "labels and finder"
        )
    return BetaMap(float(a), float(b), float(fitted.lr_.intercept_[0]))


def _venn_abers(sample: Sample) -> VennAbersMap:
    if len(np.unique(sample.w)) > 1:
        raise UsageError(
            "--method venn-abers: takes no sampling weights, its guarantee is for images drawn alike; use --method "
            "isotonic or beta with them"
        )
    with np.errstate(all="ignore"), warnings.catch_warnings():  # which it changes for everybody when imported
        from venn_abers import calc_p0p1

        p0, p1, scores = calc_p0p1(np.stack([-sample.z, sample.z], axis=1), sample.y)
    return _without_repetition(np.asarray(scores), np.asarray(p0)[:, 1], np.asarray(p1)[:, 1])


def _without_repetition(scores: Array, p0: Array, p1: Array) -> VennAbersMap:
    """The same map without the scores at which nothing changes."""
    changes = (np.diff(p0) != 0) | (np.diff(p1) != 0)
    keep = np.r_[True, changes]
    return VennAbersMap(scores[changes], p0[keep], p1[keep])


METHODS: dict[str, Callable[[Sample], Map]] = {"isotonic": _isotonic, "beta": _beta, "venn-abers": _venn_abers}
"""Method → its fit of a weighted sample."""
