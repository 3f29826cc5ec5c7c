"""World coordinates of cutouts: kept from FITS headers, or made for cutouts that have none."""

from __future__ import annotations

import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales


def plain_wcs(shape: tuple[int, int], pixel_scale_arcsec: float) -> WCS:
    """Tangential projection of a (rows, columns) cutout centred on (0°, 0°), north up and east left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cdelt = [-pixel_scale_arcsec / 3600, pixel_scale_arcsec / 3600]
    wcs.wcs.crval = [0.0, 0.0]
    wcs.wcs.set()
    return wcs


def header_wcs(header: fits.Header) -> WCS | None:
    """Celestial world coordinates of an image header, or ``None`` where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(header, naxis=2)
        except (ValueError, MemoryError, fits.VerifyError):
            return None
    return wcs if wcs.has_celestial else None


def scale_arcsec(wcs: WCS) -> float:
    """Pixel scale in arcsec: the geometric mean of both axes."""
    return float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs))) * 3600)


def shifted_cards(wcs: WCS, first_row: int, first_column: int) -> str:
    """Header cards of `wcs` for a cutout that begins at this pixel (counted from 0), one per line."""
    moved = wcs.deepcopy()
    moved.wcs.crpix = [moved.wcs.crpix[0] - first_column, moved.wcs.crpix[1] - first_row]
    return moved.to_header(relax=True).tostring(sep="\n", endcard=False, padding=False)


def from_cards(cards: str) -> WCS:
    """World coordinates from stored header cards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(fits.Header.fromstring(cards, sep="\n"), naxis=2)
