"""A source as a real galaxy and as its smooth counterpart: the same flux, size and shape, by stamps that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import galsim
import numpy as np
import pytest
from astropy.io import fits

from lensaudit.errors import UsageError
from lensaudit.imaging import EUCLID, noiseless_images
from lensaudit.injection.texture import shape_of, source_texture
from lensaudit.scenes import Psf, draw_scene

G = 0.3


@pytest.fixture(scope="module")
def stamps(tmp_path_factory) -> str:
    """A folder with one galaxy of axis ratio (1 − g)/(1 + g), at 20° to the rows."""
    folder, psf = tmp_path_factory.mktemp("stamps"), galsim.Moffat(beta=3.5, fwhm=0.12)
    light = galsim.Exponential(half_light_radius=0.4).shear(g=G, beta=20 * galsim.degrees) * 100
    image = galsim.Convolve(light, psf).drawImage(nx=181, ny=181, scale=0.03, method="no_pixel").array
    image = image + np.random.default_rng(3).normal(0, 2e-4, image.shape)
    kernel = psf.drawImage(nx=61, ny=61, scale=0.03, method="no_pixel").array
    first = fits.PrimaryHDU(image.astype("f4"), fits.Header({"PIXSCALE": 0.03}))
    fits.HDUList([first, fits.ImageHDU(kernel, name="PSF")]).writeto(folder / "a.fits")
    return str(folder)


def scene(index: int = 0):
    return draw_scene("single-centred", 4, index)


def source_alone(edited):
    """The source of a scene in the middle of its cutout, not lensed, 1″ large, bright enough for its wings."""
    source = next(g for g in edited.galaxies if g.role == "source")
    bright = {band: magnitude - 8 for band, magnitude in source.light[0].magnitudes.items()}
    light = replace(source.light[0], r_eff_arcsec=1.0, magnitudes=bright)
    alone = replace(source, role="field", x_arcsec=0.0, y_arcsec=0.0, light=(light,), lensed=False)
    image = noiseless_images(replace(edited, kind="no-source", galaxies=(alone,), psf=Psf()), EUCLID)["VIS"]
    return np.asarray(image, float)


def half_light(image):
    rows, columns = np.indices(image.shape)
    radius = np.hypot(rows - 99.5, columns - 99.5)
    order = np.argsort(radius, axis=None)
    return np.interp(0.5 * image.sum(), np.cumsum(image.ravel()[order]), radius.ravel()[order])


def test_both_have_the_sources_flux_and_half_light_radius(stamps):
    smooth, real = (source_texture(scene(), strength, sources=stamps) for strength in (0, 1))
    for edited in (smooth, real):
        before, after = (next(g for g in one.galaxies if g.role == "source") for one in (scene(), edited))
        for band in EUCLID.band_names:
            assert after.magnitude(band) == pytest.approx(before.magnitude(band), abs=1e-9)
    images = source_alone(smooth), source_alone(real)
    # 3 %: the wings of a profile that a stamp's cut has not, and that leave the cutout
    assert images[0].sum() == pytest.approx(images[1].sum(), rel=0.03)
    # 8 %: half-light radii of an ellipse's circle and of its own axes differ
    assert half_light(images[0]) == pytest.approx(half_light(images[1]), rel=0.08)


def test_the_smooth_one_has_the_real_ones_axis_ratio_and_angle(stamps):
    edited = source_texture(scene(), 1, sources=stamps)
    ratio, angle = shape_of(next(g for g in edited.galaxies if g.role == "source").light[0].stamp)
    # 4 %: what is left of the point-spread function is round
    assert ratio == pytest.approx((1 - G) / (1 + G), rel=0.04)
    assert math.degrees(angle) == pytest.approx(20, abs=1)
    smooth, real = (source_alone(source_texture(scene(1), k, sources=stamps)) for k in (0, 1))
    rows, columns = np.indices(smooth.shape) - 99.5
    near = np.hypot(rows, columns) < 60
    for image in (smooth, real):
        image[~near] = 0
    turned = [math.atan2(2 * (i * rows * columns).sum(), (i * (columns**2 - rows**2)).sum()) for i in (smooth, real)]
    assert abs(math.remainder(turned[0] - turned[1], 2 * math.pi)) < 0.05  # of twice the angle; pixels and the cut


def test_nothing_else_changes_and_the_choice_is_the_seeds(stamps):
    before, smooth, real = scene(), *(source_texture(scene(), k, sources=stamps) for k in (0, 1))
    for edited in (smooth, real):
        assert edited.noise_seed == before.noise_seed
        assert edited.psf == before.psf
        pairs = zip(edited.galaxies, before.galaxies, strict=True)
        assert all(replace(one, light=()) == replace(other, light=()) for one, other in pairs)
        kept = zip(edited.galaxies, before.galaxies, strict=True)
        assert all(one.light == other.light for one, other in kept if one.role != "source")
    assert source_texture(scene(), 1, sources=stamps) == real
    assert [g.light[0].profile for g in real.galaxies if g.role == "source"] == ["stamp"]
    assert [g.light[0].profile for g in smooth.galaxies if g.role == "source"] == ["sersic"]


def test_what_cannot_be_done_is_said(stamps):
    with pytest.raises(UsageError, match=r"source_texture: the strength must be 0 .smooth. or 1 .real., not 0.5"):
        source_texture(scene(), 0.5, sources=stamps)
    with pytest.raises(UsageError, match="no real galaxies are given; name a folder of stamps or a catalogue"):
        source_texture(scene(), 1)
    with pytest.raises(UsageError, match="nowhere: no such catalogue or folder"):
        source_texture(scene(), 1, sources="nowhere")
