"""Reading the catalogues that come with challenge data: CSV with comment lines."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from lensaudit.errors import DataError, UsageError

ARCSEC_PER_RADIAN = 180 * 3600 / math.pi


def read_table(path: Path, id_column: str = "ID") -> dict[str, dict[str, float]]:
    """Rows of a CSV file by their id; numbers only, an empty cell is NaN.

    Lines that begin with ``#`` are comments; a column without a name (an index) is dropped; the name of the id
    column is compared without case.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        No id column, a row of another length, an id twice, or a cell that is no number.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"{path}: no such catalogue file; check --catalogue") from error
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    rows = csv.reader(line for _, line in lines)
    names = [name.strip() for name in next(rows, [])]
    at = next((i for i, name in enumerate(names) if name.lower() == id_column.lower()), None)
    if at is None:
        there = ", ".join(filter(None, names)) or "none"
        raise DataError(f"{path}: no column {id_column}; the first line names {there}")
    table: dict[str, dict[str, float]] = {}
    for (number, _), cells in zip(lines[1:], rows, strict=True):
        if len(cells) != len(names):
            raise DataError(f"{path}: line {number} has {len(cells)} cells, {len(names)} are needed; mend the line")
        key = _plain_id(cells[at])
        if key in table:
            raise DataError(f"{path}: line {number}: {id_column} {key} is there twice; remove one of the lines")
        named = [(name, cell) for i, (name, cell) in enumerate(zip(names, cells, strict=True)) if name and i != at]
        table[key] = {name: _number(cell, path, number, name) for name, cell in named}
    return table


def theta_e_arcsec(area_steradian: float) -> float:
    """Einstein radius of a circle with this area: θ_E = √(A/π), in arcsec; NaN where there is no area."""
    return math.sqrt(area_steradian / math.pi) * ARCSEC_PER_RADIAN if area_steradian > 0 else math.nan


def _plain_id(cell: str) -> str:
    """Ids are text; some releases write them as ``100002.0``."""
    text = cell.strip()
    whole = text.removesuffix(".0")
    return whole if whole.isdigit() else text


def _number(cell: str, path: Path, line: int, name: str) -> float:
    text = cell.strip()
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise DataError(
            f"{path}: line {line}: column {name}: '{text[:30]}' is not a number; mend the cell or drop the column"
        ) from error
