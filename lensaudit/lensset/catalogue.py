"""The catalogue of a lens set: Parquet, with unit and description of every column in its schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.files import replacing
from lensaudit.lensset.header import CatalogueColumn

CATALOGUE_NAME = "catalogue.parquet"
ROW_GROUP = 8192
_ARROW = {
    "float64": pa.float64(),
    "float32": pa.float32(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int8": pa.int8(),
    "str": pa.string(),
    "bool": pa.bool_(),
}
_PYTHON: dict[str, Any] = {"int64": int, "int32": int, "int8": int, "str": str, "bool": bool, "float64": float}
ID = CatalogueColumn(name="id", unit="", description="name of the system, distinct within the set", dtype="str")


def schema_of(columns: Sequence[CatalogueColumn]) -> pa.Schema:
    """Arrow schema: ``id`` first; units per field and, as one JSON object, in the schema's own metadata."""
    fields = [
        pa.field(c.name, _ARROW[c.dtype], nullable=False, metadata={"unit": c.unit, "description": c.description})
        for c in (ID, *columns)
    ]
    units = {c.name: c.unit for c in (ID, *columns)}
    return pa.schema(fields, metadata={"units": json.dumps(units, sort_keys=True)})


def coerced(row: Mapping[str, Any], columns: Sequence[CatalogueColumn]) -> dict[str, Any]:
    """`row` as plain Python values of the columns' types, in their order; the columns must be exactly these.

    Values of a float32 column are rounded to float32, so that what is hashed is what is stored.
    """
    names = [column.name for column in columns]
    if set(row) != set(names):
        odd = sorted(set(row) ^ set(names))
        raise DataError(f"catalogue row: columns {', '.join(odd)} are missing or unknown; the schema has {names}")
    return {c.name: _PYTHON.get(c.dtype, _float32)(row[c.name]) for c in columns}


def _float32(value: Any) -> float:
    return float(np.float32(value))


def write_catalogue(path: Path, columns: Sequence[CatalogueColumn], lines: Iterable[Mapping[str, Any]]) -> None:
    """Write the catalogue from part lines, a row group at a time."""
    schema = schema_of(columns)
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for line in lines:
            rows.append({"id": line["id"], **line["row"]})
            if len(rows) == ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def open_catalogue(path: Path, n: int) -> pa.Schema:
    """Check that the catalogue is there and has `n` rows.

    Raises
    ------
    DataError
        The file is missing, is not Parquet, or has another number of rows.
    """
    if not path.is_file():
        raise DataError(f"{path}: the catalogue is missing; make the set again")
    try:
        with pq.ParquetFile(path) as stored:
            rows, schema = stored.metadata.num_rows, stored.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: the catalogue cannot be read as Parquet; make the set again") from error
    if rows != n:
        raise DataError(f"{path}: the catalogue has {rows} rows, the header says n = {n}; make the set again")
    return schema


def read_column(path: Path, name: str, schema: pa.Schema) -> NDArray[Any]:
    """One column as a numpy array; strings as an object array.

    Raises
    ------
    DataError
        There is no such column (the message names those there are), or the file is corrupt.
    """
    if name not in schema.names:
        raise DataError(f"{path}: no column '{name}'; the columns are {', '.join(schema.names)}")
    try:
        with pq.ParquetFile(path) as stored:
            column = stored.read(columns=[name], use_threads=False).column(0)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: column '{name}' cannot be read; make the set again") from error
    return np.array(column.to_numpy())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows as plain mappings, ``id`` among them."""
    with pq.ParquetFile(path) as stored:
        return stored.read(use_threads=False).to_pylist()
