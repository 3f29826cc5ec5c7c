"""A table in memory: columns of text or numbers, and what a message calls its rows."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.untrusted import printable

LARGEST_TEXT = 256 << 20
"""Bytes of a table as text, which takes ten times as much memory while it is read: some 5 million rows."""
LARGEST_BINARY = 2 << 30
MOST_ROWS = 10_000_000
MOST_COLUMNS = 10_000
LONGEST_CELL = 131_072
"""Characters, as in Python's csv module."""
EMPTY = frozenset({"", "--", "nan", "null", "none", "n/a", "na", "masked"})
"""Words that stand for no number, whatever their case."""
FORMATS = "CSV, TSV, ECSV, FITS, VOTable or Parquet"

_WHOLE = re.compile(r"([+-]?)0*(\d+)(\.0*)?")
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d{1,2}")
_EXACT = 2**53  # above it, float64 skips whole numbers


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    values
        float64, int64, bool, or str objects (n,).
    empty
        Cells without a value: empty in text, masked, null or NaN elsewhere, bool (n,).
    unit
        As the file says it; empty where it does not.
    """

    name: str
    values: NDArray[Any]
    empty: NDArray[np.bool_]
    unit: str = ""

    @cached_property
    def text(self) -> list[str]:
        """Each cell as text, stripped; empty where it has no value."""
        if self.values.dtype == object:
            return [str(value).strip() for value in self.values]
        words = ["" if none else str(value) for value, none in zip(self.values.tolist(), self.empty, strict=True)]
        return [word.lower() for word in words] if self.values.dtype == bool else words

    @cached_property
    def parsed(self) -> tuple[NDArray[np.float64], list[int]]:
        """Each cell as a number, NaN where it has none; and the rows whose cell is a word."""
        if self.values.dtype != object:
            return np.where(self.empty, np.nan, self.values.astype(np.float64)), []
        numbers, words = np.full(len(self.values), np.nan), []
        for row, cell in enumerate(self.text):
            if cell.casefold() in EMPTY:
                continue
            try:
                if "_" in cell:  # Python reads 1_0 as 10; nobody else does
                    raise ValueError
                numbers[row] = float(cell)
            except ValueError:
                words.append(row)
        return numbers, words

    @property
    def exact(self) -> bool:
        """Whether its numbers keep all their digits as float64; the ids of Gaia do not."""
        if self.values.dtype.kind == "f":
            return True
        numbers = self.parsed[0]
        large = np.flatnonzero(np.abs(np.nan_to_num(numbers, posinf=0, neginf=0)) >= _EXACT)
        return not any(re.fullmatch(r"[+-]?\d+", self.text[row]) for row in large.tolist())


@dataclass(frozen=True)
class Table:
    """A table as it was read.

    Attributes
    ----------
    columns
        In the order of the file; columns without a name, and those of lists, are left out.
    lines
        Line of the file each row begins on, for a table as text; None otherwise.
    left_out
        Names of the columns that hold lists or times.
    """

    path: Path
    columns: tuple[Column, ...]
    lines: tuple[int, ...] | None = None
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns[0].values) if self.columns else 0

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def where(self, row: int) -> str:
        """How a message names row `row`, counted from 0."""
        return f"{self.path}: " + (f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}")

    def find(self, *names: str) -> Column | None:
        """The column called by the first of `names` there is, whatever its case; DataError if it is there twice."""
        for name in names:
            found = [column for column in self.columns if column.name.casefold() == name.casefold()]
            if len(found) > 1:
                shown = " and ".join(dict.fromkeys(printable(column.name, 60) for column in found))
                raise DataError(f"{self.path}: column {shown} is there twice; keep one of them")
            if found:
                return found[0]
        return None

    def need(self, *names: str) -> Column:
        """As `find`; DataError where there is none of them."""
        found = self.find(*names)
        if found is None:
            there = printable(", ".join(self.names), 200) or "none"
            raise DataError(f"{self.path}: no column {' or '.join(names)}; the columns are {there}")
        return found

    def numbers(self, column: Column) -> NDArray[np.float64]:
        """The numbers of `column` (n,), NaN where it is empty; DataError names the first cell that is a word."""
        numbers, words = column.parsed
        if words:
            raise DataError(
                f"{self.where(words[0])}: column {printable(column.name, 60)}: "
                f"'{printable(column.text[words[0]], 30)}' is not a number; correct the cell or leave it empty"
            )
        return numbers

    def ids(self, column: Column, known: Iterable[str] = ()) -> list[str]:
        """The ids of `column`, spelled as in `known` where they mean the same (see `same_id`).

        Raises
        ------
        DataError
            An id is empty, or there twice; the message names the row.
        """
        spelled = same_id(known)
        found: dict[str, int] = {}
        for row, cell in enumerate(column.text):
            name = spelled(cell)
            if not name:
                raise DataError(f"{self.where(row)}: the {printable(column.name, 60)} is empty; fill it in")
            if name in found:
                first = self.where(found[name]).removeprefix(f"{self.path}: ")
                raise DataError(
                    f"{self.where(row)}: {printable(column.name, 60)} {printable(name, 60)} is there twice (also "
                    f"{first}); keep one of them"
                )
            found[name] = row
        return list(found)


def same_id(known: Iterable[str]) -> Callable[[str], str]:
    """A function that spells an id as `known` does: ``12345.0``, ``1.2345e4`` and ``012345`` are the same number.

    Examples
    --------
    >>> same_id(["12345", "-7", "eu-1"])("12345.0")
    '12345'
    >>> same_id([])("-7.0")
    '-7'
    """
    exact = set(known)
    numbered = Counter(number for name in exact if (number := _whole(name)) is not None)
    by_number = {number: name for name in exact if (number := _whole(name)) is not None and numbered[number] == 1}

    def spelled(text: str) -> str:
        word = text.strip()
        number = None if word in exact else _whole(word)
        return word if number is None else by_number.get(number, str(number) if "." in word or "e" in word else word)

    return spelled


def _whole(text: str) -> int | None:
    """The whole number that `text` writes, exactly; None where it is none."""
    if match := _WHOLE.fullmatch(text):
        return int(match[1] + match[2]) if len(match[2]) <= 40 else None
    if _EXPONENT.fullmatch(text):
        value = float(text)
        return int(value) if value.is_integer() and abs(value) < _EXACT else None
    return None


def text_column(name: object, cells: Sequence[str]) -> Column:
    """A column of text; cells of blanks are empty."""
    values = np.array([*cells, ""], dtype=object)[:-1]  # one more, or numpy would look into a single sequence
    return Column(str(name).strip(), values, np.array([not cell.strip() for cell in cells], dtype=bool))


def table_of(
    path: Path, columns: Sequence[Column], lines: Sequence[int] | None = None, left_out: Sequence[str] = ()
) -> Table:
    """The table of those `columns` that have a name; DataError where there are none, or no rows."""
    named = [column for column in columns if column.name.strip()]
    if not named or not len(named[0].values):
        raise DataError(f"{path}: holds no rows; give a table with a row for each object")
    return Table(path, tuple(named), None if lines is None else tuple(lines), tuple(left_out))


SEAL = b"lensaudit-rows"


class RowsDigest:
    """SHA-256 of the rows of a table, whatever the pieces they come in; numbers count as float64, NaN like null."""

    def __init__(self, names: Sequence[str]) -> None:
        self._columns = {name: hashlib.sha256() for name in names}

    def add(self, table: pa.Table) -> None:
        """Go on with the rows of `table`."""
        for name, digest in self._columns.items():
            column = table.column(name)
            if pa.types.is_string(column.type):
                digest.update("".join(f"{cell}\0" for cell in column.to_pylist()).encode())
                continue
            if pa.types.is_fixed_size_list(column.type):
                column = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
            digest.update(np.nan_to_num(column.cast(pa.float64(), safe=False).to_numpy(), nan=-1.5e300).tobytes())

    @property
    def digest(self) -> str:
        """Of all rows so far."""
        words = [f"{name}={one.hexdigest()}" for name, one in sorted(self._columns.items())]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()


def sealed_table(table: pa.Table) -> pa.Table:
    """`table` with the digest of its rows in its metadata."""
    rows = RowsDigest(table.column_names)
    rows.add(table)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), SEAL: rows.digest.encode()})


def kept_table(path: Path, rows: int | None = None) -> pa.Table | None:
    """The table in a Parquet file that an earlier run left; None where there is none, it is torn or was changed.

    Parameters
    ----------
    rows
        How many it must have. Files of earlier versions have no digest, and are read as they are.
    """
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        if rows is not None and pq.read_metadata(path).num_rows != rows:
            return None
        table = pq.read_table(path)
        if (said := (table.schema.metadata or {}).get(SEAL)) is not None:
            found = RowsDigest(table.column_names)
            found.add(table)
            return table if said == found.digest.encode() else None
        return table
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError):
        return None
