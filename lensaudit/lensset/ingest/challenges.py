"""The Bologna Lens Factory challenges 1 and 2 (Metcalf et al. 2019): one file per band and system."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, NoSuchFile, UsageError
from lensaudit.files import sha256
from lensaudit.lensset.header import CatalogueColumn
from lensaudit.lensset.ingest.plan import LABEL, UNKNOWN, PixelPolicy, Plan, label_rule
from lensaudit.lensset.ingest.systems import FilePlaces, PlacesByKind, Systems, as_columns
from lensaudit.tables import read_table
from lensaudit.untrusted import printable

_OURS = re.compile(
    r"(n_(nan|masked|no_rms)|zero_point_mag|psf_(sum|offset|side)|electrons_per_unit)_.*|id|label", re.IGNORECASE
)
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
        raise NoSuchFile(f"{root}: no such folder; give the folder that holds the images")
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


def chosen_bands(requested: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """The requested bands, or all of the layout's."""
    for band in requested:
        if band not in there:
            raise UsageError(f"--bands: '{band}' is not one of {', '.join(there)}")
    return tuple(requested) or tuple(there)


def systems_of(
    found: Found, bands: Iterable[str], rows: Iterable[Mapping[str, Any]], columns: Sequence[CatalogueColumn]
) -> Systems:
    """The systems `found`, in the order of their ids, with their `rows`; a missing band is reported on reading."""
    names = sorted(found)
    places = {band: FilePlaces(files=tuple(str(found[name].get(band, "")) for name in names)) for band in bands}
    return Systems(names, as_columns(rows, columns), PlacesByKind(places))


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
    """Catalogue columns kept beside the label; `known` gives unit and description of those we know."""
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


MASKED_VALUE = 100.0
_PATTERN = re.compile(r"image(?P<band>EUC_VIS|SDSS_[RIGU])-(?P<id>\d+)\.fits(\.gz)?")
_SPACE = {"EUC_VIS": "VIS"}
_GROUND = {"SDSS_R": "R", "SDSS_I": "I", "SDSS_G": "G", "SDSS_U": "U"}
_FOLDERS = {"lens": 1, "lenses": 1, "nolens": 0, "nolenses": 0, "non-lens": 0, "nonlens": 0}
_KNOWN = {
    "theta_e_arcsec": ("arcsec", "Einstein radius from the catalogue's Einstein area"),
    "n_arc_pixels": ("pixel", "pixels of the lensed image (numb_pix_lensed_image)"),
    "flux_lensed_image_in_sigma": ("", "flux of the lensed image in units of the noise"),
}


def plan_blf1(
    root: Path, *, catalogue: Path | None = None, bands: Sequence[str] = (), policy: PixelPolicy | None = None
) -> Plan:
    """Plan the ingest of a challenge-1 folder.

    Parameters
    ----------
    root
        Folder with the space or the ground images, searched downwards; labels are read from folder names below it
        and from its own.
    catalogue
        ``ID, is_lens, Einstein_area, numb_pix_lensed_image, flux_lensed_image_in_sigma``.
    bands
        A choice among VIS, or R, I, G, U; all by default.
    policy
        Bad-pixel policy, crop and scales; the masked value 100 of ground images is added.
    """
    policy = policy or PixelPolicy()
    found = find_images(root, _PATTERN, _SPACE | _GROUND)
    space = _is_space(root, found)
    table, inputs = read_catalogue(catalogue, found)
    chosen = chosen_bands(bands, ("VIS",) if space else ("R", "I", "G", "U"))
    facts, notes = compared(found, table, catalogue)
    carried = tuple(_KNOWN) if table else ()
    scale = 0.1 if space else 0.2
    masked = policy.masked_values if space else (MASKED_VALUE, *policy.masked_values)
    policy = replace(policy, known_scale=dict.fromkeys(chosen, scale), masked_values=masked)
    columns = (LABEL, *numeric_columns(carried, _KNOWN))
    rows = (_row(root, name, found[name], table, carried) for name in sorted(found))
    return Plan(
        layout="blf1",
        instrument="euclid" if space else "kids",
        bands=chosen,
        systems=systems_of(found, chosen, rows, columns),
        columns=columns,
        policy=policy,
        unit="challenge flux unit",
        root=root,
        source={"challenge": "1 space" if space else "1 ground", **facts},
        notes=tuple(notes),
        inputs=inputs,
    )


def _is_space(root: Path, found: Found) -> bool:
    kinds = {"VIS" in files for files in found.values()}
    if not kinds:
        raise UsageError(f"{root}: no imageEUC_VIS-ID.fits or imageSDSS_R-ID.fits below it; check the path")
    if len(kinds) > 1:
        raise UsageError(f"{root}: holds both space and ground images; ingest its space and ground folders one by one")
    return kinds.pop()


def _row(
    root: Path, name: str, files: Mapping[str, Path], table: Mapping[str, Mapping[str, float]], carried: Sequence[str]
) -> dict[str, Any]:
    listed = table.get(name)
    row: dict[str, Any] = {"label": _label(root, name, files, listed)}
    if carried:
        values = {key.lower(): value for key, value in (listed or {}).items()}
        row["theta_e_arcsec"] = theta_e_arcsec(values.get("einstein_area", math.nan))
        row["n_arc_pixels"] = values.get("numb_pix_lensed_image", math.nan)
        row["flux_lensed_image_in_sigma"] = values.get("flux_lensed_image_in_sigma", math.nan)
    return row


def _label(root: Path, name: str, files: Mapping[str, Path], listed: Mapping[str, float] | None) -> int:
    labels = {
        _FOLDERS[part.lower()] for path in files.values() for part in _parts(root, path) if part.lower() in _FOLDERS
    }
    if listed is not None:
        if "is_lens" not in listed or listed["is_lens"] not in (0, 1):
            raise DataError(f"catalogue: id {name}: is_lens must be 0 or 1, not {listed.get('is_lens', 'missing')}")
        labels.add(int(listed["is_lens"]))
    if len(labels) > 1:
        raise DataError(f"{root}: id {name} is a lens by one of its folders or catalogue and none by another; fix it")
    return labels.pop() if labels else -1


def _parts(root: Path, path: Path) -> tuple[str, ...]:
    return (root.resolve().name, *path.relative_to(root).parts[:-1])


BANDS = ("VIS", "J", "Y", "H")
_BLF2_NAME = re.compile(r"imageEUC_(?P<band>VIS|J|Y|H)-(?P<id>\d+)\.fits(\.gz)?")
_SCALES = {"VIS": 0.1, "J": 0.3, "Y": 0.3, "H": 0.3}
_BLF2_COLUMNS = {
    "theta_e_arcsec": ("arcsec", "Einstein radius, square root of ein_area over pi"),
    "magnification": ("", "effective magnification of the source (mag_eff)"),
    "ein_area": ("sr", "area of the largest critical curve"),
    "mag_eff": ("", "effective magnification of the source"),
    "n_source_im": ("", "number of images of the source"),
    "n_sources": ("", "number of sources"),
    "n_pix_source": ("pixel", "pixels of the source above the noise threshold"),
    "n_pix_lens": ("pixel", "pixels of the lens above the noise threshold"),
    "z_lens": ("", "redshift of the lens"),
    "z_source": ("", "redshift of the source"),
    "mag_lens": ("mag", "magnitude of the lens"),
    "mag_source": ("mag", "magnitude of the source"),
}


def plan_blf2(
    root: Path,
    *,
    catalogue: Path | None = None,
    rule: str = "wilde",
    bands: Sequence[str] = (),
    policy: PixelPolicy | None = None,
) -> Plan:
    """Plan the ingest of a challenge-2 folder.

    Parameters
    ----------
    root
        Folder searched downwards for images.
    catalogue
        The challenge's log of lens properties; without it all systems are unlabelled.
    rule
        Name of the label rule: ``wilde`` or ``challenge`` (see `labels`).
    bands
        A choice among VIS, J, Y, H; all by default.
    """
    rated = label_rule(rule)
    found = find_images(root, _BLF2_NAME, {band: band for band in BANDS})
    if not found:
        raise UsageError(f"{root}: no imageEUC_VIS-ID.fits (or J, Y, H) below it; check the path")
    chosen = chosen_bands(bands, BANDS)
    table, inputs = read_catalogue(catalogue, found, _BLF2_COLUMNS)
    facts, notes = compared(found, table, catalogue)
    if catalogue is None:
        notes = ["no --catalogue given: all systems are unlabelled"]
    carried = _carried(table)
    columns = (LABEL, *numeric_columns(carried, _BLF2_COLUMNS))
    rows = (_row_of_challenge_2(table.get(name), carried, rated) for name in sorted(found))
    return Plan(
        layout="blf2",
        instrument="euclid",
        bands=chosen,
        systems=systems_of(found, chosen, rows, columns),
        columns=columns,
        policy=replace(policy or PixelPolicy(), known_scale=_SCALES),
        unit="challenge flux unit",
        root=root,
        source={"challenge": "2", "label_rule": rule if table else None, **facts},
        notes=tuple(notes),
        inputs=inputs,
    )


def _carried(table: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    first = next(iter(table.values()), {})
    derived = [
        name for name, origin in (("theta_e_arcsec", "ein_area"), ("magnification", "mag_eff")) if origin in first
    ]
    return (*derived, *(name for name in first if name not in derived))


def _row_of_challenge_2(
    listed: Mapping[str, float] | None, carried: Sequence[str], rated: Callable[[Mapping[str, float]], int]
) -> dict[str, Any]:
    values = dict(listed or {})
    if listed is not None:
        values["theta_e_arcsec"] = theta_e_arcsec(values.get("ein_area", math.nan))
        values["magnification"] = values.get("mag_eff", math.nan)
    label = UNKNOWN if listed is None else rated(listed)
    return {"label": label} | {name: values.get(name, math.nan) for name in carried}
