"""What each kernel of a table does: its spread, its extreme images, and what it goes with among the lenses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.explain.kernels.kav_table import KavTable, Kernel
from lensaudit.explain.kernels.truth_columns import TRUTH, TruthColumn, truth_values
from lensaudit.finders.score import OK
from lensaudit.lensset import LensSet
from lensaudit.statistics import holm, spearman

LIVE, SILENT, CONSTANT, UNUSED, BROKEN = "live", "silent", "constant", "unused", "not finite"

ALPHA = 0.05
"""Chance of any false "it goes with" among all kernels and columns of a set."""

_BLOCK = 4_000_000
"""Values read from the table at a time, 16 MB; one column where that has more rows."""

_ROUNDING = 1e-6
"""Relative spread that float32 arithmetic may give to a constant."""


@dataclass(frozen=True, eq=False)
class Correlations:
    """Spearman's ρ of every kernel with every truth column, among the lenses that were scored.

    Attributes
    ----------
    columns
        The quantities (c).
    rho, low, high
        ρ and its 95 % interval (`lensaudit.statistics.spearman`), float64 (kernels, c); NaN for dead kernels and
        constant columns.
    p, p_holm
        Two-sided p-value, and corrected for all kernels and columns (Holm), float64 (kernels, c).
    n
        Lenses compared (c).
    """

    columns: tuple[TruthColumn, ...]
    rho: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]
    p_holm: NDArray[np.float64]
    n: NDArray[np.int64]

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Where the corrected p-value is below 0.05: bool (kernels, c)."""
        return np.nan_to_num(self.p_holm, nan=1.0) < ALPHA

    @property
    def strength(self) -> NDArray[np.float64]:
        """|ρ| at the end of the interval nearest 0, float64 (kernels, c); 0 where not significant."""
        nearest = np.where(self.rho > 0, self.low, -self.high)
        return np.where(self.significant, np.maximum(np.nan_to_num(nearest), 0), 0.0)


@dataclass(frozen=True, eq=False)
class KernelStudy:
    """Statistics of all kernels of a table.

    Attributes
    ----------
    table
        The activation values.
    n
        Images that were scored.
    mean, sd
        Of each kernel's activation values over them, float64 (kernels); NaN if unused or not finite.
    state
        Per kernel: ``live``; ``silent`` (no pixel of its maps is above 0 in the images searched, so that a ReLU
        straight after it passes nothing); ``constant`` (the same value for every image); ``unused`` (not part of the
        forward pass); ``not finite`` (values that are no numbers).
    top, bottom
        Rows of the set with the highest and the lowest values, most extreme first, int64 (kernels, k); −1 for dead
        kernels. Of equal values the first of the set comes first.
    correlations
        None where there is nothing to compare with.
    note
        Why there are no correlations, or which truth columns are missing; empty if all are there.
    """

    table: KavTable
    n: int
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    state: tuple[str, ...]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    correlations: Correlations | None
    note: str

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels, in the order of the layers."""
        return self.table.kernels

    def in_state(self, *states: str) -> list[Kernel]:
        """Kernels in one of these states."""
        return [kernel for kernel, state in zip(self.kernels, self.state, strict=True) if state in states]

    def strongest(self, column: int, count: int) -> list[int]:
        """Positions of the `count` kernels that go with a column most surely, significant ones only."""
        assert self.correlations is not None
        strength = self.correlations.strength[:, column]
        order = np.argsort(-strength, kind="stable")[:count]
        return [int(index) for index in order if strength[index] > 0]


def is_dead(state: str) -> bool:
    """Whether a kernel in this state tells images apart in no way."""
    return state in (CONSTANT, UNUSED, BROKEN)


def study_kernels(table: KavTable, lens_set: LensSet, top: int = 9) -> KernelStudy:
    """Spread, extremes and correlations of every kernel.

    A correlation is no cause: Einstein radius, S/N, brightness and position of an arc hang together in any set, and a
    kernel that answers to one goes with the others. ρ sees what rises or falls throughout, not a liking for the middle.

    Parameters
    ----------
    table
        Values of `lens_set`, see `kernel_activations`; read a few columns at a time.
    lens_set
        Its truth is compared with, if it has any.
    top
        Images at either end that are named, at most as many as were scored.

    Raises
    ------
    UsageError
        `top` is below 1.
    DataError
        The table is of another set, or holds no scored image.
    """
    if top < 1:
        raise UsageError(f"--top {top} is not allowed; give 1 or more")
    if table.record["set_hash"] != lens_set.content_hash:
        raise DataError(f"{table.path}: is of another set than {lens_set.path}; make it anew")
    good = np.flatnonzero(table.column("status") == OK)
    if not len(good):
        raise DataError(f"{table.path}: holds no scored image; make it anew with another set")
    lenses = np.flatnonzero(table.column("label")[good] == 1)
    columns, truth = truth_values(lens_set, good[lenses])
    parts = [
        _Part.of(values[good], table.highest[span], lenses, truth, good, top)
        for span, values in table.blocks(max(1, _BLOCK // table.n))
    ]
    return KernelStudy(
        table=table,
        n=len(good),
        mean=np.concatenate([part.mean for part in parts]),
        sd=np.concatenate([part.sd for part in parts]),
        state=tuple(state for part in parts for state in part.state),
        top=np.concatenate([part.top for part in parts]),
        bottom=np.concatenate([part.bottom for part in parts]),
        correlations=_together(parts, columns, truth),
        note=_note(columns, len(lenses)),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """A few kernels' share of a study; `rho` holds ρ, its interval and p (4, kernels, columns)."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    state: list[str]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    rho: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        values: NDArray[np.float32],
        highest: NDArray[np.float64],
        lenses: NDArray[np.intp],
        truth: NDArray[np.float64],
        rows: NDArray[np.intp],
        top: int,
    ) -> _Part:
        """From the `values` (n, m) of the scored images, which are at `rows` of the set; `lenses` are among the n."""
        state = [_state(column, peak) for column, peak in zip(values.T, highest, strict=True)]
        finite = ~np.isin(state, [UNUSED, BROKEN])
        mean, sd = np.full((2, len(state)), np.nan)
        mean[finite] = values[:, finite].mean(axis=0, dtype=np.float64)
        sd[finite] = values[:, finite].std(axis=0, dtype=np.float64)
        ends = np.full((2, len(state), min(top, len(values))), -1)
        rho = np.full((4, len(state), truth.shape[1]), np.nan)
        live = np.array([not is_dead(word) for word in state])
        if live.any():
            for end, sign in zip(ends, (-1, 1), strict=True):
                end[live] = rows[np.argsort(sign * values[:, live], axis=0, kind="stable")[: end.shape[1]].T]
            found = spearman(values[lenses][:, live], truth)
            rho[:, live] = found.rho, found.low, found.high, found.p
        return cls(mean, sd, state, ends[0], ends[1], rho)


def _state(values: NDArray[np.float32], highest: float) -> str:
    if np.isnan(values).all():
        return UNUSED
    if not np.isfinite(values).all():
        return BROKEN
    if len(values) > 1 and np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return CONSTANT
    return SILENT if highest <= 0 else LIVE


def _together(parts: list[_Part], columns: tuple[TruthColumn, ...], truth: NDArray[np.float64]) -> Correlations | None:
    if not columns or not len(truth):
        return None
    rho, low, high, p = np.concatenate([part.rho for part in parts], axis=1)
    p_holm = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    p_holm[tested] = holm(p[tested])
    return Correlations(columns, rho, low, high, p, p_holm, np.isfinite(truth).sum(axis=0))


def _note(columns: tuple[TruthColumn, ...], lenses: int) -> str:
    if not columns:
        return "no truth: the set's catalogue knows nothing of its lenses, so there are no correlations"
    if not lenses:
        return "no lenses: none of the scored images is labelled a lens, so there are no correlations"
    missing = [column.name for column in TRUTH if column not in columns]
    return f"no truth for {', '.join(missing)}" if missing else ""
