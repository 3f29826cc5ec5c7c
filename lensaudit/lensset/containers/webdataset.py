"""WebDataset: tar shards whose members ``ID.NAME`` belong to one system; indexed once, read from their place."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.documents import json_of
from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.lensset.containers.adapter import Adapter, Numbers, Rows
from lensaudit.lensset.containers.coded import LARGEST_IMAGE, decoded, stacked
from lensaudit.untrusted import other_kind, printable

MOST_NAMES = 200
"""Different endings in one shard."""
_JSON = "json"
_BLOCK = 512


class Shard(Adapter):
    """One tar file.

    Parameters
    ----------
    images
        Endings of the members that hold images, e.g. ``VIS.npy``.
    """

    def __init__(self, path: Path, images: Sequence[str]) -> None:
        if reason := other_kind(path, "a tar archive", "tar"):
            raise DataError(reason)
        self.path = path
        self._keys, self._places = _indexed(path)
        self.n = len(self._keys)
        for name in images:
            self._need(name)
        first = np.zeros(min(self.n, 1), np.intp)
        self._shapes = {name: image.shape for name in images for image in self._images(name, first)}

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._shapes[name]

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        return stacked(list(self._images(name, rows)), self._shapes[name], lambda place: self._where(name, rows[place]))

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """Text of the member that ends in `name`, or else that value in the member that ends in ``json``."""
        if name in self._places:
            return [data.decode("utf-8", "replace").strip() for data, _ in self._bytes(name, rows)]
        found = []
        for data, where in self._bytes(_JSON, rows):
            words = json_of(data, where, "write it again", nan=True)
            value = words.get(name) if isinstance(words, dict) else None
            if value is None or isinstance(value, dict | list):
                raise DataError(f"{where}: has no value {printable(name, 60)}; write it, or name another")
            found.append(value)
        return found

    def ids(self, rows: Rows) -> list[str]:
        """What stands before the first dot of the members' names."""
        return [key.decode("utf-8", "replace") for key in self._keys[rows].tolist()]

    def _need(self, name: str) -> NDArray[np.int64]:
        if name not in self._places:
            there = printable(", ".join(sorted(self._places)), 300)
            raise DataError(
                f"{self.path}: no member ends in .{printable(name, 60)}; correct the name, they end in {there}"
            )
        return self._places[name]

    def _where(self, name: str, row: Any) -> str:
        return f"{self.path}: member {printable(self._keys[row].decode('utf-8', 'replace'), 80)}.{printable(name, 60)}"

    def _images(self, name: str, rows: Rows) -> Iterator[Numbers]:
        for data, where in self._bytes(name, rows):
            yield decoded(data, where)

    def _bytes(self, name: str, rows: Rows) -> Iterator[tuple[bytes, str]]:
        """Content of the members of `rows` that end in `name`, and what messages call each."""
        places = self._need(name)[rows].tolist()
        with open(self.path, "rb", buffering=0) as stream:
            for row, (offset, size) in zip(rows.tolist(), places, strict=True):
                where = self._where(name, row)
                if size < 0:
                    raise DataError(f"{where}: is missing; write the shard again")
                if size > LARGEST_IMAGE:
                    raise DataError(f"{where}: has {size / 1e6:.4g} MB, which no cutout has; cut it out first")
                stream.seek(offset)
                data = stream.read(size)
                if len(data) != size:
                    raise DataError(f"{where}: ends early; fetch the shard again")
                yield data, where


def _indexed(path: Path) -> tuple[NDArray[np.bytes_], dict[str, NDArray[np.int64]]]:
    """Keys in the order of the shard; ending → place and size of each key's member, size −1 where it has none."""
    keys: dict[bytes, int] = {}
    ends = 0
    found: dict[str, list[tuple[int, int, int]]] = {}
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(
                        f"{path}: member {printable(member.name, 80)} is a link or no file; pack plain files"
                    )
                ends = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if member.offset_data + member.size > size:
                    raise DataError(f"{path}: member {printable(member.name, 80)} is torn; fetch the shard again")
                folder, _, base = member.name.rpartition("/")
                stem, dot, name = base.partition(".")
                if not dot or not stem:
                    continue
                key = (f"{folder}/{stem}" if folder else stem).encode("utf-8", "surrogateescape")
                row = keys.setdefault(key, len(keys))
                found.setdefault(name, []).append((row, member.offset_data, member.size))
                if len(found) > MOST_NAMES:
                    raise DataError(f"{path}: members have more than {MOST_NAMES} endings; name them ID.BAND.npy")
        _refuse_without_end(path, ends)
    except LensauditError:
        raise
    except tarfile.TarError as error:
        raise DataError(f"{path}: is a torn tar archive ({printable(error, 60)}); fetch the shard again") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as tar ({printable(error, 60)}); fetch the shard again") from error
    names = np.array(list(keys), dtype=bytes) if keys else np.empty(0, "S1")
    return names, {name: _places(path, names, name, entries) for name, entries in found.items()}


def _refuse_without_end(path: Path, ends: int) -> None:
    """Raise DataError where no block of zeros follows the last member: others may have been cut off."""
    with open(path, "rb") as stream:
        stream.seek(ends)
        if stream.read(_BLOCK) != bytes(_BLOCK):
            raise DataError(f"{path}: is torn: it has no end mark after its last member; fetch the shard again")


def _places(path: Path, keys: NDArray[np.bytes_], name: str, entries: list[tuple[int, int, int]]) -> NDArray[np.int64]:
    rows = np.array(entries, np.int64)
    if len(np.unique(rows[:, 0])) < len(rows):
        twice = keys[np.argmax(np.bincount(rows[:, 0]))].decode("utf-8", "replace")
        raise DataError(f"{path}: member {printable(twice, 80)}.{printable(name, 60)} is there twice; write it again")
    places = np.full((len(keys), 2), -1, np.int64)
    places[rows[:, 0]] = rows[:, 1:]
    return places


def webdataset_adapter(files: Sequence[Path], images: Sequence[str]) -> list[Adapter]:
    """An adapter for each shard."""
    if not all(images):
        raise UsageError(f"{files[0]}: images is not given; name the ending of the members, or one for each band")
    return [Shard(file, images) for file in files]
