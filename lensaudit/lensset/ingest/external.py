"""Labels and columns a user adds to cutouts that carry none: one label for all, or a CSV file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.files import sha256
from lensaudit.lensset.header import CatalogueColumn
from lensaudit.lensset.ingest.blf import compared, numeric_columns
from lensaudit.lensset.ingest.plan import LABEL
from lensaudit.lensset.ingest.table import read_table

LABELS = {"lens": 1, "non-lens": 0, "unknown": -1}
_KNOWN = {
    "theta_e_arcsec": ("arcsec", "Einstein radius"),
    "z_lens": ("", "redshift of the lens"),
    "z_source": ("", "redshift of the source"),
}


@dataclass(frozen=True)
class ExternalRows:
    """Catalogue rows by id, their columns, and what is to be said about them."""

    columns: tuple[CatalogueColumn, ...]
    values: Mapping[str, Mapping[str, Any]]
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
        CSV with ``id`` and numbers, perhaps ``label`` (1, 0, −1) among them; all columns are carried along.
    """
    if label not in LABELS:
        raise UsageError(f"--label '{label}' is not one of {', '.join(LABELS)}")
    if catalogue is None:
        return ExternalRows((LABEL,), {name: {"label": LABELS[label]} for name in names})
    table = read_table(catalogue, "id")
    facts, notes = compared(names, table, catalogue)
    carried = [name for name in next(iter(table.values()), {}) if name != "label"]
    values = {name: _row(name, table.get(name, {}), LABELS[label], carried, catalogue) for name in names}
    columns = (LABEL, *numeric_columns(carried, _KNOWN))
    return ExternalRows(columns, values, facts, tuple(notes), {catalogue.name: sha256(catalogue)})


def _row(name: str, listed: Mapping[str, float], label: int, carried: Sequence[str], path: Path) -> dict[str, Any]:
    given = listed.get("label", math.nan)
    if not math.isnan(given) and given not in LABELS.values():
        raise DataError(f"{path}: id {name}: label {given:g} is not 1 (lens), 0 (non-lens) or -1 (unknown)")
    row: dict[str, Any] = {"label": label if math.isnan(given) else int(given)}
    return row | {column: listed.get(column, math.nan) for column in carried}
