"""Instruments: bands with their pixels, exposure, noise and zero point; every constant stands here once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lensaudit.errors import UsageError


@dataclass(frozen=True)
class Band:
    """One band of an instrument.

    Attributes
    ----------
    name
        ``VIS``, ``Y``, ``J``, ``H`` or ``g``.
    pixels
        Side of the square cutout.
    pixel_scale_arcsec
        Size of a pixel.
    fwhm_arcsec
        FWHM of the point-spread function, pixel response included.
    wavelength_nm
        Where the band sits; sets the diffraction of the three-fold PSF.
    zero_point_mag
        AB magnitude that gives 1 electron/s.
    exposure_s, exposures
        Length of one exposure and their number.
    read_noise_e
        Electrons per pixel and read-out.
    gain_e_per_adu
        Electrons per count of the detector's converter; images here are in electron/s.
    sky_mag_per_arcsec2
        Sky brightness; the mean sky is subtracted, its noise stays.
    """

    name: str
    pixels: int
    pixel_scale_arcsec: float
    fwhm_arcsec: float
    wavelength_nm: float
    zero_point_mag: float
    exposure_s: float
    exposures: int
    read_noise_e: float
    gain_e_per_adu: float
    sky_mag_per_arcsec2: float

    @property
    def total_exposure_s(self) -> float:
        """Time of all exposures together, in s."""
        return self.exposure_s * self.exposures

    @property
    def background_sigma(self) -> float:
        """Standard deviation of sky and read noise in one pixel of the co-added image, in electron/s."""
        sky = self.electrons_per_s(self.sky_mag_per_arcsec2) * self.pixel_scale_arcsec**2
        variance_e2 = sky * self.total_exposure_s + self.exposures * self.read_noise_e**2
        return math.sqrt(variance_e2) / self.total_exposure_s

    def electrons_per_s(self, magnitude: float) -> float:
        """Electrons per second of an object of AB `magnitude`."""
        return 10.0 ** (-0.4 * (magnitude - self.zero_point_mag))


@dataclass(frozen=True)
class Instrument:
    """A set of bands on one ray grid.

    Light is sampled once on the grid of `ray_pixels`² cells, `ray_scale_arcsec` apart, and each band sums the cells
    of its pixels. The grid may reach beyond the bands, so that all their pixels are whole blocks of it.
    """

    name: str
    bands: tuple[Band, ...]
    ray_pixels: int
    ray_scale_arcsec: float

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
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands in order."""
        return tuple(band.name for band in self.bands)


# Exposure, read noise, gain, sky and zero point from the public notebook of Wilde et al. 2022; NISP FWHM from the
# Euclid Quick Release documents (0.48–0.50″), VIS FWHM 0.16″.
_NISP = {
    "pixels": 66,
    "pixel_scale_arcsec": 0.3,
    "zero_point_mag": 24.0,
    "exposure_s": 264.0,
    "exposures": 3,
    "read_noise_e": 10.0,
    "gain_e_per_adu": 4.5,
    "sky_mag_per_arcsec2": 22.35,
}
EUCLID = Instrument(
    name="euclid",
    bands=(
        Band(
            name="VIS",
            pixels=200,
            pixel_scale_arcsec=0.1,
            fwhm_arcsec=0.16,
            wavelength_nm=700.0,
            zero_point_mag=24.0,
            exposure_s=1800.0,
            exposures=3,
            read_noise_e=4.2,
            gain_e_per_adu=3.1,
            sky_mag_per_arcsec2=22.35,
        ),
        Band(name="Y", fwhm_arcsec=0.48, wavelength_nm=1080.0, **_NISP),  # type: ignore[arg-type]
        Band(name="J", fwhm_arcsec=0.49, wavelength_nm=1370.0, **_NISP),  # type: ignore[arg-type]
        Band(name="H", fwhm_arcsec=0.50, wavelength_nm=1770.0, **_NISP),  # type: ignore[arg-type]
    ),
    ray_pixels=204,
    ray_scale_arcsec=0.1,
)

# Lanusse et al. 2018: 45×45 at 0.18″, seeing 0.81″, sky 21.7; their best single exposure. Zero point and read noise
# of one 2×15 s visit from the LSST Science Book (g: 28.33 e/s, 5 e per read-out).
LSST = Instrument(
    name="lsst",
    bands=(
        Band(
            name="g",
            pixels=45,
            pixel_scale_arcsec=0.18,
            fwhm_arcsec=0.81,
            wavelength_nm=478.0,
            zero_point_mag=28.33,
            exposure_s=15.0,
            exposures=2,
            read_noise_e=5.0,
            gain_e_per_adu=1.0,
            sky_mag_per_arcsec2=21.7,
        ),
    ),
    # An even number of rays a pixel: the centred deflectors' cusps then never fall on a sample.
    ray_pixels=180,
    ray_scale_arcsec=0.045,
)

# The worst-seeing stack of Lanusse et al. 2018: all 3 000 s of a field. The exposures of 15 s are degraded to one
# seeing before they are added, so that only the noise of the sum differs; the seeing comes with the population.
LSST_STACK = replace(LSST, name="lsst-stack", bands=(replace(LSST.band("g"), exposures=200),))

# The cutouts of challenge 1: VIS alone, 101 pixels of 0.1″.
VIS101 = Instrument(
    name="vis101", bands=(replace(EUCLID.band("VIS"), pixels=101),), ray_pixels=105, ray_scale_arcsec=0.1
)

INSTRUMENTS = {instrument.name: instrument for instrument in (EUCLID, VIS101, LSST, LSST_STACK)}


def get_instrument(name: str) -> Instrument:
    """Look an instrument up by its name.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name not in INSTRUMENTS:
        raise UsageError(f"instrument '{name}' is unknown; choose one of {', '.join(INSTRUMENTS)}")
    return INSTRUMENTS[name]
