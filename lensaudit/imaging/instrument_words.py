"""What an instrument's YAML may say, checked, and the instrument it describes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lensaudit.errors import UsageError
from lensaudit.imaging.band import ELECTRONS_PER_S, MOST_RAYS, About, Band, Instrument, OwnPsf, instrument
from lensaudit.imaging.correlation import Correlation, check_correlation, noise_pixels
from lensaudit.imaging.own_psf import galsim_psf, kernel_fwhm_arcsec
from lensaudit.imaging.psf import measured_psf, own_kernel
from lensaudit.scenes.colours import effective_wavelength_nm, packed_curve
from lensaudit.untrusted import Identifier, printable, regular_size

LARGEST_CURVE = 1 << 20
FWHM_OF_KERNEL = 4.0
LEAST_RADIUS_ARCSEC = 2.0

Positive = Annotated[float, Field(gt=0, le=1e9)]
Amount = Annotated[float, Field(ge=0, le=1e9)]
Magnitude = Annotated[float, Field(ge=-100, le=100)]


class _Words(BaseModel):
    """A block of an instrument's file: an unknown key is refused with the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, words: Any) -> Any:
        for key in words if isinstance(words, Mapping) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, 1, 0.5)
                fix = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(cls.model_fields)}"
                raise ValueError(f"unknown key '{printable(key, 60)}'; {fix}")
        return words


class Depth(_Words):
    """Limiting magnitude at `snr`: of a point source, or in an aperture of that diameter."""

    mag: Magnitude
    snr: Positive = 5.0
    aperture_arcsec: Positive | None = None


class Curve(_Words):
    """A filter of the user's own: a text file of two columns, or the numbers themselves."""

    file: str | None = None
    wavelength: tuple[float, ...] = ()
    response: tuple[float, ...] = ()
    unit: Annotated[str, Field(pattern="^(nm|angstrom)$")] = "angstrom"


class FitsPsf(_Words):
    """A measured kernel in a FITS file."""

    file: str
    extension: str = "PRIMARY"


class PsfWords(_Words):
    """A band's own PSF: a GalSim profile by its configuration, or a FITS kernel."""

    galsim: dict[str, Any] | None = None
    fits: FitsPsf | None = None

    @model_validator(mode="after")
    def _one(self) -> PsfWords:
        if (self.galsim is None) == (self.fits is None):
            raise ValueError("give galsim or fits; a plain Gaussian is fwhm_arcsec alone")
        return self


class BandWords(_Words):
    """One band as a file describes it, or what all of them share; `lensaudit.imaging.Band` says what fields mean."""

    filter: Annotated[str, Field(max_length=2000)] | Curve | None = None
    pixels: Annotated[int, Field(ge=1, le=2048)] | None = None
    pixel_scale_arcsec: Annotated[float, Field(gt=1e-3, le=60)] | None = None
    zero_point_mag: Magnitude | None = None
    unit: Annotated[str, Field(max_length=100)] = ELECTRONS_PER_S
    fwhm_arcsec: Annotated[float, Field(gt=1e-3, le=60)] | None = None
    wavelength_nm: Positive | None = None
    exposure_s: Positive | None = None
    exposures: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    read_noise_e: Amount = 0.0
    gain_e_per_adu: Positive = 1.0
    dark_e_per_s: Amount = 0.0
    sky_mag_per_arcsec2: Magnitude | None = None
    sigma: Positive | None = None
    depth: Depth | None = None
    electrons_per_unit: Positive | None = None
    electron_zero_point_mag: Magnitude | None = None
    psf: PsfWords | None = None
    kernel_radius_arcsec: Annotated[float, Field(gt=0, le=60)] | None = None
    noise_correlation: Correlation = ()


class InstrumentWords(_Words):
    """The whole file.

    Attributes
    ----------
    common
        Fields of every band that does not say otherwise.
    sources
        Field → where its numbers come from.
    """

    name: Identifier
    title: Annotated[str, Field(max_length=400)] = ""
    reference: str = ""
    colour: Annotated[tuple[str, ...], Field(max_length=2)] = ()
    default_population: Identifier = "euclid"
    counterparts: dict[Identifier, Identifier] = {}
    three_fold: bool = False
    ray_pixels: Annotated[int, Field(ge=1, le=MOST_RAYS)] | None = None
    ray_scale_arcsec: Positive | None = None
    common: BandWords = BandWords()
    bands: Annotated[dict[Identifier, BandWords], Field(min_length=1, max_length=32)]
    sources: dict[str, Annotated[str, Field(max_length=2000)]] = {}

    def built(self, folder: Path) -> Instrument:
        """The instrument; paths in it start from `folder`.

        Raises
        ------
        UsageError
            A field is missing or contradicts another, or a file of it cannot be used.
        """
        bands = tuple(_band(name, self.common, own, folder) for name, own in self.bands.items())
        names = tuple(self.bands)
        for field, chosen in (("reference", (self.reference,) if self.reference else ()), ("colour", self.colour)):
            if wrong := [name for name in chosen if name not in names]:
                raise UsageError(f"{field}: {wrong[0]} is none of the bands {', '.join(names)}")
        if len(self.colour) == 1:
            raise UsageError(f"colour: name two bands, the bluer first, not {self.colour[0]} alone")
        about = About(
            self.reference,
            self.colour,
            self.title,
            self.default_population,
            tuple(self.counterparts.items()),
            self.three_fold,
        )
        return instrument(self.name, bands, about, (self.ray_pixels, self.ray_scale_arcsec))


def _band(name: str, common: BandWords, own: BandWords, folder: Path) -> Band:
    words = common.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
    for field in ("pixels", "pixel_scale_arcsec", "zero_point_mag"):
        if getattr(words, field) is None:
            raise UsageError(f"bands.{name}: {field} is missing; give it there or under common")
    assert words.pixels is not None
    assert words.pixel_scale_arcsec is not None
    assert words.zero_point_mag is not None
    filter_name = _filter(name, words, folder)
    if words.wavelength_nm is None and filter_name is None:
        raise UsageError(f"bands.{name}: give a filter, or wavelength_nm")
    psf = _psf(name, words, folder)
    if psf is None and words.fwhm_arcsec is None:
        raise UsageError(f"bands.{name}: give fwhm_arcsec, or psf")
    try:
        check_correlation(words.noise_correlation)
    except ValueError as wrong:
        raise UsageError(f"bands.{name}: {wrong}") from wrong
    band = Band(
        name=name,
        pixels=words.pixels,
        pixel_scale_arcsec=words.pixel_scale_arcsec,
        fwhm_arcsec=words.fwhm_arcsec or 0.0,
        wavelength_nm=words.wavelength_nm or effective_wavelength_nm(filter_name or ""),
        zero_point_mag=words.zero_point_mag,
        exposure_s=words.exposure_s or 0.0,
        exposures=words.exposures,
        read_noise_e=words.read_noise_e,
        gain_e_per_adu=words.gain_e_per_adu,
        sky_mag_per_arcsec2=words.sky_mag_per_arcsec2,
        dark_e_per_s=words.dark_e_per_s,
        filter=filter_name,
        unit=words.unit,
        electrons_per_unit=_electrons(name, words),
        psf=psf,
        kernel_radius_arcsec=words.kernel_radius_arcsec,
        noise_correlation=words.noise_correlation,
    )
    changes: dict[str, Any] = {}
    if words.fwhm_arcsec is None:
        changes["fwhm_arcsec"] = kernel_fwhm_arcsec(own_kernel(band), band.pixel_scale_arcsec)
    return _with_noise(name, replace(band, **changes), words)


def _electrons(name: str, words: BandWords) -> float | None:
    """Electrons of 1 pixel unit, as given or from the magnitude that gives 1 electron/s."""
    if words.electron_zero_point_mag is None:
        return words.electrons_per_unit
    if words.electrons_per_unit is not None or words.exposure_s is None or words.zero_point_mag is None:
        raise UsageError(f"bands.{name}: electron_zero_point_mag goes with exposure_s and without electrons_per_unit")
    per_s = 10.0 ** (0.4 * (words.electron_zero_point_mag - words.zero_point_mag))
    return words.exposure_s * words.exposures * per_s


def _with_noise(name: str, band: Band, words: BandWords) -> Band:
    """The band with its background: from `sigma`, from a depth, or from sky, dark current and read-out."""
    where = f"bands.{name}"
    if words.sigma is not None and words.depth is not None:
        raise UsageError(f"{where}: sigma and depth both say the noise; keep one of them")
    sigma = words.sigma if words.depth is None else _sigma_of(band, words.depth)
    if sigma is None:
        if band.shot_electrons_per_unit is None:
            raise UsageError(f"{where}: give sigma, depth, or sky_mag_per_arcsec2 with exposure_s")
        if band.background_sigma == 0:
            raise UsageError(f"{where}: no noise at all; give sky_mag_per_arcsec2, read_noise_e, sigma or depth")
        return band
    electrons = band.shot_electrons_per_unit
    if electrons is None and band.sky_mag_per_arcsec2 is not None:
        # Where the sky makes the noise, its own Poisson statistics say what an electron is worth.
        electrons = band.flux(band.sky_mag_per_arcsec2) * band.pixel_scale_arcsec**2 / sigma**2
    return replace(band, sigma=sigma, electrons_per_unit=electrons)


def _sigma_of(band: Band, depth: Depth) -> float:
    """σ of a pixel from a limiting magnitude."""
    scale = band.pixel_scale_arcsec
    aperture = None if depth.aperture_arcsec is None else depth.aperture_arcsec / scale
    pixels = noise_pixels(band.noise_correlation, band.fwhm_arcsec / scale, aperture)
    return band.flux(depth.mag) / depth.snr / math.sqrt(pixels)


def _filter(name: str, words: BandWords, folder: Path) -> str | None:
    if words.filter is None or isinstance(words.filter, str):
        return words.filter
    curve = words.filter
    try:
        columns = (curve.wavelength, curve.response) if curve.file is None else _curve_file(folder / curve.file)
        return packed_curve(np.asarray(columns[0], float) * _NM[curve.unit], np.asarray(columns[1], float))
    except ValueError as wrong:
        where = "" if curve.file is None else f"{printable(curve.file, 100)}: "
        raise UsageError(f"bands.{name}.filter: {where}{wrong}; correct the curve") from wrong


_NM = {"nm": 1.0, "angstrom": 0.1}


def _curve_file(path: Path) -> tuple[list[float], list[float]]:
    """Two columns of numbers; lines that hold none are headings."""
    if regular_size(path) > LARGEST_CURVE:
        raise ValueError("is larger than a response curve")
    rows = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        words = line.split("#")[0].replace(",", " ").split()
        try:
            rows.append((float(words[0]), float(words[1])))
        except (IndexError, ValueError):
            continue
    return [row[0] for row in rows], [row[1] for row in rows]


def _psf(name: str, words: BandWords, folder: Path) -> OwnPsf | None:
    if words.psf is None:
        return None
    try:
        if words.psf.galsim is not None:
            return galsim_psf(words.psf.galsim)
        assert words.psf.fits is not None
        return measured_psf(folder / words.psf.fits.file, words.psf.fits.extension)
    except ValueError as wrong:
        raise UsageError(f"bands.{name}.psf: {wrong}") from wrong
