"""Vectors of some images out of a table of any length: Parquet with ids, or an array with a row for each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.errors import DataError, NoSuchData
from lensaudit.untrusted import printable

Array = NDArray[np.float64]

FIX = "write it with lensaudit embed, or give another"
AT_ONCE = 1 << 14
"""Rows that are in memory while a table is read."""


def vectors_of(path: Path, ids: Sequence[str], rows: NDArray[np.int64]) -> Array:
    """Vectors (m, d) of the images `ids`, which are the `rows` of the scores.

    Parameters
    ----------
    path
        Parquet with ``id`` and a column of lists, or of numbers each, in any order; or ``.npy`` (n, d), whose rows are
        those of the scores. A folder that `lensaudit embed` wrote is both.

    Raises
    ------
    DataError
        There is no such file, it is torn or holds objects, an image is missing, or a number is not finite.
    """
    path = Path(path)
    if path.is_dir():
        return _of_parts(path, ids)
    if not path.is_file():
        raise NoSuchData(f"{path}: no such file; {FIX}")
    found = _of_array(path, rows) if path.suffix.lower() == ".npy" else _of_table(path, ids)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise DataError(f"{path}: the vector of image {printable(ids[row], 60)} is not finite; {FIX}")
    return found


def _of_array(path: Path, rows: NDArray[np.int64]) -> Array:
    try:
        whole = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as torn:
        raise DataError(f"{path}: is no array of numbers ({printable(torn, 80)}); {FIX}") from torn
    if whole.ndim != 2 or whole.dtype.kind not in "fiu":
        raise DataError(f"{path}: is {whole.dtype} of shape {whole.shape}, not numbers (images, dimensions); {FIX}")
    if len(rows) and int(rows.max()) >= len(whole):
        raise DataError(f"{path}: has {len(whole)} rows, the scores have more; {FIX}")
    return np.asarray(whole[rows], np.float64)


def _of_parts(folder: Path, ids: Sequence[str]) -> Array:
    """Of the files that ``lensaudit embed --out DIR`` wrote."""
    inside = folder / "vectors"
    files = sorted((inside if inside.is_dir() else folder).glob("part-*.parquet"))
    if not files:
        raise NoSuchData(f"{folder}: holds no part-000000.parquet, here or in vectors/; {FIX}")
    return _of_tables(files, folder, ids)


def _of_table(path: Path, ids: Sequence[str]) -> Array:
    return _of_tables([path], path, ids)


def _of_tables(files: Sequence[Path], path: Path, ids: Sequence[str]) -> Array:
    place = {name: at for at, name in enumerate(ids)}
    found: Array | None = None
    seen = np.zeros(len(ids), bool)
    try:
        for table in (one for file in files for one in _pieces(file)):
            here = [(at, place[name]) for at, name in enumerate(_text(table)) if name in place]
            if not here:
                continue
            some = _numbers(table.take(pa.array([at for at, _ in here])), path)
            found = np.full((len(ids), some.shape[1]), np.nan) if found is None else found
            rows = [to for _, to in here]
            found[rows], seen[rows] = some, True
    except (pa.ArrowException, OSError, ValueError) as torn:
        if isinstance(torn, DataError):
            raise
        raise DataError(f"{path}: is no Parquet file of vectors ({printable(torn, 80)}); {FIX}") from torn
    if found is None or not seen.all():
        missing = ids[int(np.flatnonzero(~seen)[0])]
        raise DataError(
            f"{path}: {int((~seen).sum())} images of the scores are missing, first {printable(missing, 60)}"
        )
    return found


def _pieces(path: Path) -> Iterator[pa.Table]:
    """Some rows of a file at a time."""
    with pq.ParquetFile(path) as file:
        if "id" not in file.schema_arrow.names:
            raise DataError(f"{path}: no column id; {FIX}")
        for batch in file.iter_batches(AT_ONCE):
            yield pa.Table.from_batches([batch])


def _text(table: pa.Table) -> list[str]:
    return [str(name) for name in table.column("id").cast(pa.string()).to_pylist()]


_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def _numbers(table: pa.Table, path: Path) -> Array:
    """One column of lists, or every column of numbers (m, d)."""
    for field in table.schema:
        if any(is_one(field.type) for is_one in _LISTS):
            return np.array(table.column(field.name).to_pylist(), np.float64)
    names = [one.name for one in table.schema if pa.types.is_floating(one.type) and one.name != "id"]
    if not names:
        raise DataError(f"{path}: no column of vectors or numbers; {FIX}")
    return np.column_stack([np.asarray(table.column(name).to_numpy(), np.float64) for name in names])
