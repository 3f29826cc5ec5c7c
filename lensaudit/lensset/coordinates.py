"""World coordinates of cutouts: kept from FITS headers, moved and scaled with the pixels, or made where there are none.

Whatever is kept as header cards is compared with what it came from over the whole cutout. Distortions that have no
form as cards (lookup tables, ``-TAB``), or that do not scale, are replaced by a tangential projection fitted over the
cutout; its largest error stands in the cards ``CSYERi``, the standard's systematic error of a coordinate.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from astropy.coordinates import angular_separation
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, NoConvergence, Sip
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.fits_input import number
from lensaudit.untrusted import printable

Array = NDArray[np.float64]

SCALES_ARCSEC = (1e-3, 60.0)
"""Pixel scales that are believed: from interferometry to survey cameras; the default of a header, 1°, is not."""

SAME_PIXELS = 1e-3
"""Coordinates that agree to a thousandth of a pixel are the same: no position is measured better."""

_SIDE = 7  # points per side of the grid on which coordinates are compared
_NUMBERS = re.compile(
    r"(CRPIX|CRVAL|CDELT|CROTA|CD\d+_|PC\d+_|PV\d+_|LONPOLE|LATPOLE|EQUINOX|[AB]P?_(ORDER|\d+_))(\d*)"
)
# SIP, TPV and other parameters, lookup tables and -TAB, wcslib's own distortions, polynomials of DSS plates.
_DISTORTIONS = re.compile(r"[AB]_(ORDER|\d)|P[VS]\d|CPDIS|CQDIS|D2IM|D[PQVW]\d|AMD[XY]\d|WAT\d")


@dataclass(frozen=True)
class Sky:
    """Celestial coordinates of an image, or why it has none that can be used (empty: its header names none)."""

    wcs: WCS | None
    reason: str = ""
    distorted: bool = True
    """Whether there may be more to them than a projection and linear terms, which cards always hold."""


@dataclass(frozen=True)
class Cards:
    """Header cards of a cutout's coordinates, one per line.

    Attributes
    ----------
    text
        The cards.
    error_arcsec
        Largest error over the cutout where the coordinates were replaced by a fit; 0 where they are the header's own.
    """

    text: str
    error_arcsec: float = 0.0


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


def header_sky(header: fits.Header, hdus: fits.HDUList | None = None) -> Sky:
    """Celestial world coordinates of an image header.

    Parameters
    ----------
    hdus
        The open file, where lookup tables of distortions lie.
    """
    keys = set(header)
    try:
        for key in sorted(keys):
            if _NUMBERS.fullmatch(key):
                number(header, key, "it")
    except DataError as error:
        return Sky(None, str(error).removeprefix("it: ").rpartition(";")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # units and dates it had to read generously
        try:
            wcs = WCS(header, fobj=hdus, naxis=2)
        except MemoryError:
            raise
        except Exception as error:  # wcslib and astropy raise a dozen kinds, AttributeError among them
            text = " ".join(str(error).split()) or type(error).__name__
            return Sky(None, f"astropy cannot read them: {printable(text, 100)}")
    if not wcs.has_celestial:
        return Sky(None)
    scale = scale_arcsec(wcs)
    matrix = np.abs(wcs.pixel_scale_matrix)
    if np.array_equal(matrix, np.eye(2)):
        return Sky(None, "they have no CDELT or CD, or its default of 1 degree per pixel")
    if not SCALES_ARCSEC[0] <= scale <= SCALES_ARCSEC[1]:
        return Sky(None, f"they give {scale:.3g}″ per pixel")
    return Sky(wcs, distorted=any(_DISTORTIONS.match(key) for key in keys))


def scale_arcsec(wcs: WCS) -> float:
    """Pixel scale in arcsec: the geometric mean of both axes."""
    with np.errstate(over="ignore"):  # of a header with 1e300 degrees per pixel
        return float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs))) * 3600)


def shifted_cards(sky: Sky, first_row: int, first_column: int, shape: tuple[int, int]) -> Cards | None:
    """Header cards of `sky` for a cutout of `shape` that begins at this pixel (counted from 0).

    None where there is no sky, or not all over the cutout.
    """
    wcs = sky.wcs
    if wcs is None:
        return None
    first = np.array([first_column, first_row])
    moved = wcs.deepcopy()
    moved.wcs.crpix = np.asarray(wcs.wcs.crpix) - first
    if not sky.distorted:
        corners = _grid(shape)[[0, _SIDE - 1, -_SIDE, -1]]
        return Cards(_text_of(moved)) if np.isfinite(moved.wcs_pix2world(corners, 0)).all() else None
    return _kept_or_fitted(_text_of(moved), lambda p: wcs.all_pix2world(p + first, 0), wcs, shape)


def rescaled_about_reference(wcs: WCS, factor: float) -> Sky:
    """`wcs` with pixels `factor` times as wide: reference point and orientation stay, distortions are dropped."""
    matrix = wcs.pixel_scale_matrix * factor
    scaled = _tangential(wcs, np.asarray(wcs.wcs.crval), np.asarray(wcs.wcs.crpix), matrix)
    return Sky(scaled, distorted=False)


def wcs_on_grid(wcs: WCS, shape: tuple[int, int], size: int) -> WCS:
    """World coordinates of a `size` × `size` grid over the field of a cutout of `shape` (rows, columns).

    SIP coefficients are scaled with the pixels, and the linear terms before any distortion of intermediate coordinates
    (TPV, DSS plates). What does not scale is replaced by a fit, see `Cards`.
    """
    ratio = np.array([shape[1] / size, shape[0] / size])

    def on_sky(places: Array) -> Array:
        return np.asarray(wcs.all_pix2world((places + 0.5) * ratio - 0.5, 0))

    cards = _kept_or_fitted(_text_of(_scaled(wcs, ratio)), on_sky, wcs, (size, size))
    if cards is None:
        return plain_wcs((size, size), scale_arcsec(wcs) * math.sqrt(ratio.prod()))
    on_grid = from_cards(cards.text)
    on_grid.pixel_shape = (size, size)
    return on_grid


def from_cards(cards: str) -> WCS:
    """World coordinates from stored header cards.

    Raises
    ------
    DataError
        They are none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            return WCS(fits.Header.fromstring(cards, sep="\n"), naxis=2)
        except MemoryError:
            raise
        except Exception as error:  # see header_sky
            raise DataError(f"sky coordinates {printable(cards, 60)!r} cannot be read; make the set again") from error


def _scaled(wcs: WCS, ratio: Array) -> WCS | None:
    """`wcs` for pixels `ratio` (along x and y) times as wide.

    The columns of PC are scaled, never CDELT: wcslib applies TPV and plate polynomials between the two. A SIP
    coefficient of u^p v^q is one of (r_x u')^p (r_y v')^q, and its sum is in pixels of the same axis.
    """
    plain = from_cards(_text_of(wcs))  # CD and CROTA become PC and CDELT
    plain.wcs.crpix = (np.asarray(plain.wcs.crpix) - 0.5) / ratio + 0.5
    plain.wcs.pc = np.asarray(plain.wcs.get_pc()) * ratio
    if plain.sip is not None:
        terms = [
            None if form is None else _scaled_terms(form, ratio) / ratio[axis]
            for form, axis in ((plain.sip.a, 0), (plain.sip.b, 1), (plain.sip.ap, 0), (plain.sip.bp, 1))
        ]
        plain.sip = Sip(*terms, plain.wcs.crpix)
    plain.wcs.set()
    return plain


def _scaled_terms(coefficients: Array, ratio: Array) -> Array:
    powers = np.arange(len(coefficients))
    return np.asarray(coefficients) * ratio[0] ** powers[:, None] * ratio[1] ** powers


def _text_of(wcs: WCS) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # lookup tables have no cards: what that costs is measured
        return str(wcs.to_header(relax=True).tostring(sep="\n", endcard=False, padding=False))


def _kept_or_fitted(text: str, on_sky: Callable[[Array], Array], like: WCS, shape: tuple[int, int]) -> Cards | None:
    """`text` if it gives the coordinates `on_sky` all over the cutout, else a fit; None where they are not finite."""
    places = _grid(shape)
    try:
        wanted = np.asarray(on_sky(places), float)
    except (ValueError, NoConvergence):  # what all of wcslib's errors are: the sky ends inside the cutout
        return None
    if not np.isfinite(wanted).all():
        return None
    apart = _arcsec_between(wanted[:1], wanted[-1:], like) / np.hypot(*(places[-1] - places[0]))
    with suppress(DataError):
        found = np.asarray(from_cards(text).all_pix2world(places, 0))
        if _arcsec_between(found, wanted, like) <= SAME_PIXELS * apart:
            return Cards(text)
    return _fitted(places, wanted, np.asarray(on_sky(np.mean(places, axis=0)[None]))[0], like)


def _fitted(places: Array, wanted: Array, centre: Array, like: WCS) -> Cards:
    """A tangential projection fitted to the sky positions `wanted` (n, 2) of the pixels `places` (n, 2)."""
    plane = _tangential(like, centre, np.zeros(2), np.eye(2))
    offsets = np.asarray(plane.wcs_world2pix(wanted, 0)) + 1  # degrees in the tangent plane about `centre`
    middle = places.mean(axis=0)
    terms = np.linalg.lstsq(np.column_stack([places - middle, np.ones(len(places))]), offsets, rcond=None)[0]
    matrix = terms[:2].T
    best = _tangential(like, centre, middle + 1 - np.linalg.solve(matrix, terms[2]), matrix)
    error = _arcsec_between(np.asarray(best.all_pix2world(places, 0)), wanted, like)
    before = np.nan_to_num(np.asarray(like.wcs.csyer)) if like.wcs.naxis == 2 else np.zeros(2)
    best.wcs.csyer = before + error / 3600
    return Cards(_text_of(best), error)


def _tangential(like: WCS, crval: Array, crpix: Array, matrix: Array) -> WCS:
    """Tangential projection in the frame of `like`; the axes keep their order."""
    wcs = WCS(naxis=2)
    kinds = {like.wcs.lng: like.wcs.lngtyp, like.wcs.lat: like.wcs.lattyp}
    wcs.wcs.ctype = [kinds[axis].strip().ljust(5, "-") + "TAN" for axis in (0, 1)]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cd = crval, crpix, matrix
    wcs.wcs.radesys = like.wcs.radesys
    if math.isfinite(like.wcs.equinox):
        wcs.wcs.equinox = like.wcs.equinox
    wcs.wcs.set()
    return wcs


def _grid(shape: tuple[int, int]) -> Array:
    """Pixel positions (n, 2) as (x, y) counted from 0, from edge to edge of a cutout of (rows, columns)."""
    x, y = (np.linspace(-0.5, side - 0.5, _SIDE) for side in (shape[1], shape[0]))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _arcsec_between(one: Array, other: Array, like: WCS) -> float:
    """Largest distance on the sky of two lists of positions (n, 2) in degrees."""
    lng, lat = like.wcs.lng, like.wcs.lat
    a, b = np.radians(one), np.radians(other)
    return float(np.degrees(angular_separation(a[:, lng], a[:, lat], b[:, lng], b[:, lat])).max() * 3600)
