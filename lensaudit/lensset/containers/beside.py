"""What lies beside a container: arrays of ids or labels in ``.npy`` files, and a catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError
from lensaudit.lensset.containers.adapter import Rows
from lensaudit.lensset.containers.declaration import ContainerFile, within
from lensaudit.lensset.containers.numpy_files import npy_array
from lensaudit.tables import Table, read_table, same_id
from lensaudit.untrusted import printable


class Beside:
    """Values of images that are not in the container itself.

    Attributes
    ----------
    by_id
        Whether rows of the catalogue belong to images by id, and not by their order.
    """

    def __init__(self, yaml: Path, told: ContainerFile, n: int, own_ids: bool) -> None:
        self._yaml, self._n = yaml, n
        named = [name for name in (told.ids, told.labels, *told.columns) if name is not None]
        self._arrays = {name: npy_array(within(yaml, name, "ids or labels")) for name in named if name.endswith(".npy")}
        for name, array in self._arrays.items():
            if array.shape != (n,):
                raise DataError(f"{array.where}: has shape {array.shape}, {n} values are needed; correct {name}")
        self.path = None if told.catalogue is None else within(yaml, told.catalogue, "catalogue")
        self.by_id = self.path is not None and own_ids
        self._ids, self._named = told.ids, frozenset(named)

    @property
    def files(self) -> list[Path]:
        """The files it reads."""
        return [*(array.path for array in self._arrays.values()), *([] if self.path is None else [self.path])]

    def has(self, name: str) -> bool:
        """Whether `name` is here, and not in the container."""
        return name in self._arrays or (self.path is not None and name in self._named)

    def values(self, name: str, rows: Rows, ids: Callable[[Rows], list[str] | None]) -> Sequence[Any]:
        """Values (m) of the images `rows`, whose ids in the container are ``ids(rows)``."""
        if name in self._arrays:
            return self._arrays[name].read(rows).tolist()
        column = self._table.need(name)
        numbers, words = column.parsed
        places = self._places(rows, ids)
        return [column.text[place] for place in places] if words or not column.exact else numbers[places].tolist()

    def _places(self, rows: Rows, ids: Callable[[Rows], list[str] | None]) -> list[int]:
        if not self.by_id:
            if len(self._table) != self._n:
                raise DataError(f"{self.path}: has {len(self._table)} rows for {self._n} images; give one for each")
            return rows.tolist()
        names = ids(rows)
        assert names is not None, "the container has ids"
        known = self._known
        places = []
        for name in names:
            place = known.get(name, known.get(self._same(name), -1))
            if place < 0:
                raise DataError(f"{self.path}: has no row for image {printable(name, 60)}; add it")
            places.append(place)
        return places

    @cached_property
    def _table(self) -> Table:
        assert self.path is not None
        return read_table(self.path, "a catalogue")

    @cached_property
    def _known(self) -> dict[str, int]:
        column = self._table.need(*([self._ids] if self._ids else ["id", "name"]))
        known: dict[str, int] = {}
        for row, name in enumerate(column.text):
            if name in known:
                raise DataError(f"{self._table.where(row)}: id {printable(name, 60)} is there twice; keep one of them")
            known[name] = row
        return known

    @cached_property
    def _same(self) -> Callable[[str], str]:
        return same_id(self._known)
