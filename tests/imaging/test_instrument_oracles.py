"""Instruments against numbers from elsewhere: the missions' documents, GalSim, speclite, lenstronomy, real cutouts."""

import math
from dataclasses import replace

import galsim
import galsim.roman
import numpy as np
import pytest
from lenstronomy.SimulationAPI.observation_api import SingleBand
from lenstronomy.SimulationAPI.ObservationConfig.DES import DES
from speclite.filters import load_filter

from lensaudit.imaging import INSTRUMENTS, kernel, noiseless_images, render
from lensaudit.imaging.own_psf import galsim_profile, galsim_psf, kernel_fwhm_arcsec
from lensaudit.scenes import EUCLID_SKY, Galaxy, Light, Psf, Scene, colours, draw_scene
from lensaudit.scenes.colours import response

PLANCK_ERG_S = 6.62607015e-27
JANSKY_AB = 3631e-23
BANDS = [(name, band.name) for name in INSTRUMENTS for band in INSTRUMENTS[name].bands]


def band_of(instrument: str, band: str):
    return INSTRUMENTS[instrument].band(band)


def depth_mag(band, pixels: float | None = None, snr: float = 5.0, source_noise: bool = False) -> float:
    """Limiting magnitude: over LSST's n_eff pixels by default."""
    pixels = pixels or 2.266 * (band.fwhm_arcsec / band.pixel_scale_arcsec) ** 2
    noise = band.background_sigma * math.sqrt(pixels)
    if source_noise:
        noise = noise * band.shot_electrons_per_unit
        electrons = (snr**2 + math.sqrt(snr**4 + 4 * snr**2 * noise**2)) / 2
        return band.zero_point_mag - 2.5 * math.log10(electrons / band.shot_electrons_per_unit)
    return band.zero_point_mag - 2.5 * math.log10(snr * noise)


def zero_point_of(filter_name: str, area_cm2: float) -> float:
    """AB magnitude of 1 electron/s, from a curve that holds the whole throughput."""
    curve = response(filter_name)
    wavelength = curve.wavelength * 1e-8
    photons = JANSKY_AB / PLANCK_ERG_S * np.trapezoid(curve.response / wavelength, wavelength)
    return 2.5 * math.log10(photons * area_cm2)


@pytest.mark.parametrize(
    ("band", "m5"), [("u", 23.70), ("g", 24.97), ("r", 24.52), ("i", 24.13), ("z", 23.56), ("y", 22.55)]
)
def test_a_visit_of_lsst_is_as_deep_as_the_project_says(band, m5):
    visit = replace(band_of("lsst-ugrizy", band), exposures=1)
    # SMTN-002's own sums hold the sky's spectrum, ours its magnitude and kAtm: a few hundredths apart.
    assert depth_mag(visit, source_noise=True) == pytest.approx(m5, abs=0.03)


@pytest.mark.parametrize("band", "ugrizy")
def test_zero_points_of_lsst_follow_from_its_curves(band):
    # speclite's lsst2023 is an older release of the throughputs (1.7 against 1.9): up to a tenth in u.
    expected = zero_point_of(f"lsst2023-{band}", math.pi * (642.3 / 2) ** 2)
    assert band_of("lsst-ugrizy", band).zero_point_mag == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("band", INSTRUMENTS["roman"].band_names)
def test_roman_is_galsims(band):
    ours = band_of("roman", band)
    name = next(name for name in galsim.roman.getBandpasses() if name[1:] == band[1:])
    theirs = galsim.roman.getBandpasses()[name]
    zero_point = theirs.zeropoint + 2.5 * math.log10(galsim.roman.collecting_area)
    assert ours.zero_point_mag == pytest.approx(zero_point, abs=0.006)  # rounded to hundredths in the YAML
    sky = galsim.roman.getSkyLevel(theirs) * (1 + galsim.roman.stray_light_fraction) * galsim.roman.pixel_scale**2
    dark = (galsim.roman.dark_current + galsim.roman.thermal_backgrounds[name]) * galsim.roman.exptime
    n = galsim.roman.n_dithers
    sigma = math.sqrt(n * (sky + dark + galsim.roman.read_noise**2)) / (n * galsim.roman.exptime)
    assert ours.background_sigma == pytest.approx(sigma, rel=0.01)
    assert ours.pixel_scale_arcsec == galsim.roman.pixel_scale


def test_q1_has_the_noise_of_the_released_cutouts():
    vis = band_of("euclid-q1", "VIS")
    one_sigma = vis.zero_point_mag - 2.5 * math.log10(vis.background_sigma)
    assert one_sigma == pytest.approx(30.6, abs=0.1)  # RMS planes of the four cutouts lie between 30.5 and 30.7


@pytest.mark.parametrize("band", "griz")
def test_des_has_the_noise_lenstronomy_gives_it(band):
    settings = DES(band, coadd_years=3).kwargs_single_band()
    theirs = SingleBand(**settings).background_noise * 10 ** (0.4 * (30.0 - settings["magnitude_zero_point"]))
    # Theirs is the sum of sky and read-out of ten exposures, ours the depth measured on the coadds.
    assert band_of("des", band).background_sigma == pytest.approx(theirs, rel=0.15)


@pytest.mark.parametrize(("band", "depth"), [("F606W", 28.14), ("F814W", 27.52)])
def test_hst_has_galsims_zero_points_and_about_the_depth_of_aegis(band, depth):
    ours = band_of("hst-acs", band)
    theirs = galsim.Bandpass(f"ACS_wfc_{band}.dat", wave_type="nm").withZeropoint("AB").zeropoint
    assert ours.zero_point_mag == pytest.approx(theirs + 2.5 * math.log10(45238.93416), abs=0.03)  # two calibrations
    aperture = math.pi * (0.12 / ours.pixel_scale_arcsec) ** 2
    # Davis et al. 2007: 5 σ of a point source in a radius of 0.12″; it holds some 70 % of the light.
    assert depth_mag(ours, aperture) + 2.5 * math.log10(0.7) == pytest.approx(depth, abs=0.2)


ZODIACAL_LIGHT = {
    4000: 4.64, 4500: 5.58, 5000: 5.15, 5500: 5.34, 6000: 5.25, 6500: 4.92, 7000: 4.55, 7500: 4.23, 8000: 3.92,
    8500: 3.50, 9000: 3.23, 9500: 2.98, 10000: 2.78,
}  # fmt: skip
"""Å → 1e-18 erg/s/cm²/Å/arcsec² where V = 22.1: Table 6.4 of the STIS Instrument Handbook, every second row."""


@pytest.mark.parametrize("band", ["F606W", "F814W"])
def test_the_sky_of_hst_is_the_handbooks_zodiacal_light(band):
    curve = response(f"galsim/ACS_wfc_{band}")
    angstrom = curve.wavelength
    light = np.interp(angstrom, list(ZODIACAL_LIGHT), list(ZODIACAL_LIGHT.values())) * 1e-18 * 10 ** (-0.4 * 0.6)
    flat = JANSKY_AB * 2.99792458e18 / angstrom**2
    mean = np.trapezoid(light * curve.response * angstrom, angstrom)
    of_zero = np.trapezoid(flat * curve.response * angstrom, angstrom)
    expected = -2.5 * math.log10(mean / of_zero)
    assert band_of("hst-acs", band).sky_mag_per_arcsec2 == pytest.approx(expected, abs=0.02)  # rows left out


@pytest.mark.parametrize(("band", "filter_name"), [("g", "g"), ("r", "r2"), ("i", "i2"), ("z", "z"), ("y", "y")])
def test_electrons_of_hsc_follow_from_its_curves(band, filter_name):
    zero_point = zero_point_of(f"hsc2017-{filter_name}", 0.9 * math.pi * 410.0**2)
    seconds = 600.0 if band in "gr" else 1200.0
    electrons = seconds * 10 ** (0.4 * (zero_point - 27.0))
    assert band_of("hsc", band).shot_electrons_per_unit == pytest.approx(electrons, rel=0.06)  # 0.05 mag of rounding


@pytest.mark.parametrize(("instrument", "band"), [("kids", b) for b in "ugri"] + [("des", b) for b in "griz"])
def test_an_aperture_is_as_deep_as_it_says(instrument, band):
    ours = band_of(instrument, band)
    said = {"kids": dict(zip("ugri", (24.23, 25.12, 25.02, 23.68), strict=True)),
            "des": dict(zip("griz", (24.7, 24.4, 23.8, 23.1), strict=True))}[instrument][band]  # fmt: skip
    diameter, snr = {"kids": (2.0, 5.0), "des": (1.95, 10.0)}[instrument]
    rng = np.random.default_rng(1)
    half = int(diameter / ours.pixel_scale_arcsec) + 1
    fine = (np.arange(-half * 10, half * 10) + 0.5) / 10
    circle = np.hypot(fine[:, None], fine) * ours.pixel_scale_arcsec < diameter / 2
    weight = circle.reshape(2 * half, 10, 2 * half, 10).mean(axis=(1, 3))
    sums = (rng.normal(0.0, ours.background_sigma, (4000, 2 * half, 2 * half)) * weight).sum(axis=(1, 2))
    measured = ours.zero_point_mag - 2.5 * math.log10(snr * sums.std())
    # 4000 apertures know σ to 1 %; partly covered pixels average noise a little: 0.04 mag with a radius of 4 pixels.
    assert measured == pytest.approx(said, abs=0.08)


def test_seeing_and_depth_of_hsc_and_kids_are_about_what_others_measured():
    # Image simulations of both teams: medians over KiDS DR4's tiles, and pixels of HSC's third release (zero point 27).
    seeing = {"kids": (1.029, 0.882, 0.695, 0.812), "hsc": (0.798, 0.749, 0.617, 0.697, 0.688)}
    for name, others in seeing.items():
        assert [band.fwhm_arcsec for band in INSTRUMENTS[name].bands] == pytest.approx(others, abs=0.02)
    variances = (1.4e-3, 2.9e-3, 4.7e-3, 19e-3, 85e-3)
    for band, variance in zip(INSTRUMENTS["hsc"].bands, variances, strict=True):
        # Correlated pixels scatter less than white noise of the same depth, and fields differ by a tenth or two.
        assert depth_mag(band) == pytest.approx(depth_mag(replace(band, sigma=math.sqrt(variance))), abs=0.25)


@pytest.mark.parametrize(("instrument", "band"), BANDS)
def test_noise_of_a_rendered_image_is_the_bands(instrument, band):
    ours = INSTRUMENTS[instrument]
    one = replace(ours, bands=(ours.band(band),), reference=band, colour=())
    scene = draw_scene("no-source", 3, 4, one.sky)
    rendered = render(replace(scene, galaxies=scene.galaxies[:1]), one)
    noise = rendered.images[band] - rendered.noiseless[band]
    edge = np.r_[noise[:6].ravel(), noise[-6:].ravel()]
    # Some 500 pixels and more know σ to 3 %; the galaxy's wings add photon noise to the faintest skies.
    assert edge.std() == pytest.approx(one.bands[0].background_sigma, rel=0.15)


@pytest.mark.parametrize(("instrument", "band"), BANDS)
def test_psfs_are_as_wide_as_they_say(instrument, band):
    ours = band_of(instrument, band)
    values = kernel(Psf("instrument" if ours.psf else "gaussian"), ours)
    assert values.sum() == pytest.approx(1.0, abs=1e-12)
    # The area above half the maximum on an interpolated grid of NISP's 1.6 pixels a FWHM.
    assert kernel_fwhm_arcsec(values, ours.pixel_scale_arcsec) == pytest.approx(ours.fwhm_arcsec, rel=0.04)


@pytest.mark.parametrize("filter_name", ["hsc2017-g", "lsst2023-u", "decam2014-z", "sdss2010-r", "roman/F158"])
@pytest.mark.parametrize(("spectrum", "z"), [("red", 0.45), ("blue", 1.9)])
def test_magnitudes_are_those_of_speclite_on_the_curve(filter_name, spectrum, z):
    mix = colours.draw_template_mix(spectrum, z, np.random.default_rng(5))
    wavelength, templates = colours._templates()
    seen, curve = wavelength * (1 + z), response(filter_name)
    flux, reference = (mix @ templates) / (1 + z), load_filter("Euclid-VIS")
    theirs = -2.5 * np.log10(curve.get_ab_maggies(flux, seen) / reference.get_ab_maggies(flux, seen))
    sky = replace(EUCLID_SKY, bands=("VIS", "x"), filters=("Euclid-VIS", filter_name), reference="VIS")
    ours = colours.magnitudes_on(sky, mix, z, 20.0)
    # Linear in redshift between rows 0.033 apart.
    assert ours["x"] - ours["VIS"] == pytest.approx(float(theirs), abs=0.03)


def sersic(instrument, r_eff: float, n: float):
    part = Light("sersic", dict.fromkeys(instrument.band_names, 20.0), r_eff, n, 0.6, 0.6)
    scene = Scene("no-source", (Galaxy("lens", 0.5, 0.13, -0.21, (part,)),), psf=Psf("instrument"))
    return noiseless_images(scene, instrument)


def galsims(band, r_eff: float, n: float):
    light = galsim.Sersic(n=n, half_light_radius=r_eff, flux=band.flux(20.0))
    light = light.shear(q=0.6, beta=0.6 * galsim.radians).shift(0.13, -0.21)
    seen = galsim.Convolve(light, galsim_profile(band.psf.galsim))
    return seen.drawImage(nx=band.pixels, ny=band.pixels, scale=band.pixel_scale_arcsec).array


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("moffat", 0.01), ("hst-acs", 0.02), ("roman", 0.03)],  # of the peak; Roman's F106 has one pixel a FWHM
)
def test_galsim_draws_the_same_sersic_through_the_same_psf(name, tolerance):
    if name == "moffat":
        hsc = INSTRUMENTS["hsc"]
        moffat = galsim_psf({"type": "Moffat", "beta": 3.0, "fwhm": 0.6})
        band = replace(hsc.band("i"), psf=moffat, kernel_radius_arcsec=5.0)
        ours = replace(hsc, bands=(band,), reference="i", colour=())
    else:
        whole = INSTRUMENTS[name]
        ours = replace(whole, bands=whole.bands[:1], reference="", colour=())
    mine, theirs = sersic(ours, 0.3, 1.0)[ours.band_names[0]], galsims(ours.bands[0], 0.3, 1.0)
    assert np.abs(mine - theirs).max() < tolerance * theirs.max()
    assert mine.sum() == pytest.approx(theirs.sum(), rel=0.01)  # light beyond the edge of a kernel
