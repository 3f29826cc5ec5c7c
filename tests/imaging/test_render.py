"""Rendering: lenstronomy's own image as oracle, flux conservation, pairs, noise statistics."""

from dataclasses import replace

import numpy as np
import pytest
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

from lensaudit.errors import DataError
from lensaudit.imaging import EUCLID, LSST, Numerics, kernel, noiseless_images, render
from lensaudit.imaging.psf import convolve
from lensaudit.imaging.render import draw_light
from lensaudit.scenes import Galaxy, Light, Mass, Psf, Scene, draw_scene, without_far_source, without_source
from lensaudit.scenes.cosmology import einstein_radius_arcsec

MAGNITUDES = {"VIS": 20.0, "Y": 19.0, "J": 18.5, "H": 18.0, "g": 21.0}


def lens_scene() -> Scene:
    lens = Galaxy(
        "lens", 0.5, 0.2, -0.4, (Light("sersic", MAGNITUDES, 0.9, 3.5, 0.7, 0.5),), Mass(260.0, 0.75, 0.6, 0.03, -0.02)
    )
    source = Galaxy("source", 1.9, 0.4, -0.2, (Light("sersic", dict.fromkeys(MAGNITUDES, 23.0), 0.3, 1.2, 0.6, 1.0),))
    return Scene("single", (lens, source), psf=Psf("gaussian"), noise_seed=4)


def lenstronomy_image(scene: Scene, band) -> np.ndarray:
    """The same scene by lenstronomy's ImageModel, with 3×3 points a NISP pixel."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF

    scale, pixels = band.pixel_scale_arcsec, band.pixels
    corner = -(pixels - 1) / 2 * scale
    data = ImageData(
        image_data=np.zeros((pixels, pixels)),
        ra_at_xy_0=corner,
        dec_at_xy_0=corner,
        transform_pix2angle=np.eye(2) * scale,
        background_rms=1.0,
        exposure_time=1.0,
    )
    lens, source = scene.galaxies
    mass = lens.mass

    def ellipticity(q: float, angle: float) -> dict[str, float]:
        modulus = (1 - q) / (1 + q)
        return {"e1": modulus * np.cos(2 * angle), "e2": modulus * np.sin(2 * angle)}

    def light(galaxy: Galaxy) -> dict[str, float]:
        part = galaxy.light[0]
        model = LightModel(["SERSIC_ELLIPSE"])
        kwargs = {
            "amp": 1.0,
            "R_sersic": part.r_eff_arcsec,
            "n_sersic": part.n_sersic,
            "center_x": galaxy.x_arcsec,
            "center_y": galaxy.y_arcsec,
            **ellipticity(part.axis_ratio, part.angle_rad),
        }
        flux = model.total_flux([kwargs])[0]
        # ImageModel's surface brightness is per pixel of this band.
        return {**kwargs, "amp": band.flux(part.magnitudes[band.name]) / flux}

    centre = {"center_x": lens.x_arcsec, "center_y": lens.y_arcsec}
    theta_e = einstein_radius_arcsec(mass.sigma_v_km_s, lens.redshift, source.redshift)
    model = ImageModel(
        data,
        PSF("PIXEL", kernel_point_source=kernel(scene.psf, band)),
        LensModel(["SIE", "SHEAR"]),
        LightModel(["SERSIC_ELLIPSE"]),
        LightModel(["SERSIC_ELLIPSE"]),
        kwargs_numerics={"supersampling_factor": round(scale / 0.1), "supersampling_convolution": False},
    )
    return np.asarray(
        model.image(
            [
                {"theta_E": theta_e, **ellipticity(mass.axis_ratio, mass.angle_rad), **centre},
                {"gamma1": mass.gamma1, "gamma2": mass.gamma2, "ra_0": lens.x_arcsec, "dec_0": lens.y_arcsec},
            ],
            [light(source)],
            [light(lens)],
        )
    )


@pytest.mark.filterwarnings("ignore:`axes` should not be `None`:DeprecationWarning")  # lenstronomy's own FFT call
@pytest.mark.parametrize("band", ["VIS", "H"])
def test_a_lens_is_lenstronomys_image(band: str) -> None:
    scene = lens_scene()
    ours = noiseless_images(scene, EUCLID, Numerics(core_oversample=1))[band]
    theirs = lenstronomy_image(scene, EUCLID.band(band))
    # Light below 0.01 σ is not drawn and the table interpolates: far below the 1e-3 of the peak we promise.
    assert np.abs(ours - theirs).max() < 2e-4 * theirs.max()


def test_flux_is_conserved_without_a_lens() -> None:
    galaxy = Galaxy("field", 0.5, 0.33, -0.21, (Light("sersic", MAGNITUDES, 0.5, 1.0, 0.6, 0.4),))
    images = noiseless_images(Scene("no-source", (galaxy,)), EUCLID)
    for band in EUCLID.bands:
        # The profile is cut at 0.01 σ of the sky; b_n of lenstronomy is good to 1e-3.
        assert images[band.name].sum() == pytest.approx(band.flux(MAGNITUDES[band.name]), rel=3e-3)


def test_integrated_cores_hold_the_flux_a_point_sample_misses() -> None:
    cusp = Galaxy("field", 0.5, 0.04, 0.05, (Light("sersic", MAGNITUDES, 1.0, 4.0),))
    scene = Scene("no-source", (cusp,))
    core = {
        points: draw_light(scene, EUCLID, Numerics(core_oversample=points))[1]["VIS"][98:103, 98:103].sum()
        for points in (1, 5, 60)
    }
    # 60² points a cell stand for the integral: 5² come within 1 %, one point, 0.01″ from the cusp, is far off.
    assert core[5] == pytest.approx(core[60], rel=0.01)
    assert abs(core[1] / core[60] - 1) > 3 * abs(core[5] / core[60] - 1)


def test_bands_share_one_centre() -> None:
    galaxy = Galaxy("field", 0.5, 1.2, -2.1, (Light("sersic", MAGNITUDES, 0.4, 1.0),))
    images = noiseless_images(Scene("no-source", (galaxy,)), EUCLID)
    for band in EUCLID.bands:
        axis = (np.arange(band.pixels) - (band.pixels - 1) / 2) * band.pixel_scale_arcsec
        image = images[band.name] / images[band.name].sum()
        # A centroid of a sampled compact source: a hundredth of a NISP pixel.
        assert image.sum(axis=0) @ axis == pytest.approx(1.2, abs=3e-3)
        assert image.sum(axis=1) @ axis == pytest.approx(-2.1, abs=3e-3)


def test_convolution_is_scipys() -> None:
    from scipy.signal import convolve2d

    rng = np.random.default_rng(0)
    image = np.zeros((40, 33))
    image[5:20, 22:33] = rng.random((15, 11))
    values = rng.random((9, 9))
    np.testing.assert_allclose(convolve(image, values), convolve2d(image, values, mode="same"), atol=1e-12)
    assert not convolve(np.zeros((8, 8)), values).any()


def test_rendering_is_repeatable_bit_for_bit() -> None:
    scene = draw_scene("compound-arcs", 1, 3)
    first, second = render(scene, EUCLID), render(Scene.from_json(scene.to_json()), EUCLID)
    for band in EUCLID.band_names:
        np.testing.assert_array_equal(first.images[band], second.images[band])


def test_identity_edit_gives_bit_equal_arms_and_an_edit_leaves_the_rest_alone() -> None:
    scene = replace(lens_scene(), kind="compound-rings")
    far = replace(scene.galaxies[1], redshift=3.0)
    scene = replace(scene, galaxies=(scene.galaxies[0], replace(scene.galaxies[1], role="mid"), far))
    treated, same, control = (render(s, EUCLID) for s in (scene, replace(scene), without_far_source(scene)))
    for band in EUCLID.bands:
        np.testing.assert_array_equal(treated.images[band.name], same.images[band.name])
        change = np.abs(treated.noiseless[band.name] - control.noiseless[band.name])
        noise_change = treated.images[band.name] - control.images[band.name]
        untouched = treated.noiseless[band.name] == control.noiseless[band.name]
        assert (noise_change[untouched] == 0).all()
        assert change.max() > band.background_sigma


def test_outside_the_arcs_the_control_is_the_same_image() -> None:
    scene = draw_scene("single", 1, 2)
    treated, control = render(scene, EUCLID), render(without_source(scene), EUCLID)
    for band in EUCLID.band_names:
        outside = treated.truth.source_light[band] == 0
        assert outside.any()
        np.testing.assert_array_equal(treated.noiseless[band][outside], control.noiseless[band][outside])


def test_noise_has_the_stated_spread() -> None:
    empty = Galaxy("field", 0.5, 9.0, 9.0, (Light("sersic", dict.fromkeys(MAGNITUDES, 30.0), 0.1, 1.0),))
    image = render(Scene("no-source", (empty,), noise_seed=3), EUCLID).images
    for band in EUCLID.bands:
        # 40 000 or 4 356 normals: the spread is known to 0.35 % or 1.1 %; four standard deviations.
        assert image[band.name].std() == pytest.approx(band.background_sigma, rel=0.02 if band.name == "VIS" else 0.045)
    sky = 10 ** (-0.4 * (22.35 - 24.0)) * 0.01
    by_hand = np.sqrt(sky * 5400 + 3 * 4.2**2) / 5400
    assert EUCLID.band("VIS").background_sigma == pytest.approx(by_hand, rel=1e-12)


def test_lsst_cutouts_have_their_size() -> None:
    rendered = render(draw_scene("lsst", 1, 0), LSST)
    assert rendered.images["g"].shape == (45, 45)
    assert rendered.images["g"].dtype == np.float32


def test_a_scene_without_the_band_is_refused() -> None:
    with pytest.raises(DataError, match="no magnitude in band VIS of euclid; it has g"):
        render(draw_scene("lsst", 1, 0), EUCLID)
