"""Known lenses that a table names by id or position, found among the images of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.lensset import LensSet
from lensaudit.lensset.part import COLUMNS, Part, sky_positions
from lensaudit.tables import Table, read_table
from lensaudit.untrusted import printable

MATCH_ARCSEC = 1.0
"""Positions no farther apart are of one system."""

GRADE_COLUMNS = ("grade", "grades")


class Listed(Part):
    """Systems of a set that a table names as known lenses, whatever their label there, with the table's grades.

    Parameters
    ----------
    grades
        Of each system (m,); None where the table has none, and the set's own count.
    absent
        Systems of the table that are in no set.
    """

    def __init__(
        self, whole: LensSet, rows: NDArray[np.intp], table: Path, grades: list[str] | None, absent: int
    ) -> None:
        super().__init__(whole, rows)
        self.table, self.absent, self._grades = table, absent, grades

    @property
    def labels(self) -> NDArray[np.int8]:
        """Lenses all."""
        return np.ones(len(self), dtype=np.int8)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the set's catalogue, and the table's grade."""
        own = tuple(super().columns)
        if self._grades is None:
            return own
        return (GRADE_COLUMNS[0], *(name for name in own if name.lower() not in GRADE_COLUMNS))

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (m,)."""
        if self._grades is not None and name == GRADE_COLUMNS[0]:
            return np.array(self._grades, dtype=object)
        return super().column(name)


@dataclass(frozen=True)
class _Found:
    """Of each system of the table its row in a set, −1 for none (n,)."""

    lens_set: LensSet
    rows: NDArray[np.intp]


def listed(path: Path, sets: Sequence[LensSet]) -> list[Listed]:
    """The systems of `sets` that a table names, each in the first set that has it; one part for each set that has any.

    Raises
    ------
    DataError
        The table has neither ids nor positions, one cannot be read, or none is of a system of the sets.
    """
    table = read_table(path, "a table of known lenses")
    found = [_Found(one, _matched(table, one)) for one in sets]
    taken = np.zeros(len(table), dtype=bool)
    parts: list[tuple[LensSet, NDArray[np.intp]]] = []
    for one in found:
        here = (one.rows >= 0) & ~taken
        taken |= here
        if here.any():
            parts.append((one.lens_set, np.flatnonzero(here)))
    if not parts:
        names = " or ".join(str(one.path) for one in sets)
        raise DataError(f"{path}: none of its {len(table)} known lenses is in {names}; give a table of systems there")
    grade = table.find(*GRADE_COLUMNS)
    rows_of = {id(one.lens_set): one.rows for one in found}
    absent = int((~taken).sum())
    return [
        Listed(
            lens_set,
            rows_of[id(lens_set)][chosen],
            path,
            None if grade is None else [grade.text[k] for k in chosen],
            absent if number == 0 else 0,
        )
        for number, (lens_set, chosen) in enumerate(parts)
    ]


def _matched(table: Table, lens_set: LensSet) -> NDArray[np.intp]:
    """Of each row of the table its system in the set, −1 for none."""
    ids = table.find("id")
    if ids is not None:
        place = {name: row for row, name in enumerate(lens_set.ids)}
        return np.array([place.get(name, -1) for name in table.ids(ids, place)], dtype=np.intp)
    for names in COLUMNS:
        ra, dec = (table.find(name) for name in names)
        if ra is not None and dec is not None:
            return _nearest(table.numbers(ra), table.numbers(dec), lens_set)
    there = printable(", ".join(table.names), 200) or "none"
    raise DataError(f"{table.path}: needs a column id, or ra and dec in degrees; the columns are {there}")


def _nearest(ra: NDArray[np.float64], dec: NDArray[np.float64], lens_set: LensSet) -> NDArray[np.intp]:
    """Nearest system of each position, −1 where there is none within `MATCH_ARCSEC`; each system once."""
    from scipy.spatial import KDTree

    sky = sky_positions(lens_set)
    rows = np.full(len(ra), -1, dtype=np.intp)
    if sky is None:
        return rows
    there = np.flatnonzero(np.isfinite(sky[0]) & np.isfinite(sky[1]))
    asked = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if not there.size or not asked.size:
        return rows
    chord = 2 * np.sin(np.radians(MATCH_ARCSEC / 3600) / 2)
    distance, nearest = KDTree(_vectors(sky[0][there], sky[1][there])).query(_vectors(ra[asked], dec[asked]))
    for k in np.argsort(distance, kind="stable"):
        row = there[nearest[k]]
        if distance[k] <= chord and row not in rows:
            rows[asked[k]] = row
    return rows


def _vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors (n, 3) of positions in degrees."""
    alpha, delta = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], axis=1)
