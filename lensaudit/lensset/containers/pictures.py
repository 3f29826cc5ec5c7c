"""Folders of PNG and JPEG pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError
from lensaudit.lensset.containers.adapter import Adapter, Numbers, Rows
from lensaudit.lensset.containers.coded import LARGEST_IMAGE, decoded, stacked
from lensaudit.untrusted import path_within, printable, regular_size

ENDS = (".png", ".jpg", ".jpeg")
FOLDER = "folder"
"""As ``labels``: the name of the folder that a picture lies in is its label."""
MOST = 20_000_000


class Pictures(Adapter):
    """Every picture in a folder and those below it, in the order of their paths; the id is the path without its end.

    Links are not followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = sorted(_listed(path)) if path.is_dir() else [path.name]
        self._root = path if path.is_dir() else path.parent
        self.n = len(self._files)
        if not self.n:
            raise DataError(f"{path}: holds no PNG or JPEG picture; correct data")
        self._shape = self._image(0).shape

    @property
    def files(self) -> Sequence[Path]:
        """The pictures."""
        return [self._root / file for file in self._files]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._shape

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        images = [self._image(row) for row in rows.tolist()]
        return stacked(images, self._shape, lambda place: self._root / self._files[rows[place]])

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """The name of its folder; there is nothing else."""
        if name != FOLDER:
            raise DataError(f"{self.path}: pictures have no {printable(name, 60)}, only folder; give a catalogue")
        return [(self._root / self._files[row]).parent.name for row in rows.tolist()]

    def ids(self, rows: Rows) -> list[str]:
        """Paths without their end."""
        return [self._files[row].rpartition(".")[0] for row in rows.tolist()]

    def _image(self, row: int) -> Numbers:
        file = path_within(self._root, *self._files[row].split("/"))
        if regular_size(file) > LARGEST_IMAGE:
            raise DataError(f"{file}: is larger than any cutout; cut it out first")
        return decoded(file.read_bytes(), f"{file}")


def _listed(folder: Path) -> list[str]:
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(root, folder).replace(os.sep, "/")
        before = "" if below == "." else f"{below}/"
        found += [f"{before}{n}" for n in names if n.lower().endswith(ENDS) and not n.startswith(".")]
        if len(found) > MOST:
            raise DataError(f"{folder}: holds more than {MOST} pictures; declare parts of it apart")
    return found


def pictures_adapter(files: Sequence[Path]) -> list[Adapter]:
    """An adapter for each folder."""
    return [Pictures(file) for file in files]
