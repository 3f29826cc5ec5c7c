"""Reading one image out of an open FITS file; whatever is wrong with it becomes one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.fits_input import pixels_of
from lensaudit.lensset.coordinates import Sky, header_sky
from lensaudit.lensset.ingest.plan import Plate
from lensaudit.lensset.ingest.zero_points import ZeroPoint, zero_point_of
from lensaudit.untrusted import printable


@dataclass(frozen=True)
class Image:
    """A 2-D image in native byte order, float32, with what its header says about sky and flux."""

    pixels: NDArray[np.float32]
    sky: Sky
    zero_point: ZeroPoint | None


def read_image(hdus: fits.HDUList, plate: Plate, band: str, *, zero_point: bool = True) -> Image:
    """The image of `band` in an open file.

    Parameters
    ----------
    zero_point
        Whether the header's zero point is read; where the user gave one, it is not looked at.

    Raises
    ------
    DataError
        No such extension or plane, or it holds no 2-D image, or the data or the zero point are damaged.
    """
    hdu, name = _extension(hdus, plate, band)
    where = f"{plate.path}: band {band}: extension {name}"
    pixels = pixels_of(hdu, where, plate.plane)
    with np.errstate(over="ignore", invalid="ignore"):
        single = pixels.astype(np.float32)  # also from big-endian, as FITS stores, to native order
    found = zero_point_of(hdu.header, hdus[0].header, where) if zero_point else None
    return Image(single, header_sky(hdu.header, hdus), found)


def _extension(hdus: fits.HDUList, plate: Plate, band: str) -> tuple[Any, str]:
    """The first of the plate's extensions that the file has, and what it is called in messages."""
    names = [str(hdu.name) for hdu in hdus]
    for wanted in plate.extensions:
        if isinstance(wanted, int) and wanted < len(hdus):
            return hdus[wanted], printable(names[wanted] or str(wanted), 60)
        if isinstance(wanted, str):
            name, _, version = wanted.upper().partition(",")
            for hdu in hdus:
                if str(hdu.name).upper() == name and version.strip() in ("", str(hdu.ver)):
                    return hdu, printable(wanted, 60)
    asked = " or ".join(str(wanted) for wanted in plate.extensions)
    there = printable(", ".join(name or str(i) for i, name in enumerate(names)), 300)
    raise DataError(f"{plate.path}: band {band}: no extension {asked}; the file has {there}")
