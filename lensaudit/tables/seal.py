"""Tables that carry the digest of their rows, so that a change by hand or by another program is seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
            else:
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
