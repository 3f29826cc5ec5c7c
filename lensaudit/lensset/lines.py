"""Random access to the lines of a JSON-lines file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lensaudit.errors import DataError


class LineFile:
    """Line `i` of a text file, found by an index of line starts built once.

    Raises
    ------
    DataError
        The file is missing or has another number of lines than `n`.
    """

    def __init__(self, path: Path, n: int) -> None:
        self._path = path
        try:
            with open(path, "rb") as stream:
                lengths = np.fromiter((len(line) for line in stream), np.int64)
        except FileNotFoundError as error:
            raise DataError(f"{path}: is missing; make the set again") from error
        if len(lengths) != n:
            raise DataError(f"{path}: has {len(lengths)} lines, {n} are needed; make the set again")
        self._starts = np.concatenate([[0], np.cumsum(lengths)])

    def __getitem__(self, i: int) -> str:
        with open(self._path, "rb") as stream:
            stream.seek(int(self._starts[i]))
            return stream.read(int(self._starts[i + 1] - self._starts[i])).decode()
