"""What a pixel means, out of FITS headers: its zero point, its unit, the electrons it stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from astropy.io import fits

from lensaudit.errors import DataError
from lensaudit.fits_input import card as read_card
from lensaudit.fits_input import number
from lensaudit.untrusted import printable

ZERO_POINTS_MAG = (-100.0, 100.0)

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

    What the user gives wins and is not looked up here. Then the image's own header comes before the primary one, and in
    each the first of these that it has: a card that is a magnitude (`MAGNITUDE_CARDS`, in that order), the flux of
    magnitude 0 (Hyper Suprime-Cam), the inverse sensitivity and pivot wavelength (Hubble Space Telescope). Of the
    primary header a magnitude is read only where the image says INHERIT, for it may be that of another band.

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


@dataclass(frozen=True)
class Electrons:
    """Electrons that one pixel unit stands for, and the header cards that say so, in words."""

    per_unit: float
    cards: str


GAIN_CARDS = ("GAIN", "EGAIN")
LARGEST_ELECTRONS = 1e30


def unit_of(header: fits.Header, primary: fits.Header) -> str:
    """Unit of the pixels (``BUNIT``) of an image from its own and its file's primary header; empty where none says."""
    with suppress(DataError):
        for one in (header, primary):
            if (word := read_card(one, "BUNIT", "")) is not None and str(word).strip():
                return printable(" ".join(str(word).split()), 100)
    return ""


def electrons_of(header: fits.Header, primary: fits.Header) -> Electrons | None:
    """Electrons of one pixel unit: gain × exposure time, less what the unit says is in the pixels already.

    Pixels in electrons have been multiplied by the gain, sums have not been divided by the time. Where ``BUNIT`` does
    not say, both are taken as still to come. None where a card that is needed is missing or not positive.
    """
    unit = re.sub(r"[\s*]", "", unit_of(header, primary)).upper()
    per_second = re.search(r"/S|S\^?-1|/SEC|PERSEC", unit) is not None
    electrons = unit.startswith(("E-", "E/", "ELECTRON", "PHOTO"))
    counts = unit.startswith(("ADU", "DN", "COUNT", "CTS", "CT/"))
    gain = (1.0, "") if electrons else _positive((header, primary), GAIN_CARDS)
    total = (electrons or counts) and not per_second
    seconds = (1.0, "") if total else _positive((header, primary), (TIME_CARD,))
    if gain is None or seconds is None:
        return None
    product = gain[0] * seconds[0]
    cards = " × ".join(card for _, card in (gain, seconds) if card) or "BUNIT"
    return Electrons(product, cards) if 0 < product <= LARGEST_ELECTRONS else None


def _positive(headers: Sequence[fits.Header], cards: Sequence[str]) -> tuple[float, str] | None:
    """The first of `cards` that is a positive number, and its name; 0 is what programs write for unknown."""
    for card in cards:
        for one in headers:
            with suppress(DataError):
                value = number(one, card, "")
                if value is not None and value > 0:
                    return value, card
    return None
