"""Euclid Q1's cutouts: all bands in one multi-extension FITS file, with their noise and point-spread functions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lensaudit.errors import DataError, UsageError
from lensaudit.fits_input import open_fits
from lensaudit.lensset.ingest.challenges import chosen_bands
from lensaudit.lensset.ingest.external import external_rows
from lensaudit.lensset.ingest.plan import Beside, PixelPolicy, Plan
from lensaudit.lensset.ingest.systems import FilePlaces, PlacesByKind, Systems, stem
from lensaudit.untrusted import regular_size

SIZE_ARCSEC = 20.0
"""Default crop: the central 200×200 pixels at 0.1″, the field the published Euclid finders were trained on."""

BANDS = ("VIS", "J", "Y", "H")
_PREFIX = {"VIS": "VIS", "J": "NIR_J", "Y": "NIR_Y", "H": "NIR_H"}
_EXTENSIONS = {band: (f"{name}_FLUX", f"{name}_BGSUB") for band, name in _PREFIX.items()}


def plan_euclid_q1(
    path: Path,
    *,
    label: str = "unknown",
    catalogue: Path | None = None,
    bands: Sequence[str] = (),
    policy: PixelPolicy | None = None,
) -> Plan:
    """Plan the ingest of Q1 cutouts.

    Parameters
    ----------
    path
        One FITS file, or a folder of them; a system's id is its file's name.
    label, catalogue
        See `external_rows`.
    policy
        Without a size, 20″ are kept.
    """
    policy = policy or PixelPolicy()
    files = _files(path)
    names = [stem(file) for file in files]
    chosen = chosen_bands(bands, BANDS)
    rows = external_rows(names, label, catalogue)
    there = set() if policy.images_only else _extensions_of(files)
    psfs = [band for band in chosen if f"{_PREFIX[band]}_PSF" in there]
    noise = [band for band in chosen if f"{_PREFIX[band]}_RMS" in there]

    def places(kind: str, kept: Sequence[str]) -> dict[str, FilePlaces]:
        whole = FilePlaces(files=tuple(str(file) for file in files)) if path.is_file() else _folder_places(path, files)
        return {band: replace(whole, extensions=(f"{_PREFIX[band]}_{kind}",)) for band in kept}

    images = {band: replace(one, extensions=_EXTENSIONS[band]) for band, one in places("FLUX", chosen).items()}
    return Plan(
        layout="euclid-q1",
        instrument="euclid",
        bands=chosen,
        systems=Systems(names, rows.values, PlacesByKind(images, places("PSF", psfs), places("RMS", noise))),
        columns=rows.columns,
        policy=policy if policy.size_arcsec or policy.size_pixels else replace(policy, size_arcsec=SIZE_ARCSEC),
        unit="flux unit of the archive (see zero_point_mag)",
        root=path if path.is_dir() else path.parent,
        source={"release": "Euclid Q1", **rows.facts},
        beside=Beside(dict.fromkeys(noise, "rms"), tuple(psfs), filters={band: f"Euclid-{band}" for band in chosen}),
        notes=rows.notes,
        inputs=rows.inputs,
    )


def _extensions_of(files: Sequence[Path]) -> set[str]:
    """Names of the extensions of the first of `files` that can be read; the others must have the same."""
    for file in files:
        with suppress(DataError, UsageError), open_fits(file) as hdus:
            return {str(hdu.name).upper() for hdu in hdus}
    return set()


def _folder_places(path: Path, files: Sequence[Path]) -> FilePlaces:
    """Where `files` of a folder lie: by their names, where all have the same ending."""
    if all(file.name.endswith(".fits") for file in files):
        return FilePlaces(before=f"{path}{os.sep}", after=".fits")
    return FilePlaces(files=tuple(str(file) for file in files))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        regular_size(path)  # says what is there instead: nothing, a pipe, a device
    files = sorted(f for f in path.iterdir() if f.name.endswith((".fits", ".fits.gz")))
    if not files:
        raise UsageError(f"{path}: holds no .fits file; check the path")
    twice, times = Counter(stem(file) for file in files).most_common(1)[0]
    if times > 1:
        raise DataError(f"{path}: {twice} is there as .fits and .fits.gz; remove one of them")
    return files
