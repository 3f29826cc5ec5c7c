"""Calls at a threshold against labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Confusion:
    """Counts of images: found lenses, false alarms, lost lenses, rejected non-lenses.

    A share whose denominator is zero is NaN.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        """All images."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def accuracy(self) -> float:
        """Share called right."""
        return share(self.tp + self.tn, self.n)

    @property
    def precision(self) -> float:
        """Share of lenses among those called lenses (purity in this set)."""
        return share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the lenses that were found (completeness)."""
        return share(self.tp, self.tp + self.fn)

    def fbeta(self, beta: float) -> float:
        """(1 + β²) P R / (β² P + R): recall counts β times as much as precision."""
        return float(fbeta_of_counts(np.array(self.tp), np.array(self.fp), np.array(self.fn), beta))


def confusion(labels: ArrayLike, called: ArrayLike) -> Confusion:
    """Count calls (boolean) against labels (1 lens, 0 non-lens), both (n,)."""
    lens, call = np.asarray(labels) == 1, np.asarray(called, bool)
    return Confusion(
        tp=int((lens & call).sum()),
        fp=int((~lens & call).sum()),
        fn=int((lens & ~call).sum()),
        tn=int((~lens & ~call).sum()),
    )


def fbeta_of_counts(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, beta: float) -> np.ndarray:
    """Fβ of counts of any shape; NaN where there is neither a lens nor a call."""
    if beta < 0:
        raise ValueError(f"beta {beta} is below 0")
    denominator = (1 + beta**2) * tp + beta**2 * fn + fp
    safe = np.where(denominator > 0, denominator, 1)
    return np.where(denominator > 0, (1 + beta**2) * tp / safe, math.nan)


def share(part: int, whole: int) -> float:
    """part / whole, NaN without a whole."""
    return part / whole if whole else math.nan
