"""Calibrated probabilities: maps from a finder's log-odds to the fraction of lenses among images with that score.

Here maps are applied, with numbers alone; `lensaudit.evaluation.calibrating` fits them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from lensaudit.records import Floats, Record

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Probabilities:
    """Calibrated probabilities of "lens", float64 (n,); NaN where there was no score.

    `low` and `high` are both ends of Venn–Abers' multiprobability; of other methods they are NaN.
    """

    p: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class IsotonicMap(Record):
    """Isotonic regression: p (m,) at ascending log-odds `scores` (m,), straight lines between, flat outside."""

    scores: Floats
    p: Floats
    method: Literal["isotonic"] = "isotonic"

    @property
    def complaint(self) -> str:
        """Why this is no such map; empty for none."""
        return _complaint(self.scores, self.p)

    def of(self, logit: Array) -> Probabilities:
        """Of log-odds (n,)."""
        p = np.where(np.isnan(logit), math.nan, np.interp(logit, self.scores, self.p))
        return Probabilities(p, *np.full((2, len(p)), math.nan))


@dataclass(frozen=True)
class BetaMap(Record):
    """Beta calibration (Kull et al. 2017): logit p = c + a ln s − b ln(1 − s), s the sigmoid of the log-odds.

    a = b = 1, c = 0 changes nothing; a = b is a logistic (Platt) calibration.
    """

    a: float
    b: float
    c: float
    method: Literal["beta"] = "beta"

    @property
    def complaint(self) -> str:
        """Why this is no such map; empty for none."""
        fine = min(self.a, self.b) >= 0 and max(self.a, self.b) > 0
        return "" if fine else f"a = {self.a:g} and b = {self.b:g} do not make a map that rises"

    def of(self, logit: Array) -> Probabilities:
        """Of log-odds (n,)."""
        p = expit(self.c - self.a * np.logaddexp(0, -logit) + self.b * np.logaddexp(0, logit))
        return Probabilities(p, *np.full((2, len(p)), math.nan))


@dataclass(frozen=True, eq=False)
class VennAbersMap(Record):
    """Inductive Venn–Abers predictor (Vovk, Petej & Fedorova 2015).

    `scores` (k,) are distinct log-odds, ascending; `p0` and `p1` (k + 1,) what isotonic regression says of an image
    between two of them, were it a non-lens and were it a lens.
    """

    scores: Floats
    p0: Floats
    p1: Floats
    method: Literal["venn-abers"] = "venn-abers"

    @property
    def complaint(self) -> str:
        """Why this is no such map; empty for none."""
        return _complaint(self.scores, self.p0, 1) or _complaint(self.scores, self.p1, 1)

    def of(self, logit: Array) -> Probabilities:
        """Of log-odds (n,): p1 / (1 − p0 + p1), which loses least whichever of both is right, and both."""
        low = self.p0[np.searchsorted(self.scores, logit, "right")]
        high = self.p1[np.searchsorted(self.scores, logit, "left")]
        missing = np.isnan(logit)
        low, high = (np.where(missing, math.nan, ends) for ends in (low, high))
        return Probabilities(high / (1 - low + high), low, high)


def _complaint(scores: Array, p: Array, more: int = 0) -> str:
    """What is wrong of a map with `more` values of p than ascending scores."""
    if scores.ndim != 1 or p.shape != (len(scores) + more,) or not p.size:
        return f"{scores.shape} scores do not go with {p.shape} probabilities"
    if not (np.isfinite(scores).all() and (np.diff(scores) > 0).all()):
        return "its scores do not rise"
    if not ((p >= 0) & (p <= 1)).all() or (np.diff(p) < -1e-12).any():  # rounding
        return "its probabilities do not rise within [0, 1]"
    return ""


def scaled_odds(p: ArrayLike, before: float, after: float) -> Array:
    """Probabilities (n,) where the fraction of lenses is `after` instead of `before`, both in (0, 1).

    Odds are multiplied by after (1 − before) / (before (1 − after)) (Saerens et al. 2002): exact where only the number
    of lenses changes and not how lenses and non-lenses look; 0 and 1 stay.
    """
    ratio = after * (1 - before) / (before * (1 - after))
    found = np.asarray(p, float)
    return np.asarray(found * ratio / (found * ratio + (1 - found)))


@dataclass(frozen=True)
class Calibrator(Record):
    """From a finder's log-odds to calibrated probabilities, and what it was fitted on.

    Attributes
    ----------
    map
        Fitted at the fraction `fitted_fraction` of lenses.
    prevalence
        Fraction of lenses that the probabilities are for.
    n_lenses, n_non_lenses
        Images it was fitted on.
    set
        SHA-256 of the content of the set.
    weights
        Column of sampling weights; empty for none.
    seed
        Of the division into parts.
    """

    map: IsotonicMap | BetaMap | VennAbersMap
    fitted_fraction: float
    prevalence: float
    n_lenses: int
    n_non_lenses: int
    set: str = ""
    weights: str = ""
    seed: int = 0

    @property
    def method(self) -> str:
        """``isotonic``, ``beta`` or ``venn-abers``."""
        return self.map.method

    @property
    def complaint(self) -> str:
        """Why this is no calibration; empty for none."""
        for name in ("fitted_fraction", "prevalence"):
            if not 0 < (value := getattr(self, name)) < 1:
                return f"{name} {value:g} is not between 0 and 1"
        return self.map.complaint

    def probabilities(self, logit: ArrayLike, prevalence: float | None = None) -> Probabilities:
        """Of log-odds (n,), NaN stays; for lenses that are the fraction `prevalence`, by default its own."""
        after = self.prevalence if prevalence is None else prevalence
        found = self.map.of(np.asarray(logit, float))
        shifted = (scaled_odds(one, self.fitted_fraction, after) for one in (found.p, found.low, found.high))
        return Probabilities(*shifted)
