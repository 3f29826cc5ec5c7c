"""What each kernel goes with among the lenses of a set: by rank correlation, and by what its highest lenses share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.explain.kernels.truth_columns import TruthColumn
from lensaudit.statistics import holm, spearman, top_groups

Array = NDArray[np.float64]

ALPHA = 0.05
"""Chance of any false statement among all kernels and columns of a set."""

TOP_SHARE = 0.05
"""Of the lenses that are a kernel's highest."""


@dataclass(frozen=True, eq=False)
class Effects(ABC):
    """One statistic of every kernel with every truth column, among the lenses that were scored.

    Attributes
    ----------
    columns
        The quantities (c).
    value, low, high
        The statistic and its 95 % interval, float64 (kernels, c); NaN where it is not defined, as for dead kernels and
        constant columns.
    p, p_holm
        Two-sided p-value of no effect, and corrected for all kernels and columns (Holm), float64 (kernels, c).
    n
        Lenses compared (c).
    """

    columns: tuple[TruthColumn, ...]
    value: Array
    low: Array
    high: Array
    p: Array
    p_holm: Array
    n: NDArray[np.int64]

    @property
    @abstractmethod
    def neutral(self) -> float:
        """The value without an effect."""

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Where the corrected p-value is below 0.05: bool (kernels, c)."""
        return np.nan_to_num(self.p_holm, nan=1.0) < ALPHA

    @property
    def strength(self) -> Array:
        """Distance from the neutral value of the nearer end of the interval, float64; 0 where not significant."""
        nearer = np.where(self.value > self.neutral, self.low - self.neutral, self.neutral - self.high)
        return np.where(self.significant, np.maximum(np.nan_to_num(nearer), 0), 0.0)

    def strongest(self, column: int, count: int) -> list[int]:
        """Positions of the `count` kernels that go with a column most surely, significant ones only."""
        strength = self.strength[:, column]
        order = np.argsort(-strength, kind="stable")[:count]
        return [int(index) for index in order if strength[index] > 0]


class Correlations(Effects):
    """Spearman's ρ, see `lensaudit.statistics.spearman`: a rise or fall throughout."""

    @property
    def rho(self) -> Array:
        """ρ in [−1, 1], float64 (kernels, c)."""
        return self.value

    @property
    def neutral(self) -> float:
        """No correlation."""
        return 0.0


@dataclass(frozen=True, eq=False)
class TopLenses(Effects):
    """What a kernel's most exciting lenses have in common, as when one looks at them.

    AUROC of a quantity between its highest 5 % of lenses and the others, see `lensaudit.statistics.top_groups`.

    Attributes
    ----------
    n_top
        Lenses in the top group (c).
    """

    n_top: NDArray[np.int64]

    @property
    def auroc(self) -> Array:
        """AUROC in [0, 1], float64 (kernels, c)."""
        return self.value

    @property
    def neutral(self) -> float:
        """The highest are like the others."""
        return 0.5


@dataclass(frozen=True, eq=False)
class RawEffects:
    """Effects of some kernels before any correction: value, low, high, p of each statistic, (4, kernels, columns)."""

    rho: Array
    top: Array

    @classmethod
    def of(cls, values: NDArray[np.float32], live: NDArray[np.bool_], truth: Array) -> RawEffects:
        """Compare `values` (lenses, kernels) of the `live` kernels with `truth` (lenses, columns); the rest is NaN."""
        rho, top = np.full((2, 4, len(live), truth.shape[1]), np.nan)
        if live.any():
            ranks, groups = spearman(values[:, live], truth), top_groups(values[:, live], truth, TOP_SHARE)
            rho[:, live] = ranks.rho, ranks.low, ranks.high, ranks.p
            top[:, live] = groups.auroc, groups.low, groups.high, groups.p
        return cls(rho, top)


def corrected(
    parts: Sequence[RawEffects], columns: tuple[TruthColumn, ...], truth: Array
) -> tuple[Correlations, TopLenses]:
    """All kernels' effects together, with Holm's correction for each statistic."""
    sizes = top_groups(np.empty((len(truth), 0)), truth, TOP_SHARE)
    rho, rho_low, rho_high, rho_p = np.concatenate([part.rho for part in parts], axis=1)
    area, area_low, area_high, area_p = np.concatenate([part.top for part in parts], axis=1)
    correlations = Correlations(columns, rho, rho_low, rho_high, rho_p, _holm(rho_p), sizes.n)
    top_lenses = TopLenses(columns, area, area_low, area_high, area_p, _holm(area_p), sizes.n, sizes.n_top)
    return correlations, top_lenses


def _holm(p: Array) -> Array:
    """Corrected p-values of those that are defined."""
    adjusted = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    adjusted[tested] = holm(p[tested])
    return adjusted
