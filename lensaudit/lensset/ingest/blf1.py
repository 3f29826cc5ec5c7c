"""Bologna Lens Factory challenge 1: Euclid-like VIS alone, or KiDS-like R, I, G, U (Metcalf et al. 2019).

Space: ``imageEUC_VIS-<ID>.fits``, 101×101 at 0.1″, physical units near 1e-12.
Ground: ``imageSDSS_<R|I|G|U>-<ID>.fits``, 101×101 at 0.2″, where masked pixels hold the value 100.
Labels come from folders called ``lens`` and ``nolens``, from the challenge's catalogue (``is_lens``), or from
both, which must then agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest.blf import (
    Found,
    chosen_bands,
    compared,
    find_images,
    numeric_columns,
    plates_of,
    read_catalogue,
    theta_e_arcsec,
)
from lensaudit.lensset.ingest.plan import LABEL, PixelPolicy, Plan, System

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
    systems = tuple(
        System(name, plates_of(found[name], chosen), _row(root, name, found[name], table, carried))
        for name in sorted(found)
    )
    return Plan(
        layout="blf1",
        instrument="euclid" if space else "kids",
        bands=chosen,
        systems=systems,
        columns=(LABEL, *numeric_columns(carried, _KNOWN)),
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
    said = {
        _FOLDERS[part.lower()] for path in files.values() for part in _parts(root, path) if part.lower() in _FOLDERS
    }
    if listed is not None:
        if "is_lens" not in listed or listed["is_lens"] not in (0, 1):
            raise DataError(f"catalogue: id {name}: is_lens must be 0 or 1, not {listed.get('is_lens', 'missing')}")
        said.add(int(listed["is_lens"]))
    if len(said) > 1:
        raise DataError(f"{root}: id {name} is a lens by one of its folders or catalogue and none by another; mend it")
    return said.pop() if said else -1


def _parts(root: Path, path: Path) -> tuple[str, ...]:
    return (root.resolve().name, *path.relative_to(root).parts[:-1])
