"""A study on disk: Parquet, one row per kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit.explain.kernels.association import Effects
from lensaudit.explain.kernels.kav_table import RECORD_KEY
from lensaudit.explain.kernels.study import KernelStudy, is_dead
from lensaudit.files import replacing
from lensaudit.provenance import provenance


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
