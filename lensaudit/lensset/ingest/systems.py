"""Which images belong to each system of an ingest, and its catalogue values: by columns, made into one when asked.

A survey has 100 000 systems and more: there is a name for each, and what cannot be put together from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from lensaudit.lensset.header import CatalogueColumn


@dataclass(frozen=True, slots=True)
class Plate:
    """One image inside a file: the first of `extensions` that the file has, and of a cube one plane.

    An extension is a number, a name, or a name and its version (``SCI,2``); planes count from 0. In an ``.npz`` file it
    is the name of an array, and planes count over all its leading axes.
    """

    file: str
    extensions: tuple[str | int, ...] = (0,)
    plane: int | None = None

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(self.file)


@dataclass(frozen=True, slots=True)
class System:
    """One system: where each band's image lies, its PSF and noise, and its catalogue values.

    Pixel counts are added to the values on reading.
    """

    name: str
    plates: Mapping[str, Plate]
    row: Mapping[str, Any]
    psfs: Mapping[str, Plate] = field(default_factory=dict)
    noise: Mapping[str, Plate] = field(default_factory=dict)
    masks: Mapping[str, Plate] = field(default_factory=dict)


class Places(Protocol):
    """Where the images of one kind in one band lie."""

    def plate(self, place: int, name: str) -> Plate | None:
        """That of the system at `place`, called `name`; None where it has none."""
        ...


@dataclass(frozen=True, slots=True)
class FilePlaces:
    """Images in files of their own: path `before` + name + `after`, or of each system in `files` ("": it has none)."""

    extensions: tuple[str | int, ...] = (0,)
    plane: int | None = None
    files: tuple[str, ...] = ()
    before: str = ""
    after: str = ""

    def plate(self, place: int, name: str) -> Plate | None:
        """See `Places`."""
        file = self.files[place] if self.files else f"{self.before}{name}{self.after}"
        return Plate(file, self.extensions, self.plane) if file else None


class Systems(Sequence[System]):
    """Systems by columns.

    Parameters
    ----------
    names
        Their ids.
    rows
        Catalogue column → values, in the same order.
    plates, psfs, noise, masks
        Band → where they lie.
    """

    def __init__(
        self, names: Sequence[str], rows: Mapping[str, Sequence[Any] | NDArray[Any]], places: PlacesByKind
    ) -> None:
        self.names, self.rows, self.places = names, rows, places
        self._kept: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self.names) if self._kept is None else len(self._kept)

    @overload
    def __getitem__(self, place: int) -> System: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[System, ...]: ...
    def __getitem__(self, place: int | slice) -> System | tuple[System, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        at = place % len(self) if self._kept is None else int(self._kept[place])
        name = self.names[at]
        return System(
            name,
            *(_found(getattr(self.places, kind), at, name) if kind else self._row(at) for kind in _FIELDS),
        )

    def __iter__(self) -> Iterator[System]:
        return (self[place] for place in range(len(self)))

    def _row(self, at: int) -> dict[str, Any]:
        return {
            column: values.item(at) if isinstance(values, np.ndarray) else values[at]
            for column, values in self.rows.items()
        }

    def only(self, places: Sequence[int]) -> Systems:
        """Those at `places`."""
        one = Systems(self.names, self.rows, self.places)
        one._kept = np.asarray(places, np.intp) if self._kept is None else self._kept[np.asarray(places, np.intp)]
        return one


@dataclass(frozen=True, slots=True)
class PlacesByKind:
    """Band → where its images, point-spread functions, noise maps and masks lie, of each system."""

    plates: Mapping[str, Places]
    psfs: Mapping[str, Places] = field(default_factory=dict)
    noise: Mapping[str, Places] = field(default_factory=dict)
    masks: Mapping[str, Places] = field(default_factory=dict)

    def with_copies(self, copied: Mapping[str, Sequence[str]]) -> PlacesByKind:
        """The same, where the bands that copy another one have what it has."""

        def more(places: Mapping[str, Places]) -> dict[str, Places]:
            twins = {copy: places[one] for one, copies in copied.items() if one in places for copy in copies}
            return dict(places) | twins

        return replace(
            self, plates=more(self.plates), psfs=more(self.psfs), noise=more(self.noise), masks=more(self.masks)
        )


_FIELDS = ("plates", "", "psfs", "noise", "masks")


def _found(places: Mapping[str, Places], at: int, name: str) -> dict[str, Plate]:
    there = ((band, where.plate(at, name)) for band, where in places.items())
    return {band: plate for band, plate in there if plate is not None}


def as_columns(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[CatalogueColumn]
) -> dict[str, Sequence[Any] | NDArray[Any]]:
    """Catalogue values by column: numbers as arrays, text as it is."""
    made: dict[str, list[Any]] = {column.name: [] for column in columns}
    for row in rows:
        for name, values in made.items():
            values.append(row[name])
    return {c.name: made[c.name] if c.dtype == "str" else np.array(made[c.name], c.dtype) for c in columns}


def stem(file: Path) -> str:
    """Name of a FITS file without its endings."""
    return file.name.removesuffix(".gz").removesuffix(".fits")
