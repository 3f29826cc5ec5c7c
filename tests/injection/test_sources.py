"""Real galaxies as sources: GalSim's catalogue, a folder of stamps, and what an interpolated image must keep."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import galsim
import numpy as np
import pytest
from astropy.io import fits

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import EUCLID, noiseless_images
from lensaudit.imaging.canvas import surface_brightness
from lensaudit.imaging.stamps import deconvolved, raw_stamp, real_galaxies, stamp_image
from lensaudit.injection import InjectionSettings
from lensaudit.injection.sources import Wanted, library, sources_of, stamp_of
from lensaudit.scenes import EUCLID_SKY, Galaxy, Light, Psf, Scene, Sky, Stamp

REAL = Path(os.environ.get("LENSAUDIT_REAL_DATA", Path(__file__).parents[3] / "shared" / "real")) / "hst-galaxies"
HSC_SKY = Sky(("g", "i", "y"), "i", 8.0, ("hsc2017-g", "hsc2017-i", "hsc2017-y"), "instrument")
WANTED = Wanted(EUCLID_SKY, 1.6, 23.4, 0.2, -0.1)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> Path:
    """A folder of two stamps of a known galaxy seen through a known PSF, and one without a galaxy."""
    folder = tmp_path_factory.mktemp("stamps")
    psf = galsim.Moffat(beta=3.5, fwhm=0.12)
    for name, light in (("a", exponential(0.4)), ("b", exponential(0.4).shear(g1=0.3)), ("empty", None)):
        seen = galsim.Convolve(light, psf) * 100 if light else galsim.Gaussian(sigma=1, flux=1e-9)
        image = seen.drawImage(nx=161, ny=151, scale=0.03, method="no_pixel").array
        image = image + np.random.default_rng(3).normal(0, 2e-3, image.shape)
        kernel = psf.drawImage(nx=61, ny=61, scale=0.03, method="no_pixel").array
        hdus = [fits.PrimaryHDU(image.astype("f4"), fits.Header({"PIXSCALE": 0.03})), fits.ImageHDU(kernel, name="PSF")]
        fits.HDUList(hdus).writeto(folder / f"{name}.fits")
    return folder


def exponential(radius: float) -> galsim.GSObject:
    return galsim.Exponential(half_light_radius=radius)


def stamp_light(stamp: Stamp, **more) -> Light:
    return Light(
        profile="stamp", magnitudes=dict.fromkeys(EUCLID_SKY.bands, 21.0), stamp=stamp, **{"r_eff_arcsec": 0.5, **more}
    )


def test_a_stamp_is_the_galaxy_without_its_psf(made_up):
    stamp = stamp_of(str(made_up / "a.fits"), 0)
    image = stamp_image(stamp)
    # 4 %: the cut at 1.5 σ takes some of the wings, the blur that is left widens the core
    assert image.half_light_arcsec == pytest.approx(0.4, rel=0.04)
    assert image.centre == pytest.approx((75 + 2, 80 + 2), abs=0.3)
    truth = exponential(0.4)
    blurred = galsim.Convolve(truth, galsim.Gaussian(fwhm=0.9 * galsim.Moffat(beta=3.5, fwhm=0.12).calculateFWHM()))
    drawn = blurred.drawImage(nx=101, ny=101, scale=0.03, method="no_pixel").array / 0.03**2
    axis = (np.arange(101) - 50) * 0.03
    x, y = np.meshgrid(axis, axis)
    # 5 % of the peak: the stamp's noise, deconvolved
    np.testing.assert_allclose(image.brightness(x, y), drawn, atol=0.05 * drawn.max())


def test_flux_and_half_light_radius_stay_through_scaling_turning_and_flattening(made_up):
    stamp = stamp_of(str(made_up / "b.fits"), 0)
    axis = (np.arange(601) - 300) * 0.01
    x, y = np.meshgrid(axis, axis)
    for light in (
        stamp_light(stamp),
        stamp_light(stamp, r_eff_arcsec=0.25),
        stamp_light(stamp, angle_rad=0.7),
        stamp_light(stamp, axis_ratio=0.5, angle_rad=2.0),
    ):
        values = surface_brightness(light, x, y) * 0.01**2
        # 0.5 %: a cubic spline, not below zero
        assert values.sum() == pytest.approx(1.0, rel=5e-3)
        if light.axis_ratio == 1.0:
            radius = np.sort(np.hypot(x, y).ravel())
            grown = np.cumsum(values.ravel()[np.argsort(np.hypot(x, y), axis=None)])
            assert float(np.interp(0.5, grown, radius)) == pytest.approx(light.r_eff_arcsec, rel=0.01)


def test_a_turned_stamp_is_turned_counter_clockwise(made_up):
    stamp = stamp_of(str(made_up / "b.fits"), 0)
    axis = (np.arange(201) - 100) * 0.02
    x, y = np.meshgrid(axis, axis)
    values = surface_brightness(stamp_light(stamp, angle_rad=0.6), x, y)
    angle = 0.5 * math.atan2(2 * (values * x * y).sum(), (values * (x * x - y * y)).sum())
    assert angle == pytest.approx(0.6, abs=0.05)  # a galaxy sheared along x; noise turns it a little


def test_a_scene_with_a_stamp_is_json_and_renders_its_flux(made_up):
    stamp = stamp_of(str(made_up / "a.fits"), 0)
    scene = Scene("companions", (Galaxy("companion", 0.5, 0.3, 0.1, (stamp_light(stamp),)),), psf=Psf())
    again = Scene.from_json(json.loads(json.dumps(scene.to_json())))
    assert again == scene
    image = noiseless_images(again, EUCLID)["VIS"]
    # 1 %: rays of 0.1″
    assert image.sum() == pytest.approx(EUCLID.band("VIS").flux(21.0), rel=0.01)


def test_scenes_without_stamps_are_written_as_before():
    light = Light("sersic", {"VIS": 22.0}, 0.3)
    record = Scene("companions", (Galaxy("companion", 0.5, 0, 0, (light,)),)).to_json()
    assert "stamp" not in record["galaxies"][0]["light"][0]
    with pytest.raises(DataError, match="a stamp goes with the profile stamp alone"):
        replace(light, stamp=Stamp("x.fits", 0, "0" * 64))


def test_another_galaxy_under_the_same_name_is_refused(made_up):
    stamp = stamp_of(str(made_up / "a.fits"), 0)
    with pytest.raises(DataError, match="has other pixels than the scene was made with"):
        stamp_image(replace(stamp, sha256="0" * 64))


def test_sources_of_a_folder_take_the_place_flux_and_size_of_drawn_ones(made_up):
    draw = sources_of(InjectionSettings(sources=(str(made_up),)))
    smooth, _ = sources_of(InjectionSettings())(np.random.default_rng(5), WANTED)
    galaxy, words = draw(np.random.default_rng(5), WANTED)
    assert words in {"stamp a.fits", "stamp b.fits"}  # the empty one cannot be used
    assert galaxy.light[0].r_eff_arcsec == smooth.light[0].r_eff_arcsec
    assert (galaxy.x_arcsec, galaxy.y_arcsec, galaxy.redshift) == (0.2, -0.1, 1.6)
    assert dict(galaxy.light[0].magnitudes) == dict(smooth.light[0].magnitudes)
    assert draw(np.random.default_rng(5), WANTED) == (galaxy, words)


def test_what_cannot_be_sources_is_said(tmp_path, made_up):
    with pytest.raises(UsageError, match="no such catalogue or folder; give one, or populations"):
        sources_of(InjectionSettings(sources=(str(tmp_path / "none"),)))
    with pytest.raises(DataError, match="holds no FITS file"):
        sources_of(InjectionSettings(sources=(str(tmp_path),)))
    with pytest.raises(DataError, match="no column GAL_FILENAME"):
        sources_of(InjectionSettings(sources=(str(made_up / "a.fits"),)))
    fits.PrimaryHDU(np.ones((40, 40), "f4")).writeto(tmp_path / "bare.fits")
    with pytest.raises(DataError, match="a stamp needs an image and an extension PSF"):
        raw_stamp(tmp_path / "bare.fits", 0)


needs_hst = pytest.mark.skipif(not REAL.is_dir(), reason="needs shared/real/hst-galaxies, or LENSAUDIT_REAL_DATA")


@needs_hst
def test_the_deconvolved_image_is_that_of_galsims_own_real_galaxy():
    path = REAL / "AEGIS_F814w_catalog.fits"
    raw = raw_stamp(path, 4)
    ours = deconvolved(raw, "here")
    own = galsim.RealGalaxy(real_galaxies(path), index=4)
    psf = galsim.InterpolatedImage(galsim.Image(np.ascontiguousarray(raw.psf), scale=0.03), flux=1.0)
    target = galsim.Gaussian(fwhm=0.9 * psf.calculateFWHM())
    wanted = galsim.Convolve(own, target).drawImage(nx=41, ny=41, scale=0.03, method="no_pixel").array
    axis = np.arange(41) - 20
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    shift = np.array(ours.centre) - 2 - (np.array(raw.image.shape) - 1) / 2
    found = ours.brightness((columns - shift[1]) * 0.03, (rows - shift[0]) * 0.03)
    bright = wanted > 0.3 * wanted.max()
    # the sky that we take away, and the normalisation, are one factor and one small offset
    ratio = found[bright] / wanted[bright]
    assert ratio.std() / ratio.mean() < 0.02


@needs_hst
def test_two_hst_bands_give_texture_and_colour():
    paths = tuple(str(REAL / f"AEGIS_F{band}w_catalog.fits") for band in ("814", "606"))
    one = library(paths[:1]).draw(np.random.default_rng(1), replace(WANTED, sky=HSC_SKY))[0]
    galaxy, words = library(paths).draw(np.random.default_rng(1), replace(WANTED, sky=HSC_SKY))
    assert words.startswith("galaxy ")
    assert words.endswith("of AEGIS_F814w_catalog.fits")
    assert len(one.light) == 1
    assert len(galaxy.light) == 2
    red, blue = galaxy.light
    assert red.stamp != blue.stamp
    # g has the texture of F606W, y that of F814W
    assert red.magnitudes["g"] - blue.magnitudes["g"] > 3
    assert blue.magnitudes["y"] - red.magnitudes["y"] > 3
    for band in HSC_SKY.bands:
        assert 20 < galaxy.magnitude(band) < 26


@needs_hst
def test_catalogues_of_other_galaxies_are_refused():
    with pytest.raises(DataError, match="hold other galaxies"):
        library((str(REAL / "AEGIS_F814w_catalog.fits"), str(REAL / "test_catalog.fits")))
