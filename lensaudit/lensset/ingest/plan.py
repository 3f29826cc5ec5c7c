"""What an ingest will do, decided before the first pixel is read: each system's files, label and zero points."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import INSTRUMENTS, load_instrument
from lensaudit.lensset.coordinates import SCALES_ARCSEC
from lensaudit.lensset.header import LARGEST_SIDE, CatalogueColumn
from lensaudit.lensset.ingest.flux import LARGEST_ELECTRONS, ZERO_POINTS_MAG
from lensaudit.lensset.ingest.systems import Plate, System
from lensaudit.records import Json
from lensaudit.untrusted import printable, typed_name

BAD_PIXEL_POLICIES = ("fail", "zero", "median", "keep")
"""What happens to NaN (or masked) pixels: refuse the file, set them to 0, or to the median of the good ones, or keep
them as NaN, for finders that mask such pixels (stretch ``noise``)."""

UNKNOWN_UNIT = "unit of the files"
"""Unit of pixels whose files do not say it."""

ELECTRONS = "electrons_per_unit_"
"""Begins the names of columns with the electrons of one pixel unit, by band."""

LABEL = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens, -1 unknown", dtype="int8")


Number = TypeVar("Number", int, float)

NOISE_KINDS = {
    "rms": "standard deviation",
    "variance": "variance",
    "weight": "inverse variance",
}
"""What a noise map may hold."""


@dataclass(frozen=True)
class Beside:
    """What is kept beside the images of a plan.

    Attributes
    ----------
    kinds
        Band → what its noise maps hold, one of `NOISE_KINDS`; bands without are not there.
    psfs
        Bands whose point-spread functions are kept.
    one_psf, one_noise
        Band → the one of the whole set, of those bands whose systems do not have their own.
    filters
        Band → name of its filter in speclite.
    masked
        Whether masks of bad pixels are read.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    psfs: tuple[str, ...] = ()
    one_psf: Mapping[str, Plate] = field(default_factory=dict)
    one_noise: Mapping[str, Plate] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    masked: bool = False


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
    known_scale, known_zero_point, known_filter
        Band → arcsec per pixel, AB magnitude of one pixel unit, and filter, of the layout or of the instrument, where
        neither the user nor the header says.
    given_electrons
        Band (or ``*``) → electrons of one pixel unit as given by the user; wins over the header.
    given_filter
        Band → name of its filter in speclite.
    bad_bits
        Bits of an integer mask that mark bad pixels.
    images_only
        Whether point-spread functions and noise that a layout finds by itself are left out.
    """

    nan: str = "fail"
    masked_values: tuple[float, ...] = ()
    masked: str = "zero"
    size_arcsec: float | None = None
    size_pixels: Mapping[str, int] = field(default_factory=dict)
    given_scale: Mapping[str, float] = field(default_factory=dict)
    given_zero_point: Mapping[str, float] = field(default_factory=dict)
    known_scale: Mapping[str, float] = field(default_factory=dict)
    known_zero_point: Mapping[str, float] = field(default_factory=dict)
    known_filter: Mapping[str, str] = field(default_factory=dict)
    given_electrons: Mapping[str, float] = field(default_factory=dict)
    given_filter: Mapping[str, str] = field(default_factory=dict)
    bad_bits: tuple[int, ...] = ()
    images_only: bool = False

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
        for band, electrons in self.given_electrons.items():
            if not 0 < electrons <= LARGEST_ELECTRONS:
                raise UsageError(f"--electrons-per-unit {_of(band)}must be positive and finite, not {electrons}")
        if any(not 0 <= bit < 64 for bit in self.bad_bits):
            raise UsageError("--mask-bits: bits are counted from 0 to 63, e.g. 0,1,8")

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
        if self.given_electrons:
            facts["electrons_per_unit_told"] = dict(sorted(self.given_electrons.items()))
        if self.bad_bits:
            facts["mask_bits"] = list(self.bad_bits)
        return facts


def of_instrument(name: str, bands: Sequence[str], policy: PixelPolicy) -> tuple[str, PixelPolicy]:
    """The name that is kept in the set, and the policy with what the instrument of that name knows of `bands`.

    Parameters
    ----------
    name
        Of a shipped instrument, or the path of an instrument's YAML; any other name is kept and nothing more.

    Raises
    ------
    UsageError
        The name cannot be kept, or the YAML is none of an instrument.
    """
    path = Path(name)
    if name not in INSTRUMENTS and path.suffix not in {".yaml", ".yml"}:
        return typed_name("--instrument", name), policy
    instrument = load_instrument(name)
    known = [band for band in instrument.bands if band.name in bands]
    return instrument.name, replace(
        policy,
        known_scale={band.name: band.pixel_scale_arcsec for band in known} | dict(policy.known_scale),
        known_zero_point={band.name: band.zero_point_mag for band in known},
        known_filter={band.name: band.filter for band in known if band.filter is not None},
    )


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
    beside
        What is kept beside the images.
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
    systems: Sequence[System]
    columns: tuple[CatalogueColumn, ...]
    policy: PixelPolicy
    unit: str
    root: Path
    source: Mapping[str, Any] = field(default_factory=dict)
    beside: Beside = field(default_factory=lambda: Beside())
    notes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        policy = self.policy
        for option, given in (
            ("--pixel-scale", policy.given_scale),
            ("--zero-point", policy.given_zero_point),
            ("--size-pixels", policy.size_pixels),
            ("--electrons-per-unit", policy.given_electrons),
            ("--filter", policy.given_filter),
        ):
            if unknown := sorted(set(given) - set(self.bands) - {"*"}):
                raise UsageError(f"{option}: '{printable(unknown[0], 60)}' is not one of {', '.join(self.bands)}")


def count_columns(plan: Plan) -> tuple[CatalogueColumn, ...]:
    """Columns with the numbers of bad pixels per band, filled while reading."""
    kinds = [("nan", "NaN or infinite")]
    if plan.policy.masked_values or plan.beside.masked:
        kinds.append(("masked", "masked by the archive"))
    counted = [(kind, words, band) for kind, words in kinds for band in plan.bands]
    own = [band for band in plan.bands if band in plan.beside.kinds and band not in plan.beside.one_noise]
    counted += [("no_rms", "weightless (their noise is +inf)", band) for band in own]
    return tuple(
        CatalogueColumn(name=f"n_{kind}_{band}", unit="pixel", description=f"{words} pixels in {band}", dtype="int64")
        for kind, words, band in counted
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
