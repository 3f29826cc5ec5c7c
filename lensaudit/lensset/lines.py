"""Random access to the lines of a JSON-lines file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.documents import json_of
from lensaudit.errors import DataError
from lensaudit.untrusted import regular_size

LONGEST_LINE = 16 << 20
"""Bytes; a scene of hundreds of galaxies has some 100 kB."""
MEND = "make the set again"


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
            raise DataError(f"{path}: is missing; {MEND}")
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
            raise DataError(f"{path}: has {len(self._starts) - 1} lines, {n} are needed; {MEND}")
        if sha256 not in (None, digest.hexdigest()):
            raise DataError(f"{path}: was changed after the set was made; {MEND}, or restore the file")

    def __getitem__(self, i: int) -> Any:
        """The JSON value of line `i`, counted from 0."""
        first, last = int(self._starts[i]), int(self._starts[i + 1])
        if last - first > LONGEST_LINE:
            raise DataError(f"{self.where(i)}: is longer than {LONGEST_LINE >> 20} MB; {MEND}")
        with open(self._path, "rb") as stream:
            stream.seek(first)
            return json_of(stream.read(last - first), self.where(i), MEND)

    def where(self, i: int) -> str:
        """How a message names line `i`."""
        return f"{self._path}: line {i + 1}"
