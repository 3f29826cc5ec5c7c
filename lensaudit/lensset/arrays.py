"""Zarr v3 arrays of a lens set: one chunk per block of systems, each with a CRC-32C.

Images are noise, which no codec shrinks by much: they are stored as plain little-endian float32, so that a
chunk file is the pixels followed by four bytes of checksum, and is read without a copy through a codec.
Truth is smooth or empty and goes through zstd.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from google_crc32c import extend
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from lensaudit.documents import json_of
from lensaudit.errors import DataError
from lensaudit.lensset.header import Header
from lensaudit.untrusted import regular_size

ARRAYS = ("zarr.json", "images", "truth", "psf", "rms")
"""What `create_arrays` makes in the folder of a set."""

FIX = "make the set again (the same command with another --out)"
_PLAIN = np.dtype("<f4")
_PIECE = 1 << 18
_CONFIG: Any = {"write_empty_chunks": True}  # a chunk of zeros is written, so that a missing file is an error


@dataclass(frozen=True)
class ArraySpec:
    """One array of a set.

    Attributes
    ----------
    path
        Inside the set.
    shape
        Of one system.
    per_cutout
        Whether each system has its own; else there is one, in a single chunk, for all of them.
    """

    path: str
    shape: tuple[int, int]
    dtype: str
    compressed: bool
    per_cutout: bool = True

    def rows(self, header: Header) -> int:
        """How many entries it has."""
        return header.n if self.per_cutout else 1

    def chunk(self, header: Header) -> int:
        """Entries per chunk."""
        return header.chunk if self.per_cutout else 1

    def chunks(self, header: Header) -> range:
        """Its chunks, by number."""
        return range(header.n_chunks if self.per_cutout else 1)


def array_specs(header: Header) -> list[ArraySpec]:
    """Every array a set with this header holds."""
    specs = [ArraySpec(f"images/{band.name}", band.shape, "float32", False) for band in header.bands]
    if header.has_truth:
        specs += [ArraySpec(f"truth/source_light/{band.name}", band.shape, "float32", True) for band in header.bands]
        specs += [ArraySpec(f"truth/mask/{band.name}", band.shape, "bool", True) for band in header.bands]
    for band in header.bands:
        if band.psf is not None:
            side = (band.psf.side, band.psf.side)
            specs.append(ArraySpec(f"psf/{band.name}", side, "float32", False, band.psf.per_cutout))
        if band.rms is not None:
            specs.append(ArraySpec(f"rms/{band.name}", band.shape, "float32", False, band.rms.per_cutout))
    return specs


def create_arrays(root: Path, header: Header) -> None:
    """Create the groups and empty arrays that are not there yet."""
    group = zarr.open_group(str(root), mode="a", zarr_format=3)
    specs = array_specs(header)
    for parent in dict.fromkeys(spec.path.rpartition("/")[0] for spec in specs):
        group.require_group(parent)
    for spec in specs:
        if spec.path not in group:
            group.create_array(
                spec.path,
                shape=(spec.rows(header), *spec.shape),
                chunks=(spec.chunk(header), *spec.shape),
                dtype=spec.dtype,
                filters=None,
                compressors=[ZstdCodec(level=1), Crc32cCodec()] if spec.compressed else [Crc32cCodec()],
                fill_value=0,
                config=_CONFIG,
            )


def write_block(root: Path, spec: ArraySpec, span: slice, block: NDArray[Any]) -> None:
    """Write one chunk; zarr writes it under a temporary name and renames it."""
    array = zarr.open_array(str(root), path=spec.path, mode="r+")
    array.with_config(_CONFIG)[span] = block  # zarr 3.1 does not keep the setting, nor take it on opening


@dataclass
class StoredArray:
    """One array of a finished set, read chunk by chunk.

    Each chunk's size is checked at every read, its checksum at the first one in this process. With `written`,
    the checksums the header knows (eight hexadecimal digits for each chunk), a sound chunk of another band or place is
    refused as well.
    """

    root: Path
    spec: ArraySpec
    n: int
    chunk: int
    written: str = ""
    _sound: set[int] = field(default_factory=set)
    _decoded: tuple[int, NDArray[Any]] | None = None

    def read(self, index: NDArray[np.intp]) -> NDArray[Any]:
        """Systems `index`, in that order: (m, h, w); read-only where one entry stands for all of them."""
        if not self.spec.per_cutout and len(index) != 1:
            return np.broadcast_to(self.read(np.zeros(1, np.intp)), (len(index), *self.spec.shape))
        if not self.spec.per_cutout:
            index = np.zeros(1, np.intp)
        out = np.empty((len(index), *self.spec.shape), self.spec.dtype)
        fill = self._fill_decoded if self.spec.compressed else self._fill_plain
        for chunk, places in _by_chunk(index, self.chunk):
            fill(chunk, index[places] - chunk * self.chunk, places, out)
        return out

    def _file(self, chunk: int) -> Path:
        return chunk_file(self.root, self.spec, chunk)

    def _fill_plain(self, chunk: int, rows: NDArray[np.intp], places: NDArray[np.intp], out: NDArray[Any]) -> None:
        path = self._file(chunk)
        try:
            _refuse_special(path)
            with open(path, "rb", buffering=0) as stream:
                if chunk not in self._sound:
                    self._check(stream, path)
                    self._sound.add(chunk)
                _read_runs(stream, path, rows, places, out)
        except FileNotFoundError as error:
            raise DataError(f"{path}: chunk file is missing; {FIX}") from error
        except OSError as error:  # a link to itself, no permission, a folder that is a file
            raise DataError(f"{path}: chunk file cannot be read ({error.strerror or error}); {FIX}") from error

    def _check(self, stream: Any, path: Path) -> None:
        """Compare size and checksum, in pieces that stay in the processor's cache."""
        size = self.chunk * int(np.prod(self.spec.shape)) * _PLAIN.itemsize
        found = path.stat().st_size
        if found != size + 4:
            raise DataError(f"{path}: chunk file has {found} bytes, {size + 4} are needed; {FIX}")
        checksum, left = 0, size
        while left and (piece := stream.read(min(left, _PIECE))):
            checksum, left = extend(checksum, piece), left - len(piece)
        if checksum != int.from_bytes(stream.read(4), "little"):
            raise DataError(f"{path}: chunk file is corrupt (its checksum differs); {FIX}")
        self._refuse_other(path, checksum)

    def _refuse_other(self, path: Path, checksum: int) -> None:
        first = 8 * int(path.parts[-3])
        if self.written and self.written[first : first + 8] != f"{checksum:08x}":
            raise DataError(f"{path}: holds other pixels than when the set was made, perhaps of another band; {FIX}")

    def _fill_decoded(self, chunk: int, rows: NDArray[np.intp], places: NDArray[np.intp], out: NDArray[Any]) -> None:
        if self._decoded is None or self._decoded[0] != chunk:
            self._decoded = (chunk, self._decode(chunk))
        out[places] = self._decoded[1][rows]

    def _decode(self, chunk: int) -> NDArray[Any]:
        path = self._file(chunk)
        self._refuse_other(path, chunk_checksum(path))
        try:
            array = zarr.open_array(str(self.root), path=self.spec.path, mode="r")
            return np.asarray(array[chunk * self.chunk : min((chunk + 1) * self.chunk, self.n)])
        except (ValueError, RuntimeError, OSError, TimeoutError) as error:
            raise DataError(f"{path}: chunk file is corrupt ({_short(error)}); {FIX}") from error


def chunk_checksum(path: Path) -> int:
    """CRC-32C at the end of a chunk file, as it stands there; DataError where there is no such file."""
    try:
        _refuse_special(path)
        with open(path, "rb") as stream:
            stream.seek(-4, os.SEEK_END)
            return int.from_bytes(stream.read(4), "little")
    except FileNotFoundError as error:
        raise DataError(f"{path}: chunk file is missing; {FIX}") from error
    except OSError as error:  # EINVAL: it has less than four bytes
        reason = "is truncated" if error.errno == errno.EINVAL else f"cannot be read ({error.strerror or error})"
        raise DataError(f"{path}: chunk file {reason}; {FIX}") from error


def _refuse_special(path: Path) -> None:
    """Raise DataError for a pipe or a device, which would be waited for or read for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise DataError(f"{path}: is no regular file; {FIX}")


def chunk_checksums(root: Path, header: Header) -> dict[str, str]:
    """Path of each array → CRC-32C of its chunk files, see `Checksums`."""
    return {
        spec.path: "".join(f"{chunk_checksum(chunk_file(root, spec, chunk)):08x}" for chunk in spec.chunks(header))
        for spec in array_specs(header)
    }


def chunk_file(root: Path, spec: ArraySpec, chunk: int) -> Path:
    """Where zarr keeps a chunk."""
    return root / spec.path / "c" / str(chunk) / "0" / "0"


def check_array(root: Path, spec: ArraySpec, header: Header) -> StoredArray:
    """Compare an array's metadata with the header, before anything is read from it.

    Raises
    ------
    DataError
        The array is missing, or of another shape, dtype, chunking or codec.
    """
    path, n, chunk = root / spec.path / "zarr.json", spec.rows(header), spec.chunk(header)
    try:
        _refuse_special(path)
        array = zarr.open_array(str(root), path=spec.path, mode="r", zarr_format=3)
    except DataError:
        raise
    except Exception as error:  # zarr has no single exception for metadata it cannot read
        raise DataError(f"{path}: the array's metadata cannot be read ({_short(error)}); {FIX}") from error
    found = (array.shape, array.chunks, str(array.dtype), _codecs(array))
    wanted = ((n, *spec.shape), (chunk, *spec.shape), spec.dtype, _codec_names(spec))
    if found != wanted:
        raise DataError(f"{path}: array is {found[:3]}, the header says {wanted[:3]}; {FIX}")
    return StoredArray(root, spec, n, chunk, "" if header.checksums is None else header.checksums.chunks[spec.path])


def _codecs(array: Any) -> tuple[str, ...]:
    return tuple(codec.to_dict()["name"] for codec in array.metadata.codecs)


def _codec_names(spec: ArraySpec) -> tuple[str, ...]:
    return ("bytes", "zstd", "crc32c") if spec.compressed else ("bytes", "crc32c")


def _by_chunk(index: NDArray[np.intp], chunk: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    numbers = index // chunk
    for number in np.unique(numbers):
        yield int(number), np.flatnonzero(numbers == number)


def _read_runs(stream: Any, path: Path, rows: NDArray[np.intp], places: NDArray[np.intp], out: NDArray[Any]) -> None:
    """Read each run of neighbouring systems straight into `out`."""
    size = out[0].nbytes
    for first, last in _runs(rows, places):
        stream.seek(int(rows[first]) * size)
        block = out[places[first] : places[last] + 1]
        if stream.readinto(block.view(np.uint8).data) != block.nbytes:
            raise DataError(f"{path}: chunk file is truncated; {FIX}")
        if sys.byteorder == "big":
            block.byteswap(inplace=True)


def _runs(rows: NDArray[np.intp], places: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(places) != 1))
    yield from zip(np.r_[0, breaks + 1].tolist(), np.r_[breaks, len(rows) - 1].tolist(), strict=True)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


LONGEST_LINE = 16 << 20
"""Bytes; a scene of hundreds of galaxies has some 100 kB."""


class LineFile:
    """Line `i` of a text file, found by an index of line starts built once.

    Parameters
    ----------
    sha256
        Of the whole file, where it is known.

    Raises
    ------
    DataError
        The file is missing, has another number of lines than `n`, or was changed.
    """

    def __init__(self, path: Path, n: int, sha256: str | None = None) -> None:
        self._path = path
        if not path.exists():
            raise DataError(f"{path}: is missing; {FIX}")
        regular_size(path)
        digest, ends, read = hashlib.sha256(), [np.zeros(1, np.int64)], 0
        with open(path, "rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
                ends.append(np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n")) + read + 1)
                read += len(piece)
        starts = np.concatenate(ends)
        self._starts = starts if starts[-1] == read else np.append(starts, read)  # no newline at the end
        if len(self._starts) - 1 != n:
            raise DataError(f"{path}: has {len(self._starts) - 1} lines, {n} are needed; {FIX}")
        if sha256 not in (None, digest.hexdigest()):
            raise DataError(f"{path}: was changed after the set was made; {FIX}, or restore the file")

    def __getitem__(self, i: int) -> Any:
        """The JSON value of line `i`, counted from 0."""
        first, last = int(self._starts[i]), int(self._starts[i + 1])
        if last - first > LONGEST_LINE:
            raise DataError(f"{self.where(i)}: is longer than {LONGEST_LINE >> 20} MB; {FIX}")
        with open(self._path, "rb") as stream:
            stream.seek(first)
            return json_of(stream.read(last - first), self.where(i), FIX)

    def where(self, i: int) -> str:
        """How a message names line `i`."""
        return f"{self._path}: line {i + 1}"
