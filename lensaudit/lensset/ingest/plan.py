"""What an ingest will do, decided before the first pixel is read: each system's files, label and zero points."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from astropy.io import fits

from lensaudit.errors import DataError, UsageError
from lensaudit.fits_input import card as read_card
from lensaudit.fits_input import number
from lensaudit.lensset.coordinates import SCALES_ARCSEC
from lensaudit.lensset.header import LARGEST_SIDE, CatalogueColumn
from lensaudit.records import Json
from lensaudit.untrusted import printable

BAD_PIXEL_POLICIES = ("fail", "zero", "median", "keep")
"""What happens to NaN (or masked) pixels: refuse the file, set them to 0, or to the median of the good ones, or keep
them as NaN, for finders that mask such pixels (stretch ``noise``)."""

ZERO_POINTS_MAG = (-100.0, 100.0)

LABEL = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens, -1 unknown", dtype="int8")


Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Plate:
    """One image inside a FITS file: the first of `extensions` that the file has, and of a cube one plane.

    An extension is a number, a name, or a name and its version (``SCI,2``); planes count from 0. There is one for
    every image of a survey, so it holds the path as text, which takes a quarter of the memory of a ``Path``.
    """

    file: str
    extensions: tuple[str | int, ...] = (0,)
    plane: int | None = None

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(self.file)


@dataclass(frozen=True, slots=True)
class System:
    """One system: where each band's image lies, and its catalogue values (pixel counts are added on reading)."""

    name: str
    plates: Mapping[str, Plate]
    row: Mapping[str, Any]


@dataclass(frozen=True)
class PixelPolicy:
    """How images become cutouts.

    Attributes
    ----------
    nan
        One of `BAD_PIXEL_POLICIES`, for NaN and infinite pixels.
    masked_values, masked
        Pixels of these values are masked by the archive; what becomes of them (a bad-pixel policy).
    size_arcsec, size_pixels
        Side of the central square kept, in arcsec, or in pixels by band (or ``*``, every other band); without either
        the whole image is kept.
    given_scale
        Band (or ``*``) → arcsec per pixel as given by the user; wins over the header.
    given_zero_point
        Band (or ``*``) → AB magnitude of one pixel unit as given by the user; wins over the header.
    known_scale
        Band → arcsec per pixel of the layout, where neither the user nor the header says.
    """

    nan: str = "fail"
    masked_values: tuple[float, ...] = ()
    masked: str = "zero"
    size_arcsec: float | None = None
    size_pixels: Mapping[str, int] = field(default_factory=dict)
    given_scale: Mapping[str, float] = field(default_factory=dict)
    given_zero_point: Mapping[str, float] = field(default_factory=dict)
    known_scale: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option, value in (("--nan", self.nan), ("--masked", self.masked)):
            if value not in BAD_PIXEL_POLICIES:
                raise UsageError(f"{option} '{value}' is not one of {', '.join(BAD_PIXEL_POLICIES)}")
        if self.size_arcsec is not None and self.size_pixels:
            raise UsageError("--size-arcsec and --size-pixels both say what is kept; give one of them")
        low, high = SCALES_ARCSEC
        if self.size_arcsec is not None and not 0 < self.size_arcsec <= LARGEST_SIDE * high:
            raise UsageError(f"--size-arcsec must be positive and finite, not {self.size_arcsec}")
        for band, side in self.size_pixels.items():
            if not 1 <= side <= LARGEST_SIDE:
                raise UsageError(f"--size-pixels {_of(band)}must lie in 1 … {LARGEST_SIDE}, not {side}")
        for band, scale in self.given_scale.items():
            if not low <= scale <= high:
                raise UsageError(f"--pixel-scale {_of(band)}must lie in {low:g} … {high:g} arcsec, not {scale}")
        for band, zero_point in self.given_zero_point.items():
            if not ZERO_POINTS_MAG[0] <= zero_point <= ZERO_POINTS_MAG[1]:
                raise UsageError(f"--zero-point {_of(band)}must lie in −100 … 100 mag, not {zero_point}")

    def of_band(self, given: Mapping[str, Number], band: str) -> Number | None:
        """What an option says of `band`, or of all bands; None where it says nothing."""
        return given.get(band, given.get("*"))

    def to_json(self, bands: tuple[str, ...]) -> Json:
        """The policy as JSON, for the header of the set."""
        counted = ", ".join(f"n_nan_{band}" for band in bands)
        facts: Json = {"nan": f"{self.nan} (counted in {counted})", "size_arcsec": self.size_arcsec}
        if self.masked_values:
            values = " or ".join(f"{value:g}" for value in self.masked_values)
            facts["masked"] = f"pixels of value {values}: {self.masked} (counted in n_masked_*)"
        if self.size_pixels:
            facts["size_pixels"] = dict(sorted(self.size_pixels.items()))
        if self.given_scale:
            facts["pixel_scale_told_arcsec"] = dict(sorted(self.given_scale.items()))
        if self.given_zero_point:
            facts["zero_point_told_mag"] = dict(sorted(self.given_zero_point.items()))
        return facts


def _of(band: str) -> str:
    return "" if band == "*" else f"of band {band} "


@dataclass(frozen=True)
class Plan:
    """Every system of an ingest, and how it is read.

    Attributes
    ----------
    layout
        ``blf1``, ``blf2``, ``euclid-q1`` or ``fits``.
    columns
        Catalogue columns of `System.row`, `label` first.
    unit
        Unit of a pixel, as far as the layout says.
    source
        Facts for the header: label rule, what was missing.
    notes
        Sentences to print and to store.
    inputs
        Catalogue file → SHA-256.
    root
        Folder the files' names are given relative to.
    """

    layout: str
    instrument: str
    bands: tuple[str, ...]
    systems: tuple[System, ...]
    columns: tuple[CatalogueColumn, ...]
    policy: PixelPolicy
    unit: str
    root: Path
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        policy = self.policy
        for option, given in (
            ("--pixel-scale", policy.given_scale),
            ("--zero-point", policy.given_zero_point),
            ("--size-pixels", policy.size_pixels),
        ):
            if unknown := sorted(set(given) - set(self.bands) - {"*"}):
                raise UsageError(f"{option}: '{printable(unknown[0], 60)}' is not one of {', '.join(self.bands)}")


def count_columns(plan: Plan) -> tuple[CatalogueColumn, ...]:
    """Columns with the numbers of bad pixels per band, filled while reading."""
    kinds = [("nan", "NaN or infinite")]
    if plan.policy.masked_values:
        kinds.append(("masked", "masked by the archive"))
    return tuple(
        CatalogueColumn(name=f"n_{kind}_{band}", unit="pixel", description=f"{words} pixels in {band}", dtype="int64")
        for kind, words in kinds
        for band in plan.bands
    )


LENS, NON_LENS, UNKNOWN = 1, 0, -1
Row = Mapping[str, float]

LABEL_COLUMNS = ("label", "labels", "is_lens", "islens")
"""Columns that hold labels whatever else is in them, the first there is; their names are compared without case."""
MAYBE_LABEL_COLUMNS = ("lens", "class", "target", "truth")
"""Columns that are read as labels only if every cell is one: they may as well hold names or sizes."""

_WORDS = {
    LENS: ("1", "true", "yes", "t", "lens", "lenses", "lensed", "stronglens"),
    NON_LENS: ("0", "false", "no", "f", "nonlens", "nonlenses", "nolens", "notlens", "notalens", "unlensed"),
    UNKNOWN: ("-1", "unknown", "unlabelled", "unlabeled", "unclassified"),
}
_LABELS = {word: label for label, words in _WORDS.items() for word in words}
ALLOWED_LABELS = "1, true or lens; 0, false or non-lens; -1 or unknown; or an empty cell"


def label_of(cell: str) -> int | None:
    """The label that a cell of a table says; None where it says none.

    Examples
    --------
    >>> [label_of(cell) for cell in ("1.0", "Non-Lens", "-1", "2", ".5", "None")]
    [1, 0, -1, None, None, None]
    """
    word = re.sub(r"\.0*$", "", cell.strip().casefold())
    return _LABELS.get(word, _LABELS.get(re.sub(r"[-_ ]", "", word)) if not word.startswith("-") else None)


def wilde(row: Row) -> int:
    """Wilde et al. 2022: lens where n_source_im > 0, mag_eff > 1.6 and n_pix_source > 20; all others non-lens."""
    found = _value(row, "n_source_im", "n_sources") > 0
    return LENS if found and _value(row, "mag_eff") > 1.6 and _value(row, "n_pix_source") > 20 else NON_LENS


def challenge(row: Row) -> int:
    """The challenge's own evaluation: no source or mag_eff < 1.2 non-lens, mag_eff > 2 lens, others unknown."""
    magnification = _value(row, "mag_eff")
    if _value(row, "n_sources", "n_source_im") == 0 or magnification < 1.2:
        return NON_LENS
    return LENS if magnification > 2 else UNKNOWN


LABEL_RULES: dict[str, Callable[[Row], int]] = {"wilde": wilde, "challenge": challenge}


def label_rule(name: str) -> Callable[[Row], int]:
    """The rule called `name`; UsageError names those there are."""
    if name not in LABEL_RULES:
        raise UsageError(f"--label-rule '{name}' is not one of {', '.join(LABEL_RULES)}")
    return LABEL_RULES[name]


def _value(row: Row, *names: str) -> float:
    """The first of `names` that the catalogue has; releases differ in what they call the number of sources."""
    lower = {name.casefold(): value for name, value in row.items()}
    for name in names:
        if name in lower:
            return lower[name]
    raise DataError(f"catalogue: no column {' or '.join(names)}, which the label rule needs; it has {', '.join(row)}")


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
