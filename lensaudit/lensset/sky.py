"""Where on the sky the systems of a set are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from lensaudit.lensset.store import LensSet

COLUMNS = (
    ("ra", "dec"),
    ("ra_deg", "dec_deg"),
    ("raj2000", "dej2000"),
    ("alpha_j2000", "delta_j2000"),
    ("right_ascension", "declination"),
)
"""Names, in any case, of catalogue columns that hold right ascension and declination in degrees."""


def sky_positions(lens_set: LensSet) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Right ascension and declination in degrees (n,), (n,); None where the set has neither columns nor a WCS.

    Columns of the catalogue win over the centre of a cutout's WCS, which costs some 2 ms an image to read. A system
    without either is NaN.
    """
    named = {name.lower(): name for name in lens_set.columns}
    for ra, dec in COLUMNS:
        if ra in named and dec in named:
            found = _numbers(lens_set.column(named[ra])), _numbers(lens_set.column(named[dec]))
            if found[0] is not None and found[1] is not None:
                return found[0], found[1]
    if not lens_set.header["has_wcs"]:
        return None
    centres = np.array([_centre(lens_set, i) for i in range(len(lens_set))]).reshape(-1, 2)
    return (centres[:, 0], centres[:, 1]) if np.isfinite(centres).any() else None


def _numbers(values: NDArray[Any]) -> NDArray[np.float64] | None:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return None


def _centre(lens_set: LensSet, system: int) -> tuple[float, float]:
    """Of the first band that has coordinates of its own."""
    for band in lens_set.bands:
        wcs = lens_set.own_wcs(system, band)
        if wcs is not None:
            rows, columns = lens_set.shape[band]
            return _icrs(wcs, (columns - 1) / 2, (rows - 1) / 2)
    return np.nan, np.nan


def _icrs(wcs: WCS, x: float, y: float) -> tuple[float, float]:
    from astropy.wcs.utils import wcs_to_celestial_frame

    celestial = wcs.celestial
    longitude, latitude = (float(value) for value in celestial.pixel_to_world_values(x, y))
    if wcs_to_celestial_frame(celestial).name == "icrs":
        return longitude, latitude
    position = celestial.pixel_to_world(x, y).icrs
    return float(position.ra.deg), float(position.dec.deg)
