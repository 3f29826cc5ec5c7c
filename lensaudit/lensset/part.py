"""Some systems of a lens set, as a set of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.lensset.lines import LineFile
from lensaudit.lensset.store import Index, LensSet


class Part(LensSet):
    """The systems `rows` of `whole`, in that order; nothing is copied.

    Its content hash is of the whole's hash and the rows. It names no seed, as parts of one set share no systems unless
    their rows do.

    Parameters
    ----------
    rows
        Positions in `whole` (m,).
    """

    def __init__(self, whole: LensSet, rows: NDArray[np.integer[Any]]) -> None:
        self.rows = np.asarray(rows, dtype=np.intp)
        self._whole = whole
        self.path, self._header, self._arrays = whole.path, whole._header, whole._arrays  # checked when it was opened

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def header(self) -> dict[str, Any]:
        """As the whole's, with this number of systems and no seed."""
        return {**super().header, "n": len(self), "seed": None, "content_hash": self.content_hash}

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the whole's content hash and the rows."""
        words = f"{self._whole.content_hash}\n{','.join(map(str, self.rows))}"
        return hashlib.sha256(words.encode()).hexdigest()

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (m,)."""
        return self._whole.column(name)[self.rows]

    def verify(self, seen: Callable[[int, Mapping[str, NDArray[np.float32]]], None] | None = None) -> None:
        """Verify the whole set."""
        self._whole.verify(seen)

    @property
    def _scenes(self) -> LineFile:
        return self._whole._scenes

    @property
    def _wcs(self) -> LineFile:
        return self._whole._wcs

    def _indices(self, index: Index) -> NDArray[np.intp]:
        return self.rows[super()._indices(index)]
