"""HDF5: datasets of images, ids and labels; read in place through h5py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.lensset.containers.adapter import Adapter, Numbers, Rows, runs
from lensaudit.untrusted import other_kind, printable

LARGEST_CHUNK = 1 << 30
"""Bytes of a chunk once it is unpacked."""
_CACHE = 1 << 26


class Hdf5(Adapter):
    """One HDF5 file.

    Parameters
    ----------
    images
        Names of the datasets that hold images.
    values
        Of those that hold ids, labels and columns.
    """

    def __init__(self, path: Path, images: Sequence[str], values: Sequence[str]) -> None:
        if reason := other_kind(path, "an HDF5 file", "hdf5"):
            raise DataError(reason)
        self.path, self._file, self._cache = path, None, _CACHE
        self._known: dict[str, Any] = {}
        lengths = {name: int(self._dataset(name, least=3).shape[0]) for name in images}
        lengths |= {name: int(self._dataset(name, least=1).shape[0]) for name in values}
        self.n = next(iter(lengths.values()))
        if odd := next((name for name, length in lengths.items() if length != self.n), None):
            raise DataError(
                f"{path}: dataset {printable(odd, 60)} has {lengths[odd]} rows, {printable(images[0], 60)} "
                f"has {self.n}; correct the file"
            )
        self._shapes = {name: tuple(self._dataset(name).shape[1:]) for name in images}
        largest = max(_chunk_bytes(self._dataset(name), f"{path}: dataset {printable(name, 60)}") for name in images)
        self.close()
        self._cache = max(_CACHE, 2 * largest * (len(images) > 0))

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._shapes[name]

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        dataset = self._dataset(name)
        found = np.empty((len(rows), *self._shapes[name]), dataset.dtype)
        for first, end, row in runs(rows):
            self._tried(
                name, lambda out=found[first:end], a=row, b=row + end - first: out.__setitem__(..., dataset[a:b])
            )
        return found

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """See `Adapter`."""
        dataset = self._dataset(name, least=1)
        parts: list[Any] = []
        for first, end, row in runs(rows):
            parts += self._tried(name, lambda a=row, b=row + end - first: dataset[a:b]).tolist()
        return parts

    def bands_of(self, name: str) -> tuple[str, ...] | None:
        """Names in the attribute ``bands`` of the dataset or the file, or in the dataset ``bands`` beside it."""
        dataset = self._dataset(name)
        there = dataset.attrs.get("bands", dataset.file.attrs.get("bands"))
        if (
            there is None
            and "bands" in dataset.parent
            and dataset.parent.get("bands", getclass=True).__name__ == "Dataset"
        ):
            beside = self._dataset(f"{dataset.parent.name}/bands".lstrip("/"), least=1)
            there = self._tried(name, lambda: beside[...]) if beside.size <= 64 else None
        if there is None:
            return None
        if isinstance(there, bytes | str):
            text = there.decode("utf-8", "replace") if isinstance(there, bytes) else there
            return tuple(word.strip() for word in text.split(","))
        return tuple(one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in np.ravel(there))

    def close(self) -> None:
        """Close the file."""
        self._known.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _dataset(self, name: str, least: int = 0) -> Any:
        if name not in self._known:
            self._known[name] = self._tried(name, lambda: self._found(name, least))
        return self._known[name]

    def _found(self, name: str, least: int) -> Any:
        import h5py

        if self._file is None:
            self._file = h5py.File(self.path, "r", rdcc_nbytes=self._cache, rdcc_nslots=10_007)
        where = f"{self.path}: dataset {printable(name, 60)}"
        group = self._file
        parts = [part for part in name.split("/") if part]
        for part in parts[:-1]:
            group = _member(group, part, where)
        dataset = _member(group, parts[-1] if parts else "", where)
        if not isinstance(dataset, h5py.Dataset):
            raise DataError(f"{where}: is a group; name a dataset in it: {_there(dataset)}")
        if dataset.is_virtual or dataset.external:
            raise DataError(f"{where}: lies in other files, which are not opened; copy it into one file with h5repack")
        if dataset.dtype.hasobject and h5py.check_string_dtype(dataset.dtype) is None:
            raise DataError(f"{where}: holds lists or references, plain numbers or text are needed; write it again")
        if dataset.ndim < least or (least == 1 and dataset.ndim != 1):
            wanted = "one value for each image" if least == 1 else "images × rows × columns, perhaps with bands"
            raise DataError(f"{where}: has shape {dataset.shape}, {wanted} is needed; name another")
        return dataset

    def _tried(self, name: str, act: Any) -> Any:
        try:
            return act()
        except LensauditError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py has no exception of its own
            reason = printable(" ".join(str(error).split()), 100)
            raise DataError(
                f"{self.path}: dataset {printable(name, 60)}: is damaged ({reason}); fetch it again"
            ) from error


def _member(group: Any, name: str, where: str) -> Any:
    """The member of an open group; DataError where it is missing, or a link to another file."""
    import h5py

    link = group.get(name, getlink=True) if name and name in group.keys() else None  # noqa: SIM118
    if link is None:
        raise DataError(f"{where}: is not there; correct the name, the file has {_there(group)}")
    if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
        raise DataError(f"{where}: is a link, which is not followed; name the dataset it points to")
    return group[name]


def _there(group: Any) -> str:
    names = [name for name, _ in zip(group, range(30), strict=False)]
    return printable(", ".join(names), 300) or "nothing"


def _chunk_bytes(dataset: Any, where: str) -> int:
    size = 0 if dataset.chunks is None else int(np.prod(dataset.chunks, dtype=np.float64)) * dataset.dtype.itemsize
    if size > LARGEST_CHUNK:
        raise DataError(f"{where}: its chunks have {size / 1e9:.3g} GB, more than is read; write smaller chunks")
    return size


def hdf5_adapter(files: Sequence[Path], images: Sequence[str], values: Sequence[str]) -> list[Adapter]:
    """An adapter for each file."""
    if not all(images):
        raise UsageError(f"{files[0]}: images is not given; name the dataset, or one for each band")
    return [Hdf5(file, images, values) for file in files]
