"""Which reader a table needs, by its first bytes."""

from __future__ import annotations

import zlib
from pathlib import Path

from lensaudit.errors import DataError
from lensaudit.tables.binary import from_ecsv, from_fits, from_parquet, from_votable
from lensaudit.tables.table import FORMATS, LARGEST_BINARY, LARGEST_TEXT, Table
from lensaudit.tables.text import from_text
from lensaudit.untrusted import Kind, kind_of, kind_of_bytes, regular_size


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
