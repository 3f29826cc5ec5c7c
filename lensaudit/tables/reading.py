"""Which reader a table needs, by its first bytes."""

from __future__ import annotations

import csv
import io
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lensaudit.documents import refuse_unsafe_yaml
from lensaudit.errors import DataError, LensauditError
from lensaudit.tables.table import (
    FORMATS,
    LARGEST_BINARY,
    LARGEST_TEXT,
    LONGEST_CELL,
    MOST_COLUMNS,
    MOST_ROWS,
    Column,
    Table,
    table_of,
    text_column,
)
from lensaudit.untrusted import Kind, kind_of, kind_of_bytes, printable, regular_size

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


_REMOTE = re.compile(rb"<(\w+:)?STREAM\b[^>]*\bhref\b", re.IGNORECASE)


def from_ecsv(path: Path, text: str) -> Table:
    """The table of an ECSV file, given as text."""
    from astropy.table import Table as Read

    lines = text.splitlines()
    header = [line[2:] for line in lines if line.startswith("# ") and not line.startswith("# %ECSV")]
    longest = max(map(len, lines))
    if longest > LONGEST_CELL or longest * len(lines) > LARGEST_BINARY:
        raise DataError(f"{path}: has a line of {longest} characters; shorten its cells, or write Parquet")
    refuse_unsafe_yaml("\n".join(header), f"{path}", DataError)
    return _from_astropy(path, lambda: Read.read(text, format="ascii.ecsv"), "ECSV")


def from_fits(path: Path) -> Table:
    """The first table of a FITS file, which may be compressed."""
    from astropy.io import fits
    from astropy.table import Table as Read

    from lensaudit.fits_input import open_fits

    def read() -> Any:
        with open_fits(path) as stored:
            hdu = next((one for one in stored if isinstance(one, fits.BinTableHDU | fits.TableHDU)), None)
            if hdu is None or isinstance(hdu, fits.CompImageHDU):
                raise DataError(f"{path}: holds no table, only images; give {FORMATS}")
            if int(hdu.header["TFIELDS"]) > MOST_COLUMNS or int(hdu.size) > LARGEST_BINARY:
                raise DataError(f"{path}: its table is larger than what is read; cut it down")
            return Read.read(hdu, character_as_bytes=False).copy()

    return _from_astropy(path, read, "FITS")


def from_votable(path: Path, data: bytes) -> Table:
    """The first table of a VOTable."""
    from astropy.io import votable

    if _REMOTE.search(data):
        raise DataError(f"{path}: keeps its rows in another place (STREAM href); save it with its rows in the file")

    def read() -> Any:
        first = votable.parse(io.BytesIO(data), verify="ignore").get_first_table()
        return first.to_table(use_names_over_ids=True)

    return _from_astropy(path, read, "VOTable")


def _from_astropy(path: Path, read: Callable[[], Any], form: str) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about units and headers that do not keep to a standard: only values are read
        try:
            found = read()
        except DataError:
            raise
        except Exception as error:  # astropy's readers have no common exception for what is torn
            reason = printable(" ".join(str(error).split()) or type(error).__name__, 120)
            raise DataError(f"{path}: cannot be read as {form} ({reason}); write it again or fetch it again") from error
    columns, left_out = [], []
    for column in found.columns.values():
        try:
            made = _plain_column(column.name, np.ma.asarray(column) if hasattr(column, "dtype") else None)
        except UnicodeDecodeError as broken:
            raise DataError(
                f"{path}: column {printable(column.name, 60)}: a cell is not text in UTF-8; write it again or fetch it "
                f"again"
            ) from broken
        if made is None:
            left_out.append(str(column.name))
        else:
            columns.append(Column(made.name, made.values, made.empty, str(getattr(column, "unit", None) or "")))
    return table_of(path, columns, left_out=left_out)


def from_parquet(path: Path) -> Table:
    """The table of a Parquet file."""
    try:
        with pq.ParquetFile(path) as stored:
            if stored.metadata.num_rows > MOST_ROWS or len(stored.schema_arrow) > MOST_COLUMNS:
                raise DataError(f"{path}: has more than {MOST_ROWS} rows or {MOST_COLUMNS} columns; cut it down")
            names = [name for name in stored.schema_arrow.names if not name.startswith("__index_level_")]
            if twice := [name for name, times in Counter(names).items() if times > 1]:
                raise DataError(f"{path}: column {printable(twice[0], 60)} is there twice; keep one of them")
            found = {name: parquet_column(path, name) for name in names}
    except LensauditError:
        raise
    except (pa.ArrowException, OSError, LookupError, ValueError, MemoryError) as error:
        reason = printable(" ".join(str(error).split()), 100)
        raise DataError(f"{path}: cannot be read as Parquet ({reason}); write it again") from error
    columns = {name: None if values is None else _plain_column(name, values) for name, values in found.items()}
    kept = [column for column in columns.values() if column is not None]
    return table_of(path, kept, left_out=[name for name, column in columns.items() if column is None])


def parquet_column(path: Path, name: str) -> np.ma.MaskedArray[Any, Any] | None:
    """One column of numbers, truth values or text of a Parquet file (n,), null masked; None for any other type.

    A cell of text may be stored once for millions of rows, so its length is looked at before it is repeated.

    Raises
    ------
    DataError
        A cell is longer than `LONGEST_CELL`, or the text of all rows than `LARGEST_BINARY`.
    pyarrow.ArrowException, OSError
        The file is torn.
    """
    with pq.ParquetFile(path) as stored:
        words = _is_text(stored.schema_arrow.field(name).type)
    with pq.ParquetFile(path, read_dictionary=[name] if words else []) as stored:
        column = stored.read(columns=[name], use_threads=False).column(0).unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # without rows
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type) and not _is_text(column.type.value_type):
        column = column.dictionary_decode()
    empty = np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if _is_text(kind):
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
        else:
            lengths = pc.binary_length(column)
        longest, total = pc.max(lengths).as_py() or 0, pc.sum(lengths).as_py() or 0
        if longest > LONGEST_CELL or total > LARGEST_BINARY:
            raise DataError(f"{path}: column {printable(name, 60)}: a cell has {longest} characters; shorten it")
        values = np.array([value or "" for value in column.to_pylist()], dtype=object)
        return np.ma.MaskedArray(values, empty)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        nothing = False if pa.types.is_boolean(kind) else 0
        return np.ma.MaskedArray(column.fill_null(nothing).to_numpy(zero_copy_only=False), empty)
    if pa.types.is_floating(kind):
        return np.ma.MaskedArray(column.to_numpy(zero_copy_only=False), empty)
    return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain_column(name: str, found: np.ma.MaskedArray[Any, Any] | None) -> Column | None:
    """A column of numbers, truth values or text; None for any other, such as one of lists.

    Raises
    ------
    UnicodeDecodeError
        Text is in another encoding than UTF-8.
    """
    if found is None or found.ndim != 1:
        return None
    empty = np.ma.getmaskarray(found)
    kind, values = found.dtype.kind, np.asarray(np.ma.getdata(found))  # astropy's own columns decode by themselves
    if kind in "US":
        text = [value.decode("utf-8") if isinstance(value, bytes) else value for value in values.tolist()]
        return text_column(name, ["" if none else value for value, none in zip(text, empty, strict=True)])
    if kind == "O" and all(isinstance(value, str) or none for value, none in zip(values, empty, strict=True)):
        return text_column(name, ["" if none else value for value, none in zip(values, empty, strict=True)])
    if kind == "f":
        wide = values.astype(np.float64)
        return Column(str(name), wide, empty | np.isnan(wide))
    if kind == "u" and len(values) and int(values.max()) > np.iinfo(np.int64).max:
        return text_column(name, ["" if none else str(value) for value, none in zip(values, empty, strict=True)])
    return Column(str(name), values.astype(bool if kind == "b" else np.int64), empty) if kind in "biu" else None


def read_table(path: Path, what: str = "a table") -> Table:
    """Read a table of any of `FORMATS`, told apart by its first bytes.

    Parameters
    ----------
    what
        What the user was asked for, with its article, for the message about another kind of file.

    Raises
    ------
    UsageError
        There is no such file, or it is a pipe or a device.
    DataError
        It is no table, too large, torn, or a row has too few or too many cells.
    """
    path = Path(path)
    kind, size = kind_of(path), regular_size(path)
    if size > LARGEST_BINARY:
        raise DataError(f"{path}: has {size / 1e9:.3g} GB, at most {LARGEST_BINARY / 1e9:.3g} are read; cut it down")
    if kind.key == "parquet":
        return from_parquet(path)
    if kind.key == "fits":
        return from_fits(path)
    limit = LARGEST_TEXT
    if size > limit:
        raise DataError(f"{path}: has {size / 1e6:.4g} MB of text, at most {limit / 1e6:.4g} are read; write Parquet")
    data = path.read_bytes()
    if kind.key == "gzip":
        data = _unpacked(path, data)
        kind = kind_of_bytes(data[:4096], len(data))
        if kind.key == "fits":
            return from_fits(path)
    if kind.key == "votable":
        return from_votable(path, data)
    text = _as_text(path, data, kind, what)
    return from_ecsv(path, text) if text.lstrip().startswith("# %ECSV") else from_text(path, text)


def _as_text(path: Path, data: bytes, kind: Kind, what: str) -> str:
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if kind.key not in ("csv", "text") and not wide and not (kind.key == "unknown" and b"\0" not in data):
        raise DataError(f"{path}: is {kind.words}, not {what}; {kind.fix or f'give {FORMATS}'}")
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}: line {line}: is not text in UTF-8; save the file as UTF-8") from error


def _unpacked(path: Path, data: bytes) -> bytes:
    """What a gzip file holds, never more than `LARGEST_TEXT`."""
    worker = zlib.decompressobj(wbits=31)
    try:
        found = worker.decompress(data, LARGEST_TEXT + 1)
    except zlib.error as error:
        raise DataError(f"{path}: is a torn gzip file ({error}); fetch it again") from error
    if len(found) > LARGEST_TEXT or not worker.eof:
        what = f"holds more than {LARGEST_TEXT / 1e6:.4g} MB" if len(found) > LARGEST_TEXT else "ends early"
        raise DataError(f"{path}: {what}; unpack it with gunzip")
    return found
