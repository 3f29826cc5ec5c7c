"""Tables as text: CSV with any of the usual separators, or columns parted by blanks."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from lensaudit.errors import DataError
from lensaudit.tables.table import LONGEST_CELL, MOST_COLUMNS, MOST_ROWS, Table, table_of, text_column
from lensaudit.untrusted import printable

_SEPARATORS = ",;\t"


def from_text(path: Path, text: str) -> Table:
    """The table in `text`, whose first line that is no comment names the columns."""
    lines, rows = _rows(path, text)
    if len(rows) < 2:
        found = "is empty" if not rows else "has no lines below its header"
        raise DataError(f"{path}: {found}; write a line of column names and one line for each row")
    names = [cell.strip() for cell in rows[0]]
    for line, row in zip(lines[1:], rows[1:], strict=True):
        while len(row) > len(names) and not row[-1].strip():
            row.pop()
        if len(row) != len(names):
            shown = printable(", ".join(names), 80)
            raise DataError(f"{path}: line {line} has {len(row)} cells, {len(names)} are needed ({shown}); correct it")
    cells = list(zip(*rows[1:], strict=True))
    columns = [text_column(name, values) for name, values in zip(names, cells, strict=True)]
    return table_of(path, columns, lines=lines[1:])


def _rows(path: Path, text: str) -> tuple[list[int], list[list[str]]]:
    """Rows of cells that are not empty nor comments, the names first, and the line each begins on."""
    source = io.StringIO(text, newline="").readlines()
    first = next((i for i, line in enumerate(source) if line.strip() and not line.startswith("#")), len(source))
    separator = _separator(source[first]) if first < len(source) else ","
    plain = source[first:]
    if separator == " ":
        plain = [" ".join(line.split()) + "\n" for line in plain]
    reader = csv.reader(plain, delimiter=separator, strict=True, skipinitialspace=True)
    lines, rows, begins = [], [], first + 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row) and not row[0].startswith("#"):
                lines.append(begins)
                rows.append(row)
                if len(rows) > MOST_ROWS or len(row) > MOST_COLUMNS:
                    raise DataError(f"{path}: has more than {MOST_ROWS} rows or {MOST_COLUMNS} columns; cut it down")
            begins = first + 1 + reader.line_num
    except csv.Error as error:
        reason = str(error)
        if "field limit" in reason:
            reason = f"a cell has more than {LONGEST_CELL} characters"
        raise DataError(f"{path}: line {begins}: {reason}; correct the quotes or the cell") from error
    commented = source[first - 1].lstrip("# \t") if first else ""
    if rows and commented:  # as TOPCAT and astropy write it: the names in the last comment line
        names = next(csv.reader([commented if separator != " " else " ".join(commented.split())], delimiter=separator))
        named = {name.strip().casefold() for name in rows[0]}
        if len(names) == len(rows[0]) and "id" not in named and "id" in {name.strip().casefold() for name in names}:
            lines.insert(0, first)
            rows.insert(0, names)
    return lines, rows


def _separator(line: str) -> str:
    bare = re.sub(r'"[^"]*"', "", line)
    best = max(_SEPARATORS, key=bare.count)
    if bare.count(best):
        return best
    return " " if len(line.split()) > 1 and '"' not in line else ","
