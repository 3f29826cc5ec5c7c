"""Zero points out of FITS headers: the AB magnitude of a source that gives 1 in the unit of the pixels.

What the user gives wins and is not looked up here. Then the image's own header comes before the primary one, and in
each the first of these that it has: a card that is a magnitude (`MAGNITUDE_CARDS`, in that order), the flux of
magnitude 0 (Hyper Suprime-Cam), the inverse sensitivity and pivot wavelength (Hubble Space Telescope). Of the primary
header a magnitude is read only where the image says INHERIT, for it may be that of another band.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from astropy.io import fits

from lensaudit.errors import DataError
from lensaudit.fits_input import card as read_card
from lensaudit.fits_input import number
from lensaudit.lensset.ingest.plan import ZERO_POINTS_MAG
from lensaudit.untrusted import printable

MAGNITUDE_CARDS = ("MAGZERO", "MAGZEROP", "MAGZPT", "MAGZP", "ZEROPOINT", "ZEROPNT", "IMAGEZPT", "ABMAGZP", "ZP")
FLUX_CARD = "FLUXMAG0"
SENSITIVITY_CARD, PIVOT_CARD, TIME_CARD = "PHOTFLAM", "PHOTPLAM", "EXPTIME"

HANDBOOK = -2.408
"""−48.60 + 2.5 log10 of the speed of light in Å/s, as the ACS Data Handbook (section 5.1) rounds it."""

TOTALS = frozenset({"ELECTRONS", "ELECTRON", "COUNTS", "COUNT", "DN", "ADU", "E-"})
"""BUNIT of pixels that are summed over the exposure, where PHOTFLAM is that of one per second."""


@dataclass(frozen=True)
class ZeroPoint:
    """A zero point (mag, AB) and the header cards it is from, in words."""

    mag: float
    cards: str


def zero_point_of(header: fits.Header, primary: fits.Header, where: str) -> ZeroPoint | None:
    """The zero point of an image from its own and its file's primary header; None where neither has one.

    Raises
    ------
    DataError
        A card holds no number, or one that gives no zero point.
    """
    about = (header, primary)
    found = _magnitude(header, where) or _flux(header, where) or _sensitivity(header, about, where)
    if found is not None or primary is header:
        return found
    where = f"{where}: primary header"
    found = _magnitude(primary, where) if _word(about[:1], "INHERIT") == "TRUE" else None
    found = found or _flux(primary, where) or _sensitivity(primary, about, where)
    return None if found is None else ZeroPoint(found.mag, f"{found.cards} of the primary header")


def _magnitude(header: fits.Header, where: str) -> ZeroPoint | None:
    for card in MAGNITUDE_CARDS:
        value = _number(header, card, where)
        if value is not None:
            return _within(value, card, card, value, where)
    return None


def _flux(header: fits.Header, where: str) -> ZeroPoint | None:
    flux = _number(header, FLUX_CARD, where)
    if flux is None:
        return None
    if flux <= 0:
        raise _no_zero_point(where, FLUX_CARD, flux)
    return _within(2.5 * math.log10(flux), FLUX_CARD, f"2.5 log10 {FLUX_CARD}", flux, where)


def _sensitivity(header: fits.Header, about: Sequence[fits.Header], where: str) -> ZeroPoint | None:
    """Of AB magnitudes; pixels that are sums over an exposure need its length, which either header may have."""
    flux, pivot = _number(header, SENSITIVITY_CARD, where), _number(header, PIVOT_CARD, where)
    if not flux or not pivot:  # 0 where the archive has no calibration, as of grisms
        return None
    for card, value in ((SENSITIVITY_CARD, flux), (PIVOT_CARD, pivot)):
        if value < 0:
            raise _no_zero_point(where, card, value)
    mag = -2.5 * math.log10(flux) - 5 * math.log10(pivot) + HANDBOOK
    cards = f"{SENSITIVITY_CARD} and {PIVOT_CARD}"
    if _word(about, "BUNIT") not in TOTALS:
        return _within(mag, SENSITIVITY_CARD, cards, flux, where)
    seconds = next((found for one in about if (found := _number(one, TIME_CARD, where)) is not None), None)
    if seconds is None or seconds <= 0:
        return None
    return _within(
        mag + 2.5 * math.log10(seconds), SENSITIVITY_CARD, f"{cards}, over {TIME_CARD} {seconds:g} s", flux, where
    )


def _word(headers: Sequence[fits.Header], card: str) -> str:
    """The first header's card as a word in capitals; empty where there is none, or it cannot be read."""
    with suppress(DataError):
        for header in headers:
            if (word := read_card(header, card, "")) is not None:
                return str(word).strip().upper()
    return ""


def _within(mag: float, card: str, cards: str, value: float, where: str) -> ZeroPoint:
    if not ZERO_POINTS_MAG[0] <= mag <= ZERO_POINTS_MAG[1]:
        raise _no_zero_point(where, card, value)
    return ZeroPoint(mag, cards)


def _number(header: fits.Header, card: str, where: str) -> float | None:
    try:
        return number(header, card, where)
    except DataError as error:
        raise DataError(f"{error}, or give --zero-point") from error


def _no_zero_point(where: str, card: str, value: float) -> DataError:
    return DataError(
        f"{printable(where)}: header card {card} is {value:g}, no zero point; correct the card, or give --zero-point"
    )
