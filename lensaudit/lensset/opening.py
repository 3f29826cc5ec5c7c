"""One way to open cutouts: a lens set."""

from __future__ import annotations

from pathlib import Path

from lensaudit.lensset.cutouts import Cutouts
from lensaudit.lensset.store import LensSet


def open_cutouts(path: Path | str) -> Cutouts:
    """Open the cutouts at `path`: a lens set's folder.

    Raises
    ------
    UsageError
        There is no such path.
    DataError
        It is unfinished, damaged, or neither.
    """
    return LensSet.open(path)
