"""Euclid Q1 multi-extension cutouts: an empty primary HDU, then image, PSF and RMS of each band.

Images are called ``VIS_FLUX`` or ``VIS_BGSUB``, ``NIR_Y_FLUX`` or ``NIR_Y_BGSUB`` and so on; NIR is already resampled
to 0.1″. PSF and RMS stay in the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.ingest.challenges import chosen_bands
from lensaudit.lensset.ingest.external import external_rows
from lensaudit.lensset.ingest.plan import PixelPolicy, Plan, Plate, System
from lensaudit.untrusted import regular_size

SIZE_ARCSEC = 20.0
"""Default crop: the central 200×200 pixels at 0.1″, the field the published Euclid finders were trained on."""

BANDS = ("VIS", "J", "Y", "H")
_EXTENSIONS: dict[str, tuple[str | int, ...]] = {
    "VIS": ("VIS_FLUX", "VIS_BGSUB"),
    "J": ("NIR_J_FLUX", "NIR_J_BGSUB"),
    "Y": ("NIR_Y_FLUX", "NIR_Y_BGSUB"),
    "H": ("NIR_H_FLUX", "NIR_H_BGSUB"),
}


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
    chosen = chosen_bands(bands, BANDS)
    rows = external_rows([_name(file) for file in files], label, catalogue)
    systems = tuple(
        System(_name(file), {band: Plate(str(file), _EXTENSIONS[band]) for band in chosen}, rows.values[_name(file)])
        for file in files
    )
    return Plan(
        layout="euclid-q1",
        instrument="euclid",
        bands=chosen,
        systems=systems,
        columns=rows.columns,
        policy=policy if policy.size_arcsec or policy.size_pixels else replace(policy, size_arcsec=SIZE_ARCSEC),
        unit="flux unit of the archive (see zero_point_mag)",
        root=path if path.is_dir() else path.parent,
        source={"release": "Euclid Q1", **rows.facts},
        notes=rows.notes,
        inputs=rows.inputs,
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        regular_size(path)  # says what is there instead: nothing, a pipe, a device
    files = sorted(f for f in path.iterdir() if f.name.endswith((".fits", ".fits.gz")))
    if not files:
        raise UsageError(f"{path}: holds no .fits file; check the path")
    names = [_name(file) for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise DataError(f"{path}: {twice} is there as .fits and .fits.gz; remove one of them")
    return files


def _name(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".fits")
