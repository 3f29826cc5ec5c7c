"""Parquet files with image columns, alone or in partitioned folders such as HATS."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.lensset.containers.adapter import Adapter, Numbers, Rows, runs
from lensaudit.lensset.containers.arrow_images import Shapes, images_of, values_of
from lensaudit.lensset.containers.declaration import MOST_FILES
from lensaudit.untrusted import other_kind, path_within, printable

_BATCH_BYTES = 16 << 20
_BUFFER = 1 << 20
_LARGEST_ROW = 1 << 28


class ParquetFile(Adapter):
    """One Parquet file, read forwards: a few images are decoded at a time, going back begins the row group again."""

    def __init__(self, path: Path, images: Sequence[str], values: Sequence[str], shapes: Shapes) -> None:
        if reason := other_kind(path, "a Parquet file", "parquet"):
            raise DataError(reason)
        self.path, self._flat, self._file = path, shapes, None
        self._streams: dict[str, _Stream] = {}
        with _explained(path):
            self._footer = pq.read_metadata(path)
            names = set(self._footer.schema.to_arrow_schema().names)
        self.n = self._footer.num_rows
        for name in (*images, *values):
            if name not in names:
                there = printable(", ".join(sorted(names)), 300)
                raise DataError(f"{path}: has no column {printable(name, 60)}; correct the name, it has {there}")
        counts = [self._footer.row_group(group).num_rows for group in range(self._footer.num_row_groups)]
        self._begins = np.cumsum([0, *counts])
        self._shapes = {name: self.block(name, np.zeros(1, np.intp)).shape[1:] for name in images} if self.n else {}
        self.close()

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._shapes[name]

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        where = f"{self.path}: column {printable(name, 60)}"
        with _explained(self.path):
            if name not in self._streams:
                self._streams[name] = _Stream(self._opened(), name, self._begins, self._at_once(name))
            stream = self._streams[name]
            parts = [
                images_of(piece, self._flat.get(name), where)
                for first, end, row in runs(rows)
                for piece in stream.read(row, end - first)
            ]
        if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            raise DataError(f"{where}: images differ in shape; cut all to one size")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """See `Adapter`."""
        groups = np.searchsorted(self._begins, rows, side="right") - 1
        found: list[Any] = []
        with _explained(self.path):
            for group in np.unique(groups).tolist():
                column = self._opened().read_row_group(group, columns=[name], use_threads=False).column(0)
                found += values_of(column.take(pa.array(rows[groups == group] - self._begins[group])))
        return found

    def close(self) -> None:
        """Close the file."""
        self._streams.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> pq.ParquetFile:
        if self._file is None:
            self._file = pq.ParquetFile(self.path, metadata=self._footer, buffer_size=_BUFFER, pre_buffer=False)
        return self._file

    def _at_once(self, name: str) -> int:
        """Rows that are decoded at once: some megabytes of them."""
        size = 0
        for group in range(min(self._footer.num_row_groups, 8)):
            about = self._footer.row_group(group)
            columns = (about.column(place) for place in range(about.num_columns))
            size += sum(one.total_uncompressed_size for one in columns if one.path_in_schema.split(".")[0] == name)
        each = size / max(1, int(self._begins[min(self._footer.num_row_groups, 8)]))
        if each > _LARGEST_ROW:
            raise DataError(
                f"{self.path}: column {printable(name, 60)}: a row has {each / 1e6:.4g} MB; cut it out first"
            )
        return int(min(1024, max(1, _BATCH_BYTES // max(each, 1))))


class _Stream:
    """A column as it is decoded, from a place on."""

    def __init__(self, file: pq.ParquetFile, name: str, begins: NDArray[np.int64], at_once: int) -> None:
        self._file, self._name, self._begins, self._at_once = file, name, begins, at_once
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._now: pa.Array = pa.array([])
        self._first = 0  # row of the first of the batch that is held

    def read(self, row: int, count: int) -> Iterator[pa.Array]:
        """Cells of `count` rows from `row` on, in pieces."""
        group = int(np.searchsorted(self._begins, row, side="right")) - 1
        ends = self._first + len(self._now)
        if row < self._first or len(self._now) == 0 or (row > ends and self._begins[group] > ends):
            groups = list(range(group, len(self._begins) - 1))
            self._batches = self._file.iter_batches(
                self._at_once, row_groups=groups, columns=[self._name], use_threads=False
            )
            self._first, self._now = int(self._begins[group]), pa.array([])
        while count:
            inside = row - self._first
            if inside >= len(self._now):
                self._first += len(self._now)
                self._now = next(self._batches).column(0)
                continue
            piece = self._now.slice(inside, count)
            yield piece
            row, count = row + len(piece), count - len(piece)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What Arrow says about damage, as one line."""
    try:
        yield
    except LensauditError:
        raise
    except (pa.ArrowException, OSError, ValueError, StopIteration, RuntimeError) as error:
        reason = printable(" ".join(str(error).split()), 100)
        raise DataError(f"{path}: cannot be read as Parquet ({reason}); fetch it again") from error


def parquet_adapter(
    files: Sequence[Path], images: Sequence[str], values: Sequence[str], shapes: Shapes
) -> list[Adapter]:
    """An adapter for each file; of a folder for each below it, by Norder, Dir and Npix where it is partitioned so."""
    if not all(images):
        raise UsageError(f"{files[0]}: images is not given; name the column, or one for each band")
    found = [file for one in files for file in (_below(one) if one.is_dir() else [one])]
    return [ParquetFile(file, images, values, shapes) for file in found]


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        plain = [name for name in names if name.endswith(".parquet") and not name.startswith((".", "_"))]
        below = Path(root).relative_to(folder).parts
        found += [path_within(folder, *below, name) for name in plain]
        if len(found) > MOST_FILES:
            raise DataError(f"{folder}: holds more than {MOST_FILES} Parquet files; declare parts of it apart")
    if not found:
        raise DataError(f"{folder}: holds no Parquet file; correct data")
    return sorted(found, key=lambda file: _natural(file.relative_to(folder).as_posix()))


def _natural(path: str) -> list[tuple[int, str]]:
    """Numbers in the order of numbers: Npix=9 before Npix=10."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d{1,18})", path)]
