"""What both Bologna Lens Factory challenges share: one file per band, named ``image<BAND>-<ID>.fits``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.files import sha256
from lensaudit.lensset.header import CatalogueColumn
from lensaudit.lensset.ingest.plan import Plate
from lensaudit.lensset.ingest.table import read_table

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
    return {band: Plate(files[band]) for band in bands if band in files}


def read_catalogue(path: Path | None) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The challenge catalogue (or none) and its hash as an input."""
    return ({}, {}) if path is None else (read_table(path), {path.name: sha256(path)})


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
