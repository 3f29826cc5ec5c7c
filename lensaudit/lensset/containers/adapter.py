"""What a container's file gives: blocks of images by name, and values; and numbers that lie in a file in a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.untrusted import printable, regular_size

Rows = NDArray[np.intp]
Numbers = NDArray[Any]

NUMBERS = "fiub"
"""Kinds of numpy's types that images may have."""


class Adapter(ABC):
    """One file, or folder, of images.

    Attributes
    ----------
    path
        What messages call it.
    n
        Images in it.
    """

    path: Path
    n: int

    @property
    def files(self) -> Sequence[Path]:
        """The files it reads."""
        return [self.path]

    @abstractmethod
    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of one image of `name`: (rows, columns), with bands first or last where it has several."""

    @abstractmethod
    def block(self, name: str, rows: Rows) -> Numbers:
        """Images `rows`, which ascend, of `name`: (m, *shape), of any type of numbers.

        Raises
        ------
        DataError
            One line with the file, what is wrong, and the fix.
        """

    @abstractmethod
    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """Numbers or words of `name` of the images `rows` (m)."""

    def ids(self, rows: Rows) -> list[str] | None:
        """Names that the images `rows` have by themselves; None where they have none."""
        return None

    def bands_of(self, name: str) -> tuple[str, ...] | None:
        """What the file itself calls the bands of `name`, in its order; None where it does not say."""
        return None

    def close(self) -> None:  # noqa: B027  # most hold nothing open
        """Let go of the file; it is opened again when it is read."""


class Joined(Adapter):
    """Adapters that follow one another; at most one keeps its file open."""

    def __init__(self, path: Path, parts: Sequence[Adapter]) -> None:
        self.path, self.parts = path, parts
        self._begins = np.cumsum([0, *(part.n for part in parts)])
        self.n = int(self._begins[-1])
        self._last = parts[0]

    @property
    def files(self) -> Sequence[Path]:
        """Those of all parts."""
        return [file for part in self.parts for file in part.files]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """That of the first part; `block` holds the others to it."""
        return self.parts[0].shape_of(name)

    def bands_of(self, name: str) -> tuple[str, ...] | None:
        """That of the first part; DataError where another differs."""
        first = self.parts[0].bands_of(name)
        for part in self.parts[1:]:
            if (other := part.bands_of(name)) != first:
                raise DataError(
                    f"{part.path}: its bands are {_listed(other)}, those of {self.parts[0].path} {_listed(first)}; "
                    f"declare them apart"
                )
            part.close()
        return first

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        blocks, wanted = [], self.shape_of(name)
        for part, own in self._parts(rows):
            block = part.block(name, own)
            if block.shape[1:] != wanted:
                raise DataError(
                    f"{part.path}: {printable(name, 60) or 'it'} has images of shape {block.shape[1:]}, those of "
                    f"{self.parts[0].path} have {wanted}; declare them apart"
                )
            blocks.append(block)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """See `Adapter`."""
        return [value for part, own in self._parts(rows) for value in part.values(name, own)]

    def ids(self, rows: Rows) -> list[str] | None:
        """See `Adapter`."""
        names: list[str] = []
        for part, own in self._parts(rows):
            found = part.ids(own)
            if found is None:
                return None
            names += found
        return names

    def close(self) -> None:
        """Close the one that is open."""
        self._last.close()

    def _parts(self, rows: Rows) -> Iterator[tuple[Adapter, Rows]]:
        places = np.searchsorted(self._begins, rows, side="right") - 1
        for first, end in pairwise([0, *(np.flatnonzero(np.diff(places)) + 1).tolist(), len(rows)]):
            if first == end:
                continue
            part = self.parts[int(places[first])]
            if part is not self._last:
                self._last.close()
                self._last = part
            yield part, rows[first:end] - self._begins[places[first]]


def _listed(bands: tuple[str, ...] | None) -> str:
    return "not named" if bands is None else printable(", ".join(bands), 100)


def runs(rows: Rows) -> Iterator[tuple[int, int, int]]:
    """Stretches of `rows` that follow one another: (first, end) among them, and the row that the first one is."""
    for first, end in pairwise([0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]):
        if first < end:
            yield first, end, int(rows[first])


def refuse_other_numbers(dtype: np.dtype[Any], where: str) -> None:
    """Raise DataError where images are of a type that holds no plain numbers."""
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects (a pickle), which are not read; save plain arrays")
    if dtype.kind not in NUMBERS:
        raise DataError(f"{where}: holds {printable(dtype, 40)}, images are real numbers; name another or convert it")


@dataclass(frozen=True)
class FlatArray:
    """An array that lies in a file row after row, read from its place: nothing is held, and nothing mapped.

    Attributes
    ----------
    offset
        Byte of its first number.
    dtype
        Of its numbers, or of its rows where they are records.
    where
        Begins messages.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    where: str

    def __post_init__(self) -> None:
        if self.dtype.hasobject:
            raise DataError(f"{self.where}: holds Python objects (a pickle), which are not read; save plain arrays")
        ends, size = self.offset + prod(self.shape) * self.dtype.itemsize, regular_size(self.path)
        if ends > size:
            raise DataError(f"{self.where}: is truncated: it ends at byte {ends}, the file at {size}; fetch it again")

    def read(self, rows: Rows) -> Numbers:
        """Its rows `rows`: (m, *shape[1:])."""
        inner = self.shape[1:]
        each = prod(inner)
        found = np.empty((len(rows), *inner), self.dtype)
        try:
            with open(self.path, "rb", buffering=0) as stream:
                for first, end, row in runs(rows):
                    stream.seek(self.offset + row * each * self.dtype.itemsize)
                    view = found[first:end].view(np.uint8).reshape(-1).data if found.size else memoryview(b"")
                    while view:
                        if not (got := stream.readinto(view)):
                            raise DataError(f"{self.where}: ends early; fetch it again")
                        view = view[got:]
        except OSError as error:
            raise DataError(f"{self.where}: cannot be read ({error.strerror}); fetch it again") from error
        return found
