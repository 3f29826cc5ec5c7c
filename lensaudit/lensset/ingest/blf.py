"""What both Bologna Lens Factory challenges share: one file per band, named ``image<BAND>-<ID>.fits``."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.files import sha256
from lensaudit.lensset.header import CatalogueColumn
from lensaudit.lensset.ingest.plan import Plate
from lensaudit.tables import read_table
from lensaudit.untrusted import printable

_OURS = re.compile(r"(n_(nan|masked)|zero_point_mag)_.*|id|label", re.IGNORECASE)
"""Columns that ingest writes itself."""
ARCSEC_PER_RADIAN = 180 * 3600 / math.pi

Found = dict[str, dict[str, Path]]
"""Id → band → file."""

SHOWN_IDS = 20
"""Ids named in a printed note; the header holds all of them."""


def find_images(root: Path, pattern: re.Pattern[str], bands: Mapping[str, str]) -> Found:
    """Files below `root` whose name matches `pattern` (groups ``band`` and ``id``), by id.

    Parameters
    ----------
    bands
        Band as the files name it → our name; other bands are passed over.

    Raises
    ------
    UsageError
        `root` is no folder.
    DataError
        Two files claim the same id and band.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give the folder that holds the images")
    found: Found = {}
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        for name in sorted(names):
            match = pattern.fullmatch(name)
            if match is None or match["band"] not in bands:
                continue
            plates, band = found.setdefault(match["id"], {}), bands[match["band"]]
            path = Path(folder, name)
            if band in plates:
                raise DataError(f"{path}: band {band} of id {match['id']} is also {plates[band]}; remove one of them")
            plates[band] = path
    return found


def chosen_bands(asked: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """The bands asked for, or all of the layout's."""
    for band in asked:
        if band not in there:
            raise UsageError(f"--bands: '{band}' is not one of {', '.join(there)}")
    return tuple(asked) or tuple(there)


def plates_of(files: Mapping[str, Path], bands: Iterable[str]) -> dict[str, Plate]:
    """One plate per band that has a file; a missing band is reported on reading."""
    return {band: Plate(str(files[band])) for band in bands if band in files}


def carried_name(name: str) -> str:
    """What a column of a catalogue is called in the set: ``catalogue_…`` where ingest writes one of its name itself."""
    plain = printable(name, 180)
    return f"catalogue_{plain}" if _OURS.fullmatch(plain) else plain


def read_catalogue(
    path: Path | None, found: Iterable[str], known: Iterable[str] = ()
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The challenge's catalogue (or none) as numbers by id, and its hash as an input.

    Parameters
    ----------
    found
        Ids of the images, whose spelling the catalogue's take where they mean the same number.
    known
        Names of columns that take this spelling, whatever their case in the file.
    """
    if path is None:
        return {}, {}
    table = read_table(path, "the challenge's catalogue")
    key = table.need("id")
    spelled = {name.casefold(): name for name in known}
    numbers = {
        spelled.get(column.name.casefold(), carried_name(column.name)): table.numbers(column).tolist()
        for column in table.columns
        if column is not key and len(column.parsed[1]) < len(table)  # a column of words alone has no meaning here
    }
    names = [name for name, times in Counter(name.casefold() for name in numbers).items() if times > 1]
    if names:
        raise DataError(f"{path}: column {printable(names[0], 60)} is there twice; keep one of them")
    ids = table.ids(key, found)
    return {name: {column: cells[row] for column, cells in numbers.items()} for row, name in enumerate(ids)}, {
        path.name: sha256(path)
    }


def theta_e_arcsec(area_steradian: float) -> float:
    """Einstein radius of a circle with this area: θ_E = √(A/π), in arcsec; NaN where there is no area."""
    return math.sqrt(area_steradian / math.pi) * ARCSEC_PER_RADIAN if area_steradian > 0 else math.nan


def numeric_columns(names: Iterable[str], known: Mapping[str, tuple[str, str]]) -> tuple[CatalogueColumn, ...]:
    """Catalogue columns carried along; `known` gives unit and description of those we know."""
    return tuple(
        CatalogueColumn(name=name, unit=unit, description=words, dtype="float64")
        for name in names
        for unit, words in [known.get(name, ("unknown", "as in the archive's catalogue"))]
    )


def compared(found: Iterable[str], catalogue: Iterable[str], path: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Ids without an image and images without a catalogue row: facts for the header, and notes to print."""
    if path is None:
        return {}, []
    there, listed = set(found), set(catalogue)
    missing, unlisted = sorted(listed - there), sorted(there - listed)
    notes = []
    if missing:
        notes.append(f"{len(missing)} catalogue ids have no image and were left out: {_names(missing)}")
    if unlisted:
        notes.append(f"{len(unlisted)} images are not in the catalogue and are unlabelled by it: {_names(unlisted)}")
    facts = {
        "catalogue": path.name,
        "ids_without_image": {"count": len(missing), "ids": missing},
        "ids_without_catalogue_row": {"count": len(unlisted), "ids": unlisted},
    }
    return facts, notes


def _names(ids: list[str]) -> str:
    shown = ", ".join(ids[:SHOWN_IDS])
    return shown if len(ids) <= SHOWN_IDS else f"{shown}, … (all in lensset.json)"
