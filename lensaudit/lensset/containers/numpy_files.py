"""numpy's ``.npy`` and ``.npz``: plain arrays read from their place; of pickles nothing is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from lensaudit.errors import DataError, UsageError
from lensaudit.fits_input import LARGEST_BYTES
from lensaudit.lensset.containers.adapter import Adapter, FlatArray, Numbers, Rows
from lensaudit.untrusted import TORN_ZIP, other_kind, printable

_LOCAL_HEADER = 30
_HEADER = 10_000
"""Bytes; those of numpy have 128 and more for records."""


class Held:
    """An array that had to be unpacked whole: `FlatArray` in memory."""

    def __init__(self, values: Numbers, path: Path, where: str) -> None:
        self._values, self.path, self.where = values, path, where
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, rows: Rows) -> Numbers:
        """Its rows `rows`."""
        return self._values[rows]


class Arrays(Adapter):
    """Arrays by name, all with a row for an image: of one ``.npz``, or one ``.npy``, or a ``.npy`` for each band."""

    def __init__(self, path: Path, arrays: dict[str, FlatArray | Held], images: Sequence[str]) -> None:
        self.path, self._arrays = path, arrays
        self.n = arrays[images[0]].shape[0] if arrays[images[0]].shape else 0
        for name, array in arrays.items():
            if len(array.shape) < (3 if name in images else 1) or (name not in images and len(array.shape) != 1):
                raise DataError(f"{array.where}: has shape {array.shape}, {_wanted(name in images)}; name another")
            if array.shape[0] != self.n:
                first = arrays[images[0]].where
                raise DataError(f"{array.where}: has {array.shape[0]} rows, {first} has {self.n}; correct the file")

    @property
    def files(self) -> Sequence[Path]:
        """Those of the arrays."""
        return list(dict.fromkeys(array.path for array in self._arrays.values()))

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._arrays[name].shape[1:]

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        return self._arrays[name].read(rows)

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """See `Adapter`."""
        found: list[Any] = self._arrays[name].read(rows).tolist()
        return found


def _wanted(image: bool) -> str:
    return "images × rows × columns, perhaps with bands, are needed" if image else "one value for each image is needed"


def npy_array(path: Path) -> FlatArray:
    """The array in a ``.npy`` file.

    Raises
    ------
    DataError
        It is of another kind, torn, in Fortran order, or holds Python objects.
    """
    if reason := other_kind(path, "a NumPy array file", "npy"):
        raise DataError(reason)
    with open(path, "rb") as stream:
        shape, dtype, offset = header_of(stream, f"{path}")
    return FlatArray(path, offset, dtype, shape, f"{path}")


def header_of(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and place of the numbers of an array in numpy's format; nothing of it is run."""
    head = stream.read(_HEADER)
    try:
        return _header(head[: _length(head)])
    except (ValueError, EOFError, TypeError, SyntaxError) as error:
        raise DataError(f"{where}: is no whole array of numpy's ({printable(error, 80)}); write it again") from error


def _length(head: bytes) -> int:
    if head[:6] != b"\x93NUMPY" or len(head) < 12:
        raise ValueError("its first bytes are others")
    size = 10 + int.from_bytes(head[8:10], "little") if head[6] == 1 else 12 + int.from_bytes(head[8:12], "little")
    if size > len(head):
        raise ValueError("its header is too long or ends early")
    return size


@lru_cache(64)
def _header(head: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = reader(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, a pickle, which are not read: save plain arrays")
    if columns_first and len(shape) > 1:
        raise ValueError("it is in Fortran order: save np.ascontiguousarray of it")
    if any(side < 0 for side in shape):
        raise ValueError("its shape has a negative side")
    return shape, dtype, len(head)


def npz_arrays(path: Path, names: Sequence[str]) -> dict[str, FlatArray | Held]:
    """Arrays of an ``.npz`` file: those stored plainly are read from their place, packed ones are unpacked whole.

    Raises
    ------
    DataError
        One is missing, torn, or unpacks to more than `LARGEST_BYTES`.
    """
    if reason := other_kind(path, "a NumPy archive (npz)", "npz", "zip"):
        raise DataError(reason)
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _member(path, archive, name) for name in names}
    except TORN_ZIP as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is damaged ({printable(error, 80)}); write the file again") from error


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> FlatArray | Held:
    where = f"{path}: array {printable(name, 60)}"
    if f"{name}.npy" not in archive.namelist():
        there = ", ".join(one.removesuffix(".npy") for one in archive.namelist()[:30])
        raise DataError(f"{where}: is not there; correct the name, the file has {printable(there, 300)}")
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        shape, dtype, begin = header_of(stream, where)
    size = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    if info.file_size - begin != size:
        raise DataError(f"{where}: has {info.file_size - begin} bytes, its shape {shape} says {size}; write it again")
    if info.compress_type == zipfile.ZIP_STORED:
        with open(path, "rb") as raw:
            raw.seek(info.header_offset)
            local = raw.read(_LOCAL_HEADER)
        lengths = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
        return FlatArray(path, info.header_offset + _LOCAL_HEADER + lengths + begin, dtype, shape, where)
    if size > LARGEST_BYTES:
        raise DataError(
            f"{where}: is compressed and unpacks to {size / 1e9:.3g} GB, more than the {LARGEST_BYTES >> 20} MiB that "
            f"are; save it with np.savez, or as .npy"
        )
    with archive.open(info) as stream:
        data = stream.read(begin + size + 1)
    return Held(np.frombuffer(data, dtype, offset=begin).reshape(shape), path, where)


def npy_adapter(files: Sequence[Path], named: dict[str, Path] | None) -> list[Adapter]:
    """An adapter for each ``.npy``; where `named` gives a file to each band, one for all."""
    if named is not None:
        arrays: dict[str, FlatArray | Held] = {name: npy_array(file) for name, file in named.items()}
        return [Arrays(files[0], arrays, list(named))]
    return [Arrays(file, {"": npy_array(file)}, [""]) for file in files]


def npz_adapter(files: Sequence[Path], images: Sequence[str], values: Sequence[str]) -> list[Adapter]:
    """An adapter for each ``.npz``."""
    if not all(images):
        raise UsageError(f"{files[0]}: images is not given; name the array, or one for each band")
    return [Arrays(file, npz_arrays(file, [*images, *values]), images) for file in files]
