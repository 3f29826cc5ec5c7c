"""Labels and columns a user adds to cutouts that have none: one label for all, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.files import sha256
from lensaudit.imaging.truth import TRUTH_COLUMNS
from lensaudit.lensset.header import CatalogueColumn
from lensaudit.lensset.ingest.challenges import carried_name, compared
from lensaudit.lensset.ingest.plan import ALLOWED_LABELS, LABEL, LABEL_COLUMNS, MAYBE_LABEL_COLUMNS, label_of
from lensaudit.tables import Column, Table, read_table
from lensaudit.untrusted import printable

LABELS = {"lens": 1, "non-lens": 0, "unknown": -1}
ID_COLUMNS = ("id", "name", "object_id", "objid", "source_id")
_NUMBERS = {column.name: column for column in TRUTH_COLUMNS if column.dtype != "str"}
"""Columns that commands read as numbers where a set has them."""
_SHOWN = 5


@dataclass(frozen=True)
class ExternalRows:
    """Catalogue values of each column in the order of the systems, the columns, and remarks about them."""

    columns: tuple[CatalogueColumn, ...]
    values: Mapping[str, Sequence[Any] | NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)


def external_rows(names: Sequence[str], label: str, catalogue: Path | None) -> ExternalRows:
    """Rows of the systems `names`.

    Parameters
    ----------
    label
        ``lens``, ``non-lens`` or ``unknown``, for every system the catalogue does not label.
    catalogue
        A table with a column of ids (`ID_COLUMNS`), perhaps one of labels (`LABEL_COLUMNS`, `MAYBE_LABEL_COLUMNS`)
        among them; all others are kept as columns, numbers as float64, words as text. Ids are compared as
        `lensaudit.tables.same_id` does.

    Raises
    ------
    UsageError
        There is no such file, or `label` is none of the three.
    DataError
        The table cannot be read, a label is none, two columns of labels differ, or a word stands for a number.
    """
    if label not in LABELS:
        raise UsageError(f"--label '{label}' is not one of {', '.join(LABELS)}")
    if catalogue is None:
        return ExternalRows((LABEL,), {"label": np.full(len(names), LABELS[label], np.int8)})
    table = read_table(catalogue, "a catalogue")
    key = table.need(*ID_COLUMNS)
    rows = {name: row for row, name in enumerate(table.ids(key, names))}
    facts, notes = compared(names, rows, catalogue)
    labels, source, remarks = _labels(table)
    kept, renamed = _carried(table, {key.name, *source[:1]})
    at = [rows.get(name) for name in names]
    given = [None if row is None else labels[row] for row in at]
    values: dict[str, Sequence[Any] | NDArray[Any]] = {
        "label": np.array([LABELS[label] if one is None else one for one in given], np.int8)
    }
    for made, cells in kept:
        column = [_missing(made) if row is None else cells[row] for row in at]
        values[made.name] = column if made.dtype == "str" else np.array(column, made.dtype)
    columns = (LABEL, *(made for made, _ in kept))
    return ExternalRows(columns, values, facts, (*notes, *remarks, *renamed), {catalogue.name: sha256(catalogue)})


def _labels(table: Table) -> tuple[list[int | None], list[str], list[str]]:
    """Label of each row (None where its cell is empty), the columns they are read from, and sentences about it."""
    sure = [column for name in LABEL_COLUMNS if (column := table.find(name)) is not None]
    maybe = [column for name in MAYBE_LABEL_COLUMNS if (column := table.find(name)) is not None]
    remarks = []
    for column in maybe:
        odd = next((cell for cell in column.text if cell and label_of(cell) is None), None)
        if odd is None and any(column.text):
            sure.append(column)
        elif not sure:
            shown = printable(odd or "", 30)
            remarks.append(f"column {column.name} is kept as a column, not read as labels (it holds '{shown}')")
    if not sure:
        return [None] * len(table), [], remarks
    first, *others = sure
    labels = [_label(table, first, row) for row in range(len(table))]
    for other in others:
        for row, label in enumerate(labels):
            second = label_of(other.text[row])
            if label is not None and second is not None and label != second:
                raise DataError(
                    f"{table.where(row)}: {first.name} is {printable(first.text[row], 30)}, {other.name} is "
                    f"{printable(other.text[row], 30)}; correct one of them"
                )
    counts = [sum(label == value for label in labels) for value in (1, 0, -1)]
    words = f"labels are read from column {printable(first.name, 60)} of {table.path.name}: {counts[0]} lenses, "
    words += f"{counts[1]} non-lenses, {counts[2]} unknown"
    if empty := labels.count(None):
        words += f"; {empty} cells are empty and take --label"
    return labels, [first.name], [*remarks, words]


def _label(table: Table, column: Column, row: int) -> int | None:
    cell = column.text[row]
    if not cell:
        return None
    label = label_of(cell)
    if label is None:
        raise DataError(
            f"{table.where(row)}: {printable(column.name, 60)} is '{printable(cell, 30)}'; allowed: {ALLOWED_LABELS}"
        )
    return label


def _carried(table: Table, used: set[str]) -> tuple[list[tuple[CatalogueColumn, list[Any]]], list[str]]:
    """Columns to keep with their cells, and sentences about those that are not as they were."""
    kept: list[tuple[CatalogueColumn, list[Any]]] = []
    remarks: list[str] = []
    if table.left_out:
        shown = printable(", ".join(table.left_out[:_SHOWN]), 200)
        remarks.append(f"{len(table.left_out)} columns hold lists or times and are left out: {shown}")
    taken = {"id", "label"}
    for column in table.columns:
        if column.name in used:
            continue
        name = carried_name(column.name)
        if name != column.name:
            remarks.append(f"column {printable(column.name, 60)} is kept as {name}")
        if name in taken:
            raise DataError(f"{table.path}: column {printable(name, 60)} is there twice; keep one of them")
        taken.add(name)
        kept.append(_made(table, column, name, remarks))
    return kept, remarks


def _made(table: Table, column: Column, name: str, remarks: list[str]) -> tuple[CatalogueColumn, list[Any]]:
    known = _NUMBERS.get(name)
    numbers, words = column.parsed
    if known is not None:
        numbers, words = table.numbers(column), []
        unit, description = known.unit, known.description
    else:
        unit, description = printable(column.unit, 200) or "unknown", "as in the catalogue"
    if not words and column.exact:
        return CatalogueColumn(name=name, unit=unit, description=description, dtype="float64"), numbers.tolist()
    if words and len(words) < len(column.text) / 2:
        odd = printable(column.text[words[0]], 30)
        where = table.where(words[0]).removeprefix(f"{table.path}: ")
        remarks.append(f"column {name} is kept as text: {len(words)} of its cells are no numbers ({where}: '{odd}')")
    return CatalogueColumn(name=name, unit="", description=description, dtype="str"), column.text


def _missing(column: CatalogueColumn) -> Any:
    return "" if column.dtype == "str" else float("nan")
