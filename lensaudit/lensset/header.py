"""What a lens set says about itself, checked when read: ``lensset.json``, and the catalogue in Parquet."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lensaudit.documents import digest_of, read_json, validated
from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.files import replacing, sha256, write_json
from lensaudit.lensset.source import Source
from lensaudit.provenance import Provenance
from lensaudit.tables import parquet_column
from lensaudit.untrusted import Identifier, Label, printable

HEADER_NAME = "lensset.json"
LARGEST_CHUNK = 100
"""Systems per chunk at most: 16 MB of Euclid VIS pixels, a second or so of simulation."""

# Never part of a path, and sets ingested before names were checked hold "HST ACS" or "HST/ACS".
Instrument = Annotated[Label, Field(pattern=r"^\w([^./\\]|[./][^./\\])*$")]
Dtype = Literal["float64", "float32", "int64", "int32", "int8", "str", "bool"]


LARGEST_SIDE = 16_384
"""Pixels of a cutout; 40 times Euclid's largest."""
MOST_PIXELS = 1 << 29
"""Of a chunk in one band: 2 GB, which is held in memory while it is written."""
MOST_SYSTEMS = 100_000_000
MOST_COLUMNS = 10_000
FIX = "make the set again"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BandHeader(_Frozen):
    """One band: native shape (rows, columns), arcsec per pixel, AB zero point if known, unit of a pixel."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+-]*$", max_length=64)
    shape: tuple[Side, Side]
    pixel_scale_arcsec: float = Field(ge=1e-6, le=3600)
    zero_point_mag: float | None = Field(default=None, ge=-100, le=100)
    unit: str = Field(max_length=200)

    @property
    def pixel_unit(self) -> str:
        """What a pixel value means: ``UNIT at ZERO_POINT mag``, or the unit alone where no zero point is known."""
        return self.unit + ("" if self.zero_point_mag is None else f" at {self.zero_point_mag:g} mag")


class CatalogueColumn(_Frozen):
    """One column of the catalogue; `unit` is ``""`` for a pure number."""

    name: str = Field(min_length=1, max_length=200)
    unit: str = Field(max_length=200)
    description: str = Field(max_length=2000)
    dtype: Dtype


class Checksums(_Frozen):
    """What the files of a set held when it was finished, so that a change is seen before it is believed.

    Attributes
    ----------
    header
        SHA-256 of all other fields of ``lensset.json``.
    files
        SHA-256 of the catalogue, the scenes and the WCS, by file name.
    chunks
        Path of each array → CRC-32C of its chunk files in order, eight hexadecimal digits each.
    """

    header: Sha256
    files: Annotated[dict[str, Sha256], Field(max_length=16)]
    chunks: Annotated[dict[str, Annotated[str, Field(pattern=r"^([0-9a-f]{8})*$")]], Field(max_length=256)]


_UNKNOWN = Provenance(lensaudit="", command="", seed=None, inputs={}, python="", packages={})


class Header(_Frozen):
    """The whole header of a lens set.

    Attributes
    ----------
    n
        Number of systems.
    chunk
        Systems per chunk, the unit of writing and of resuming; follows from `n` alone (`chunk_for`).
    source
        What the data were made from: for ingested sets the layout, its policies and what was missing.
    provenance
        What made the set; empty words where it does not say.
    content_hash
        SHA-256 over the logical content (see `records`); ``None`` until the set is finished.
    checksums
        Of the files; ``None`` until the set is finished, and in sets of earlier versions.
    """

    format: Literal["lensaudit-lensset"] = "lensaudit-lensset"
    version: Literal[1] = 1
    instrument: Instrument
    bands: tuple[BandHeader, ...] = Field(min_length=1, max_length=64)
    n: int = Field(gt=0, le=MOST_SYSTEMS)
    chunk: int = Field(gt=0, le=MOST_SYSTEMS)
    seed: int | None = Field(default=None, ge=0)
    population: Identifier | None = None
    has_truth: bool = False
    has_scenes: bool = False
    has_wcs: bool = False
    columns: tuple[CatalogueColumn, ...] = Field(max_length=MOST_COLUMNS)
    source: Source = Field(default_factory=Source)
    provenance: Provenance = _UNKNOWN
    content_hash: Sha256 | None = None
    checksums: Checksums | None = None

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: tuple[BandHeader, ...]) -> tuple[BandHeader, ...]:
        names = [band.name for band in bands]
        if len(set(names)) < len(names):
            raise ValueError(f"a band is named twice among {', '.join(names)}")
        return bands

    @field_validator("provenance", mode="before")
    @classmethod
    def _whole(cls, words: Any) -> Any:
        """Sets of other makers name a command alone, nothing, or what we do not know."""
        if not isinstance(words, Mapping):
            return words
        return {name: words.get(name, unknown) for name, unknown in _UNKNOWN.to_json().items()}

    @field_validator("columns")
    @classmethod
    def _each_once(cls, columns: tuple[CatalogueColumn, ...]) -> tuple[CatalogueColumn, ...]:
        counted = Counter(["id", *(column.name for column in columns)])
        twice, times = counted.most_common(1)[0]
        if times > 1:
            raise ValueError(f"column {twice} is there twice; the first column, id, is always there")
        return columns

    @model_validator(mode="after")
    def _fits_memory(self) -> Self:
        for band in self.bands:
            if self.chunk * math.prod(band.shape) > MOST_PIXELS:
                raise ValueError(
                    f"band {band.name}: {self.chunk} images of {band.shape[0]}×{band.shape[1]} pixels are more than "
                    f"{MOST_PIXELS} pixels at once; take smaller cutouts"
                )
        return self

    @property
    def n_chunks(self) -> int:
        """Number of chunks; the last may be short."""
        return -(-self.n // self.chunk)

    def span(self, chunk: int) -> slice:
        """Systems of chunk `chunk`."""
        return slice(chunk * self.chunk, min((chunk + 1) * self.chunk, self.n))

    def write(
        self, path: Path, files: Mapping[str, str] | None = None, chunks: Mapping[str, str] | None = None
    ) -> None:
        """Write the header as JSON, whole or not at all; of a finished set with the checksums of its files."""
        words = json.loads(json.dumps(self.model_dump(mode="json", exclude={"checksums"})))  # as it will be read
        if files is not None and chunks is not None:
            words["checksums"] = {"header": digest_of(words), "files": dict(files), "chunks": dict(chunks)}
        write_json(path, words)


def chunk_for(n: int) -> int:
    """Systems per chunk for a set of `n`: small sets are cut finer, so that two workers share them evenly."""
    return min(n, LARGEST_CHUNK, max(8, -(-n // 32)))


def read_header(path: Path) -> Header:
    """Read and check a header.

    Raises
    ------
    DataError
        The file is not JSON, is of another format or version, or a field is wrong.
    """
    words = read_json(path, FIX)
    header = validated(words, Header, f"{path}", FIX)
    if header.checksums is not None:
        found = digest_of({name: value for name, value in words.items() if name != "checksums"})
        if found != header.checksums.header:
            raise DataError(f"{path}: was changed after the set was made; {FIX}, or restore the file")
    return header


def refuse_other(path: Path, found: Header, wanted: Header) -> None:
    """Raise UsageError naming each field in which the set at `path` differs from the requested one."""
    before, now = _comparable(found), _comparable(wanted)
    differing = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if differing:
        shown = "; ".join(
            f"{key} is {_brief(before.get(key))}, you ask for {_brief(now.get(key))}" for key in differing[:3]
        )
        raise UsageError(
            f"{path}: holds another lens set ({shown}); choose another --out, give the same options, or remove that "
            f"folder"
        )


def _comparable(header: Header) -> dict[str, str]:
    """Every field by its dotted name, but for those that follow from others."""
    flat: dict[str, str] = {}
    for key, value in header.model_dump(mode="json", exclude={"content_hash", "checksums"}).items():
        for name, part in value.items() if isinstance(value, dict) else [(None, value)]:
            flat[f"{key}.{name}" if name else key] = json.dumps(part, sort_keys=True)
    for derived in ("provenance.command", "provenance.seed", "chunk"):
        flat.pop(derived, None)
    return flat


def _brief(text: str | None) -> str:
    return str(text) if text is None or len(text) <= 60 else text[:57] + "..."


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


def open_catalogue(path: Path, header: Header) -> None:
    """Check that the catalogue is there and has the rows, columns and types of the header.

    In a set with checksums its bytes are checked as well: 2 ms for 2 000 systems, 50 ms for 100 000.

    Raises
    ------
    DataError
        The file is missing, is not Parquet, has other rows or columns, or was changed.
    """
    if not path.is_file():
        raise DataError(f"{path}: the catalogue is missing; {FIX}")
    with _parquet(path) as stored:
        rows, schema = stored.metadata.num_rows, stored.schema_arrow
    if rows != header.n:
        raise DataError(f"{path}: the catalogue has {rows} rows, the header says n = {header.n}; {FIX}")
    wanted = schema_of(header.columns)
    if schema.names != wanted.names:
        odd = sorted(set(schema.names) ^ set(wanted.names)) or ["all of them, in another order"]
        raise DataError(f"{path}: columns differ from the header's: {printable(', '.join(odd), 120)}; {FIX}")
    for found, field in zip(schema, wanted, strict=True):
        if found.type != field.type:
            raise DataError(
                f"{path}: column {printable(field.name)} is {printable(found.type, 40)}, the header says "
                f"{field.type}; {FIX}"
            )
    if header.checksums is not None and header.checksums.files.get(path.name) != sha256(path):
        raise DataError(f"{path}: was changed after the set was made; {FIX}, or restore the file")


def read_column(path: Path, name: str, names: Sequence[str]) -> NDArray[Any]:
    """One column as a numpy array; strings as an object array.

    Parameters
    ----------
    names
        The columns there are.

    Raises
    ------
    DataError
        There is no such column (the message names those there are), it has empty cells, or the file is corrupt.
    """
    if name not in names:
        raise DataError(f"{path}: no column '{printable(name)}'; the columns are {printable(', '.join(names), 400)}")
    with _parquet(path):
        column = parquet_column(path, name)
    if column is None:
        raise DataError(f"{path}: column {printable(name)} holds neither numbers nor text; {FIX}")
    empty = np.flatnonzero(np.ma.getmaskarray(column))
    if len(empty):
        raise DataError(f"{path}: column {printable(name)} is empty in row {empty[0] + 1}; {FIX}")
    return np.ma.getdata(column)


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """All rows as plain mappings, ``id`` among them, a row group at a time."""
    with _parquet(path) as stored:
        for batch in stored.iter_batches(ROW_GROUP, use_threads=False):
            yield from batch.to_pylist()


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """The open file; whatever Arrow says about damage becomes one line."""
    try:
        with pq.ParquetFile(path) as stored:
            yield stored
    except LensauditError:
        raise
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:  # ValueError: text that is not UTF-8
        reason = printable(" ".join(str(error).split()), 100)
        raise DataError(f"{path}: the catalogue cannot be read as Parquet ({reason}); {FIX}") from error
