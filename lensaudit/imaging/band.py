"""What an instrument is: bands with their pixels, filter, noise, zero point and point-spread function.

The numbers stand in ``instruments/NAME.yaml``; `lensaudit.imaging.instruments` reads them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from lensaudit.documents import Json
from lensaudit.errors import UsageError
from lensaudit.imaging.correlation import Correlation, check_correlation
from lensaudit.records import Record
from lensaudit.scenes.scene import EUCLID_SKY, LSST_SKY, Sky

ELECTRONS_PER_S = "electron / s"
SKY_MARGIN_ARCSEC = 0.1
"""Field galaxies are drawn to this distance from the edge of a cutout."""


@dataclass(frozen=True)
class OwnPsf(Record):
    """A band's own point-spread function: a GalSim profile, or a kernel that was measured.

    Attributes
    ----------
    galsim
        A GalSim object as JSON, without the pixel; `lensaudit.imaging.own_psf` says which. Empty for a kernel.
    values
        The pixels of a square kernel, pixel response included: float32, little-endian, row by row, in base64.
    side, pixel_scale_arcsec
        Of the kernel.
    """

    galsim: str = ""
    values: str = ""
    side: int = 0
    pixel_scale_arcsec: float = 0.0


@dataclass(frozen=True)
class Band(Record):
    """One band of an instrument.

    Attributes
    ----------
    name
        ``VIS``, ``Y``, ``g``, ``F158`` …
    pixels
        Side of the square cutout.
    pixel_scale_arcsec
        Size of a pixel.
    fwhm_arcsec
        FWHM of the point-spread function, pixel response included.
    wavelength_nm
        Where the band sits; sets the diffraction of the three-fold PSF, and how far an edit of colour moves the band.
    zero_point_mag
        AB magnitude that gives 1 pixel unit.
    exposure_s, exposures
        Length of one exposure and their number; 0 s where only the noise of the sum is known.
    read_noise_e
        Electrons per pixel and read-out.
    gain_e_per_adu
        Electrons per count of the detector's converter.
    sky_mag_per_arcsec2
        Sky brightness; the mean sky is subtracted, its noise stays. None where `sigma` says it all.
    dark_e_per_s
        Dark current and thermal background, in electrons per pixel and second.
    filter
        Response: a name of `lensaudit.scenes.colours.response`; None where colours are not known.
    unit
        Of a pixel, in astropy's notation.
    sigma
        Standard deviation of the background in one pixel, in the band's unit; wins over sky, dark current and read-out.
    electrons_per_unit
        Electrons that stand behind 1 pixel unit, for photon noise; None: those of the exposure where the unit is
        electron/s, otherwise they are unknown and light adds no noise.
    psf
        The band's own PSF; None is a Gaussian of `fwhm_arcsec`, or what a scene says.
    kernel_radius_arcsec
        Half the side of the PSF's image; None takes `lensaudit.imaging.psf.KERNEL_RADIUS_ARCSEC`.
    noise_correlation
        Correlation of the noise of pixels ``[dy][dx]`` rows and columns apart; empty is white noise.
    """

    name: str
    pixels: int
    pixel_scale_arcsec: float
    fwhm_arcsec: float
    wavelength_nm: float
    zero_point_mag: float
    exposure_s: float = 0.0
    exposures: int = 1
    read_noise_e: float = 0.0
    gain_e_per_adu: float = 1.0
    sky_mag_per_arcsec2: float | None = None
    dark_e_per_s: float = 0.0
    filter: str | None = None
    unit: str = ELECTRONS_PER_S
    sigma: float | None = None
    electrons_per_unit: float | None = None
    psf: OwnPsf | None = None
    kernel_radius_arcsec: float | None = None
    noise_correlation: Correlation = ()

    def __post_init__(self) -> None:
        check_correlation(self.noise_correlation)

    def to_json(self) -> Json:
        """As a `Record`; white noise is not named, so that what was written before keeps its bytes."""
        words = super().to_json()
        if not self.noise_correlation:
            words.pop("noise_correlation")
        return words

    @property
    def total_exposure_s(self) -> float:
        """Time of all exposures together, in s."""
        return self.exposure_s * self.exposures

    @property
    def shot_electrons_per_unit(self) -> float | None:
        """Electrons behind 1 pixel unit, which set the photon noise of light; None where they are unknown."""
        if self.electrons_per_unit is not None:
            return self.electrons_per_unit
        return self.total_exposure_s if self.unit == ELECTRONS_PER_S and self.total_exposure_s > 0 else None

    @property
    def background_sigma(self) -> float:
        """Standard deviation of the background in one pixel of the co-added image, in the band's unit."""
        if self.sigma is not None:
            return self.sigma
        electrons = self.shot_electrons_per_unit
        assert electrons is not None, "a band has sigma, or an exposure"
        sky = 0.0
        if self.sky_mag_per_arcsec2 is not None:
            sky = self.flux(self.sky_mag_per_arcsec2) * self.pixel_scale_arcsec**2
        variance_e2 = sky * electrons + self.exposures * self.read_noise_e**2
        variance_e2 += self.dark_e_per_s * self.total_exposure_s
        return math.sqrt(variance_e2) / electrons

    def flux(self, magnitude: float) -> float:
        """Pixel units of an object of AB `magnitude`."""
        return 10.0 ** (-0.4 * (magnitude - self.zero_point_mag))


@dataclass(frozen=True)
class Instrument(Record):
    """A set of bands on one ray grid.

    Light is sampled once on the grid of `ray_pixels`² cells, `ray_scale_arcsec` apart, and each band sums the cells
    of its pixels. The grid may reach beyond the bands, so that all their pixels are whole blocks of it.

    Attributes
    ----------
    reference
        Band whose magnitude stays where an edit changes colours; empty takes the first.
    colour
        Two bands whose difference is the colour that truth and probes speak of; empty where there is one band.
    title
        What it is, in a few words.
    default_population
        What is drawn where nothing is asked for.
    counterparts
        Population → the one that stands for it here, for instruments that have populations of their own; empty: every
        population is drawn as it is.
    three_fold
        Whether scenes are drawn with the three-fold PSF of Euclid's mirror.
    """

    name: str
    bands: tuple[Band, ...]
    ray_pixels: int
    ray_scale_arcsec: float
    reference: str = ""
    colour: tuple[str, ...] = ()
    title: str = ""
    default_population: str = "euclid"
    counterparts: tuple[tuple[str, str], ...] = ()
    three_fold: bool = False

    def __post_init__(self) -> None:
        for band in self.bands:
            ratio = band.pixel_scale_arcsec / self.ray_scale_arcsec
            assert abs(ratio - round(ratio)) < 1e-9, "a band's pixel must be a whole number of ray steps"
            margin = self.ray_pixels - band.pixels * round(ratio)
            assert margin % (2 * round(ratio)) == 0, "a band's pixels must be whole blocks of the ray grid"

    def band(self, name: str) -> Band:
        """Return the band called `name`."""
        for band in self.bands:
            if band.name == name:
                return band
        raise UsageError(f"instrument {self.name} has no band '{name}'; it has {', '.join(self.band_names)}")

    @property
    def field_arcsec(self) -> float:
        """Side of the smallest band's cutout."""
        return min(band.pixels * band.pixel_scale_arcsec for band in self.bands)

    def shows(self, sky: Sky) -> bool:
        """Whether its bands are some of those of `sky`, by name and filter."""
        return all(band.filter is not None and sky.filter(band.name) == band.filter for band in self.bands)

    @cached_property
    def sky(self) -> Sky:
        """What scenes are drawn for: bands with their filters, the reference band, the field, and the kind of PSF.

        Instruments of Euclid's bands see the same scenes as Euclid; those with populations of their own need no others.
        """
        filters = tuple(band.filter or "" for band in self.bands)
        for known in (EUCLID_SKY, LSST_SKY):
            wide = self.field_arcsec / 2 >= known.half_width_arcsec - 1e-6 or bool(self.counterparts)
            if wide and self.shows(known) and self.three_fold == (known.psf == "drawn"):
                return known
        own = any(band.psf is not None for band in self.bands)
        return Sky(
            self.band_names,
            self.reference or self.bands[0].name,
            self.field_arcsec / 2 - SKY_MARGIN_ARCSEC,
            filters,
            "drawn" if self.three_fold else "instrument" if own else "gaussian",
        )

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands in order."""
        return tuple(band.name for band in self.bands)


COARSEST_RAY_ARCSEC = 0.1
"""Rays stand no farther apart, so that an arc's width is sampled whatever the pixel."""
MOST_RAYS = 4096


@dataclass(frozen=True)
class About:
    """What an instrument says beside its bands, as `Instrument` names it."""

    reference: str = ""
    colour: tuple[str, ...] = ()
    title: str = ""
    default_population: str = "euclid"
    counterparts: tuple[tuple[str, str], ...] = ()
    three_fold: bool = False


def instrument(
    name: str, bands: Sequence[Band], about: About, rays: tuple[int | None, float | None] = (None, None)
) -> Instrument:
    """Bands as an instrument, on a grid of rays that holds them.

    Parameters
    ----------
    rays
        Rays a side and their distance in arcsec, where they are not to be chosen here.

    Raises
    ------
    UsageError
        The bands do not fit one grid.
    """
    bands = tuple(bands)
    ordered = sorted(bands, key=lambda band: band.wavelength_nm)
    ends = (ordered[0].name, ordered[-1].name) if len(bands) > 1 else ()
    said = {item.name: getattr(about, item.name) for item in fields(about)}
    said |= {"reference": about.reference or bands[0].name, "colour": about.colour or ends}
    return Instrument(name, bands, *ray_grid(bands, *rays), **said)


def resized(instrument: Instrument, field_arcsec: float) -> Instrument:
    """The instrument with cutouts of another width, rounded to an even number of pixels in every band.

    Raises
    ------
    UsageError
        Its bands have no common grid of that size.
    """
    bands = tuple(
        replace(band, pixels=2 * max(round(field_arcsec / band.pixel_scale_arcsec / 2), 1)) for band in instrument.bands
    )
    if bands == instrument.bands:
        return instrument
    name = f"{instrument.name}-{field_arcsec:.4g}arcsec".replace(".", "p")
    rays, step = ray_grid(bands, scale_arcsec=instrument.ray_scale_arcsec)
    return replace(instrument, name=name, bands=bands, ray_pixels=rays, ray_scale_arcsec=step)


def ray_grid(
    bands: tuple[Band, ...], pixels: int | None = None, scale_arcsec: float | None = None
) -> tuple[int, float]:
    """Rays a side and their distance, so that every band's pixels are whole blocks of rays.

    Pixels of 0.1″ and less have one ray each, coarser ones an even number a side: centred cusps then fall on none.

    Raises
    ------
    UsageError
        The pixel scales or the sizes of the bands do not fit one grid.
    """
    scales = [band.pixel_scale_arcsec for band in bands]
    step = scale_arcsec or _common_step(scales)
    ratios = [round(scale / step) for scale in scales]
    if any(abs(scale / step - ratio) > 1e-9 or ratio < 1 for scale, ratio in zip(scales, ratios, strict=True)):
        raise UsageError(
            f"bands: pixels of {', '.join(f'{scale:g}″' for scale in dict.fromkeys(scales))} are not whole multiples "
            f"of one ray step ({step:g}″); give ray_scale_arcsec, or resample them to one scale"
        )
    blocks = [(band.pixels * ratio, 2 * ratio) for band, ratio in zip(bands, ratios, strict=True)]
    least = max(side for side, _ in blocks)
    sizes = range(least, least + 1 + 2 * math.lcm(*ratios)) if pixels is None else (pixels,)
    for size in sizes:
        if size >= least and all((size - side) % step == 0 for side, step in blocks):
            if size > MOST_RAYS:
                raise UsageError(f"bands: {size} rays a side are needed, at most {MOST_RAYS}; take smaller cutouts")
            return size, step
    raise UsageError(
        "bands: their pixels do not share one centre on one grid of rays; make their numbers of pixels all even or all "
        "odd"
    )


def _common_step(scales: list[float]) -> float:
    """The coarsest step that all scales are multiples of, at most 0.1″."""
    micro = math.gcd(*(round(scale * 1e6) for scale in scales))
    finest = min(scales)
    step = micro / 1e6 if micro >= 0.01 * 1e6 else finest
    if step <= COARSEST_RAY_ARCSEC * (1 + 1e-9):
        return next((scale for scale in scales if abs(scale - step) < 1e-9), step)
    return step / (2 * math.ceil(step / COARSEST_RAY_ARCSEC / 2 - 1e-9))
