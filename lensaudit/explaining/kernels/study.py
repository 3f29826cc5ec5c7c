"""What each kernel of a table does: its spread, its extreme images, and what it goes with among the lenses."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.kernels.association import (
    TRUTH,
    Correlations,
    Effects,
    RawEffects,
    TopLenses,
    TruthColumn,
    corrected,
    truth_values,
)
from lensaudit.explaining.kernels.kav_table import RECORD_KEY, KavTable, Kernel
from lensaudit.files import replacing
from lensaudit.finders.score import OK
from lensaudit.lensset import Cutouts
from lensaudit.provenance import provenance
from lensaudit.records import Cells, Facts, Shown

LIVE, SILENT, CONSTANT, UNUSED, BROKEN = "live", "silent", "constant", "unused", "not finite"

_BLOCK = 1_000_000
"""Values read from the table at a time, some 100 MB with all that is made of them; one kernel at least."""

_ROUNDING = 1e-6
"""Relative spread that float32 arithmetic may give to a constant."""


@dataclass(frozen=True, eq=False, repr=False)
class KernelStudy(Shown):
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

    def _facts(self) -> Facts:
        return {"images": self.n, "kernels": len(self.state), **Counter(self.state)}

    def _rows(self) -> list[Cells]:
        layers: dict[str, Counter[str]] = {}
        for kernel, state in zip(self.kernels, self.state, strict=True):
            layers.setdefault(kernel.layer, Counter())[state] += 1
        return [
            {"layer": layer, "kernels": states.total(), **{state: states[state] for state in sorted({*self.state})}}
            for layer, states in layers.items()
        ]

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


def study_kernels(table: KavTable, lens_set: Cutouts, top: int = 9) -> KernelStudy:
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
    """The part of a study that is about a few kernels."""

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
    there = {column.quantity for column in columns}
    missing = [column.name for column in TRUTH if column.quantity not in there]
    return f"no truth for {', '.join(missing)}" if missing else ""


def write_study(study: KernelStudy, path: Path) -> None:
    """Write `study` to `path`, whole or not at all.

    Columns: ``layer``, ``kernel``, ``state``, ``dead``, ``mean``, ``sd``, ``highest`` (pixel of its maps in the images
    searched), ``top_ids``, ``bottom_ids``, and with truth for each column C of it ``rho_C`` and ``top_C`` (see
    `Correlations` and `TopLenses`), each with ``_low``, ``_high``, ``_p`` and ``_p_holm``, and ``n_C`` and
    ``n_top_C``. What is not defined is NaN. The provenance and the note are in the metadata.
    """
    fields = [*_facts(study), *_associations(study)]
    record = {
        "finder": study.table.record["finder"],
        "n_scored": study.n,
        "n_searched": study.table.n_searched,
        "note": study.note,
        "provenance": provenance(inputs=study.table.record["provenance"]["inputs"]),
    }
    words = json.dumps(record, sort_keys=True, allow_nan=False).encode()
    schema = pa.schema([field for field, _ in fields], metadata={RECORD_KEY: words})
    table = pa.table([pa.array(values, field.type) for field, values in fields], schema=schema)
    with replacing(path) as partial:
        pq.write_table(table, partial)


def _facts(study: KernelStudy) -> list[tuple[pa.Field, Any]]:
    ids = np.append(study.table.column("id"), "")  # −1 becomes the empty name, which is left out
    names = [[[name for name in ids[rows] if name] for rows in ends] for ends in (study.top, study.bottom)]
    return [
        (
            _field("layer", pa.string(), "name of the convolution, as the paper counts"),
            [k.layer for k in study.kernels],
        ),
        (_field("kernel", pa.int32(), "number of the kernel in it"), [k.number for k in study.kernels]),
        (_field("state", pa.string(), "live, silent, constant, unused, not finite"), study.state),
        (_field("dead", pa.bool_(), "tells images apart in no way"), [is_dead(word) for word in study.state]),
        (_field("mean", pa.float64(), "mean activation value of the scored images"), study.mean),
        (_field("sd", pa.float64(), "standard deviation of the same"), study.sd),
        (_field("highest", pa.float64(), "highest pixel of its maps in the images searched"), study.table.highest),
        (_field("top_ids", pa.list_(pa.string()), "images with the highest values, highest first"), names[0]),
        (_field("bottom_ids", pa.list_(pa.string()), "images with the lowest values, lowest first"), names[1]),
    ]


def _associations(study: KernelStudy) -> list[tuple[pa.Field, Any]]:
    correlations, top_lenses = study.correlations, study.top_lenses
    if correlations is None or top_lenses is None:
        return []
    fields: list[tuple[pa.Field, Any]] = []
    for index, column in enumerate(correlations.columns):
        rho = f"Spearman's ρ with {column.words}, among lenses"
        top = f"AUROC of {column.words}, the kernel's highest lenses against the others"
        fields += _effects(f"rho_{column.name}", correlations, index, rho)
        fields += _effects(f"top_{column.name}", top_lenses, index, top)
        n, n_top = (np.full(len(study.kernels), counts[index]) for counts in (top_lenses.n, top_lenses.n_top))
        fields.append((_field(f"n_{column.name}", pa.int64(), "lenses compared"), n))
        fields.append((_field(f"n_top_{column.name}", pa.int64(), "of them the highest"), n_top))
    return fields


def _effects(name: str, effects: Effects, index: int, words: str) -> list[tuple[pa.Field, Any]]:
    parts = {
        name: (effects.value, words),
        f"{name}_low": (effects.low, "lower end of its 95 % interval"),
        f"{name}_high": (effects.high, "upper end of its 95 % interval"),
        f"{name}_p": (effects.p, "two-sided p-value of no effect"),
        f"{name}_p_holm": (effects.p_holm, "the same, corrected for all kernels and columns (Holm)"),
    }
    return [(_field(part, pa.float64(), text), values[:, index]) for part, (values, text) in parts.items()]


def _field(name: str, kind: pa.DataType, words: str) -> pa.Field:
    return pa.field(name, kind, metadata={"description": words})
