"""A table too long for one file: a folder of Parquet parts with equally many rows, and an index of them.

A part is written whole or not at all and holds the digest of its rows, so what a killed run left is taken up where the
index has the same key. Rows are read a piece at a time: memory does not grow with the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit.documents import keep_json, kept_json
from lensaudit.errors import DataError, NoSuchData
from lensaudit.kept import Piece, TableForm
from lensaudit.records import Record
from lensaudit.tables import Table, read_table
from lensaudit.tables.table import MOST_ROWS, SEAL, Column, table_of
from lensaudit.untrusted import printable

INDEX = "scores.json"
ROWS = 100_000
"""Of a part, unless another number is asked for."""
AT_ONCE = 1 << 16
"""Rows that are in memory while a table is read."""
AGAIN = "run the lensaudit score that writes it again"


@dataclass(frozen=True)
class PartsIndex(Record):
    """What ``scores.json`` says.

    Attributes
    ----------
    key
        Of all that the rows rest on (`lensaudit.kept.key_of`).
    rows, rows_per_part
        Of the whole table, and of each part but the last.
    record
        JSON of what is said of the table, as in the metadata of a single file.
    digests
        Of the rows of each part; empty until all are there.
    distinct
        Whether it is known that no id is there twice.
    """

    key: str
    rows: int
    rows_per_part: int
    record: str = "{}"
    digests: tuple[str, ...] = ()
    distinct: bool = False

    @property
    def parts(self) -> int:
        """How many there are in all."""
        return -(-self.rows // self.rows_per_part)

    @property
    def complete(self) -> bool:
        """Whether every part has been written."""
        return len(self.digests) == self.parts

    def span(self, part: int) -> slice:
        """Rows of a part in the table."""
        return slice(part * self.rows_per_part, min((part + 1) * self.rows_per_part, self.rows))


def is_parted(path: Path) -> bool:
    """Whether `path` is such a folder."""
    return (Path(path) / INDEX).is_file()


@dataclass(frozen=True)
class PartedTable:
    """The folder and its index."""

    folder: Path
    index: PartsIndex

    @classmethod
    def open(cls, folder: Path) -> PartedTable:
        """A finished one.

        Raises
        ------
        DataError
            There is none, its index is torn or was changed, or parts are missing.
        """
        found = cls.begun(folder)
        if found is None:
            there = (Path(folder) / INDEX).is_file()
            what = f"{folder}/{INDEX}: is torn or was changed" if there else f"{folder}: holds no {INDEX}"
            raise (DataError if there else NoSuchData)(f"{what}; {AGAIN}")
        missing = [part for part in range(found.index.parts) if not found.path(part).is_file()]
        if not found.index.complete or missing:
            done = found.index.parts - len(missing)
            raise DataError(f"{folder}: {done} of {found.index.parts} parts are there; {AGAIN}, it goes on")
        return found

    @classmethod
    def begun(cls, folder: Path) -> PartedTable | None:
        """One that may be unfinished; None where there is none."""
        words = kept_json(Path(folder) / INDEX) if is_parted(folder) else {}
        try:
            index = PartsIndex.from_json({**words, "record": json.dumps(words.get("record"), sort_keys=True)})
        except DataError:
            return None
        sound = index.rows >= 0 and index.rows_per_part > 0
        return cls(Path(folder), index) if sound else None

    def path(self, part: int) -> Path:
        """File of a part."""
        return self.folder / f"part-{part:06d}.parquet"

    def piece(self, part: int) -> Piece[pa.Table]:
        """A part as a later run takes it up."""
        return Piece(self.path(part), TableForm(compression="zstd"), f"{self.index.key}-{part}")

    def write_index(self, **changes: Any) -> PartedTable:
        """Write the index with these of its fields changed; it is finished where it has the digests of all parts."""
        index = replace(self.index, **changes)
        keep_json(self.folder / INDEX, {**index.to_json(), "record": json.loads(index.record)})
        return replace(self, index=index)

    def with_digests(self, digests: Sequence[str]) -> PartedTable:
        """The same, all of whose parts are there; nothing is written."""
        return replace(self, index=replace(self.index, digests=tuple(digests)))

    def digest(self, part: int) -> str:
        """Of the rows of a part, as its file says; empty where it does not.

        Raises
        ------
        DataError
            The part is torn.
        """
        return self.metadata(part).get(SEAL, b"").decode()

    def metadata(self, part: int) -> dict[bytes, bytes]:
        """What is said of a part in its file; errors as in `digest`."""
        return dict(self._schema(part).metadata or {})

    def refuse_other_parts(self) -> None:
        """Raise DataError for the first part that is not the one the index names."""
        for part, digest in enumerate(self.index.digests):
            if self.digest(part) != digest:
                raise DataError(f"{self.path(part)}: is not the part that {INDEX} names; {AGAIN}")

    def whole(self) -> Table:
        """All rows in memory, each part checked by its digest.

        Raises
        ------
        DataError
            A part is torn, was changed, or is not the one the index names; or there are too many rows.
        """
        if self.index.rows > MOST_ROWS:
            raise DataError(f"{self.folder}: has more than {MOST_ROWS} rows; lensaudit audit-plan reads so many")
        self.refuse_other_parts()
        found = []
        for part in range(self.index.parts):
            if self.piece(part).load() is None:
                raise DataError(f"{self.path(part)}: was changed after it was written; {AGAIN}")
            found.append(read_table(self.path(part)).columns)
        columns = []
        for ones in zip(*found, strict=True):
            values, empty = (np.concatenate([getattr(one, name) for one in ones]) for name in ("values", "empty"))
            columns.append(Column(ones[0].name, values, empty))
        return table_of(self.folder, columns)

    def rows(self, columns: Sequence[str], at_once: int = AT_ONCE) -> Iterator[tuple[int, pa.Table]]:
        """(number of the first row, rows) from first to last, those of `columns` that there are.

        Raises
        ------
        DataError
            A part is torn, or has not as many rows as it should.
        """
        names = self._schema(0).names if self.index.parts else []
        for part in range(self.index.parts):
            span, known = self.index.span(part), self._schema(part).names
            if known != names:
                raise DataError(f"{self.path(part)}: has other columns than {self.path(0).name}; {AGAIN}")
            done = span.start
            try:
                with pq.ParquetFile(self.path(part)) as file:
                    for batch in file.iter_batches(at_once, columns=[one for one in columns if one in known]):
                        yield done, pa.Table.from_batches([batch])
                        done += batch.num_rows
            except (pa.ArrowException, OSError, ValueError) as broken:
                raise DataError(f"{self.path(part)}: is torn; {AGAIN}") from broken
            if done != span.stop:
                raise DataError(
                    f"{self.path(part)}: has {done - span.start} rows instead of {span.stop - span.start}; {AGAIN}"
                )

    def _schema(self, part: int) -> pa.Schema:
        return schema_of(self.path(part), AGAIN)


def schema_of(path: Path, fix: str) -> pa.Schema:
    """Columns of a Parquet file; DataError, which ends in `fix`, where it is torn or has two of one name."""
    try:
        found = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as broken:
        raise DataError(f"{path}: is torn; {fix}") from broken
    if twice := next((name for name in found.names if found.names.count(name) > 1), None):
        raise DataError(f"{path}: has column {printable(twice, 60)} twice; {fix}")
    return found
