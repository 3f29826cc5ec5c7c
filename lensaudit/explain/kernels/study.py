"""What each kernel of a table does: its spread, its extreme images, and what it goes with among the lenses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.explain.kernels.association import Correlations, RawEffects, TopLenses, corrected
from lensaudit.explain.kernels.kav_table import KavTable, Kernel
from lensaudit.explain.kernels.truth_columns import TRUTH, TruthColumn, truth_values
from lensaudit.finders.score import OK
from lensaudit.lensset import LensSet

LIVE, SILENT, CONSTANT, UNUSED, BROKEN = "live", "silent", "constant", "unused", "not finite"

_BLOCK = 1_000_000
"""Values read from the table at a time, some 100 MB with all that is made of them; one kernel at least."""

_ROUNDING = 1e-6
"""Relative spread that float32 arithmetic may give to a constant."""


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
    correlations, top_lenses
        What kernels go with throughout, and what their highest lenses have in common; None where there is nothing to
        compare with.
    note
        Why there is nothing, or which truth columns are missing; empty if all are there.
    """

    table: KavTable
    n: int
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    state: tuple[str, ...]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    correlations: Correlations | None
    top_lenses: TopLenses | None
    note: str

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels, in the order of the layers."""
        return self.table.kernels

    def in_state(self, *states: str) -> list[Kernel]:
        """Kernels in one of these states."""
        return [kernel for kernel, state in zip(self.kernels, self.state, strict=True) if state in states]


def is_dead(state: str) -> bool:
    """Whether a kernel in this state tells images apart in no way."""
    return state in (CONSTANT, UNUSED, BROKEN)


def study_kernels(table: KavTable, lens_set: LensSet, top: int = 9) -> KernelStudy:
    """Spread, extremes and associations of every kernel.

    An association is no cause: Einstein radius, colour, brightness and position hang together in any set, and a kernel
    that answers to one goes with the others. None of the statistics sees a liking for middling values.

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
    correlations, top_lenses = None, None
    if columns and len(lenses):
        correlations, top_lenses = corrected([part.effects for part in parts], columns, truth)
    return KernelStudy(
        table=table,
        n=len(good),
        mean=np.concatenate([part.mean for part in parts]),
        sd=np.concatenate([part.sd for part in parts]),
        state=tuple(state for part in parts for state in part.state),
        top=np.concatenate([part.top for part in parts]),
        bottom=np.concatenate([part.bottom for part in parts]),
        correlations=correlations,
        top_lenses=top_lenses,
        note=_note(columns, len(lenses)),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """A few kernels' share of a study."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    state: list[str]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    effects: RawEffects

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
        live = np.array([not is_dead(word) for word in state])
        if live.any():
            for end, sign in zip(ends, (-1, 1), strict=True):
                end[live] = rows[np.argsort(sign * values[:, live], axis=0, kind="stable")[: end.shape[1]].T]
        return cls(mean, sd, state, ends[0], ends[1], RawEffects.of(values[lenses], live, truth))


def _state(values: NDArray[np.float32], highest: float) -> str:
    if np.isnan(values).all():
        return UNUSED
    if not np.isfinite(values).all():
        return BROKEN
    if len(values) > 1 and np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return CONSTANT
    return SILENT if highest <= 0 else LIVE


def _note(columns: tuple[TruthColumn, ...], lenses: int) -> str:
    if not columns:
        return "no truth: the set's catalogue knows nothing of its lenses, so there is nothing to compare with"
    if not lenses:
        return "no lenses: none of the scored images is labelled a lens, so there is nothing to compare with"
    missing = [column.name for column in TRUTH if column not in columns]
    return f"no truth for {', '.join(missing)}" if missing else ""
