"""Arcs in hosts against outside answers: the renderer, GalSim, lenstronomy, and sums that can be done by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import galsim
import numpy as np
import pytest
from astropy.io import fits
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util.param_util import phi_q2_ellipticity
from real_sky import a_lens, as_host, what_is_injected, without_arc
from scipy.signal import convolve2d

from lensaudit.imaging import EUCLID, Numerics, kernel, render
from lensaudit.imaging.psf import gaussian_kernel
from lensaudit.injection import ARC_CUT_SIGMA, HostCutout, Hosts, InjectionSettings
from lensaudit.injection.sources import stamp_of
from lensaudit.scenes import Galaxy, Light, Mass, Psf, Scene
from lensaudit.scenes.cosmology import einstein_radius_arcsec

ANY = InjectionSettings(any_host=True)


@pytest.fixture(scope="module")
def lens() -> Scene:
    return a_lens()


def empty_host(pixels: int = 101, scale: float = 0.1, fwhm: float = 0.3, electrons: float | None = None) -> HostCutout:
    """A host of zeros in one band, at zero point 25."""
    return HostCutout(
        id="empty",
        images={"VIS": np.zeros((pixels, pixels), np.float32)},
        psf={"VIS": gaussian_kernel(fwhm, scale, 41)},
        rms={"VIS": np.full((pixels, pixels), 1e-3, np.float32)},
        zero_point_mag={"VIS": 25.0},
        pixel_scale_arcsec={"VIS": scale},
        electrons_per_unit={"VIS": electrons},
    )


def system(light: Light, *, theta_e: float = 1.2, ratio: float = 0.7, x: float = 0.15, y: float = -0.1) -> Scene:
    """An isothermal ellipse at z = 0.5 and a source at z = 2."""
    sigma = 200.0 * math.sqrt(theta_e / einstein_radius_arcsec(200.0, 0.5, 2.0)) if theta_e else 0.0
    dark = Light("sersic", {"VIS": 20.0}, 0.5)
    mass = Mass(sigma, ratio, 0.4, 0.03, -0.02) if theta_e else None
    galaxies = (Galaxy("lens", 0.5, 0.05, 0.02, (dark,), mass), Galaxy("source", 2.0, x, y, (light,)))
    return Scene("single", galaxies, psf=Psf("instrument"), noise_seed=7)


SOURCE = Light("sersic", {"VIS": 23.0}, 0.25, n_sersic=1.3, axis_ratio=0.6, angle_rad=1.0)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_arc_in_a_rendered_non_lens_is_the_rendered_lens(index):
    lens = a_lens(index)
    host = as_host(without_arc(lens), noise=False)
    found = Hosts([host], ANY).render(0, [what_is_injected(lens)])[0]
    wanted = render(lens, EUCLID)
    for band in EUCLID.bands:
        sigma, name = band.background_sigma, band.name
        reached = found.truth.source_light[name] > 0
        # float32 rounding of host + arc; below the cut an arc is not added
        np.testing.assert_allclose(found.noiseless[name][reached], wanted.noiseless[name][reached], rtol=3e-7)
        assert np.abs(found.noiseless[name] - wanted.noiseless[name])[~reached].max() <= 1.01 * ARC_CUT_SIGMA * sigma
        np.testing.assert_array_equal(found.truth.mask[name], wanted.truth.mask[name])
    for column in ("arc_snr", "theta_e_arcsec", "mag_source_VIS", "n_arc_pixels", "z_source"):
        assert found.truth.row[column] == pytest.approx(wanted.truth.row[column], rel=1e-6)
    # 1 %: what the cut leaves away far out
    assert found.truth.row["magnification"] == pytest.approx(wanted.truth.row["magnification"], rel=0.01)


def test_the_noise_of_host_and_arc_has_the_variance_of_the_rendered_lens():
    """Hosts with noise of their own + the arc's shot noise, against the variance that `add_noise` draws in one."""
    lens, band = a_lens(2), EUCLID.band("VIS")
    scene, quiet = what_is_injected(lens), render(lens, EUCLID)
    hosts = [as_host(replace(without_arc(lens), noise_seed=seed)) for seed in range(40)]
    drawn = [Hosts([h], ANY).render(0, [replace(scene, noise_seed=900 + i)])[0] for i, h in enumerate(hosts)]
    noise = np.array([one.images["VIS"] - quiet.noiseless["VIS"] for one in drawn])
    inside = quiet.truth.source_light["VIS"] > band.background_sigma
    assert inside.sum() > 100
    wanted = band.background_sigma**2 + quiet.noiseless["VIS"] / band.total_exposure_s
    shot = quiet.truth.source_light["VIS"] / band.total_exposure_s
    assert (shot / wanted)[inside].mean() > 0.1  # or nothing of the arc's noise would show
    # 4 %: 40 images × more than 100 pixels give the mean variance to 2 %
    assert ((noise**2).mean(axis=0) / wanted)[inside].mean() == pytest.approx(1.0, abs=0.04)


def test_pixels_that_the_arc_does_not_reach_are_the_hosts_bit_for_bit(lens):
    host = as_host(without_arc(lens))
    hosts = Hosts([host], ANY)
    found = hosts.render(0, [what_is_injected(lens)])[0]
    for band in host.bands:
        outside = found.truth.source_light[band] == 0
        assert 0.2 < outside.mean() < 1
        assert found.images[band][outside].tobytes() == host.images[band][outside].tobytes()
    alone = hosts.host(0)
    assert all(alone.images[band].tobytes() == host.images[band].tobytes() for band in host.bands)
    assert alone.truth.row["label"] == 0
    assert not alone.truth.mask["VIS"].any()


def test_arms_share_their_noise_and_unedited_pixels(lens):
    host = as_host(without_arc(lens))
    scene = what_is_injected(lens)
    source = scene.galaxies[1]
    redder = replace(source.light[0], magnitudes=dict(source.light[0].magnitudes) | {"H": 22.0})
    edited = replace(scene, galaxies=(scene.galaxies[0], replace(source, light=(redder,))))
    one, other = Hosts([host], ANY).render(0, [scene, edited])
    for band in ("VIS", "Y", "J"):
        # How far out a component is drawn, to 0.01 σ, goes by its brightest band.
        assert np.abs(one.images[band] - other.images[band]).max() < 0.02 * host.rms[band][0, 0]
    assert (one.images["H"] != other.images["H"]).any()
    again = Hosts([host], ANY).render(0, [edited])[0]
    assert again.images["H"].tobytes() == other.images["H"].tobytes()


def test_a_host_of_zeros_gives_the_arc_alone():
    found = Hosts([empty_host()], ANY).render(0, [system(SOURCE)])[0]
    assert found.images["VIS"].tobytes() == found.truth.source_light["VIS"].tobytes()
    assert found.images["VIS"].sum() > 0


@pytest.mark.parametrize("zero_point", [25.0, 27.5])
def test_flux_goes_through_psf_and_zero_point(zero_point):
    host = replace(empty_host(pixels=201), zero_point_mag={"VIS": zero_point})
    unlensed = system(SOURCE, theta_e=0.05, x=0.8)  # hardly lensed: magnified by 1 / (1 − θ_E / β)
    found = Hosts([host], ANY).render(0, [unlensed])[0]
    flux = 10 ** (-0.4 * (23.0 - zero_point))
    # 1 %: the profile is cut at a hundredth of σ, and its isothermal magnification on average is not exactly this
    assert found.images["VIS"].sum() == pytest.approx(flux / (1 - 0.05 / 0.8), rel=0.015)
    assert found.truth.row["mag_arc_VIS"] == pytest.approx(zero_point - 2.5 * math.log10(found.images["VIS"].sum()))


def galsim_profile(light: Light, flux: float) -> galsim.GSObject:
    return galsim.Sersic(n=light.n_sersic, half_light_radius=light.r_eff_arcsec, flux=flux).shear(
        q=light.axis_ratio, beta=light.angle_rad * galsim.radians
    )


def test_galsim_draws_the_same_companion_through_the_same_psf():
    """An unlensed Sérsic galaxy that an edit adds, through the host's pixelised PSF."""
    light = replace(SOURCE, r_eff_arcsec=0.6)
    companion = Galaxy("companion", 0.5, 1.0, -0.7, (light,))
    host = empty_host()
    scene = Scene("companions", (system(SOURCE).galaxies[0], companion), psf=Psf("instrument"))
    settings = replace(ANY, ray_step_arcsec=0.02)
    found = Hosts([host], settings).render(0, [scene])[0].images["VIS"]
    # Pixel response and PSF are in the kernel: what GalSim draws is the light at pixels' centres through it.
    pixels = galsim.Image(np.ascontiguousarray(host.psf["VIS"]), scale=0.1)
    seen = galsim.Convolve(
        galsim_profile(light, 10 ** (-0.4 * (23.0 - 25.0))),
        galsim.Pixel(0.1),
        galsim.InterpolatedImage(pixels, x_interpolant="lanczos15", normalization="flux"),
        gsparams=galsim.GSParams(folding_threshold=1e-3),
    ).shift(1.0, -0.7)
    wanted = seen.drawImage(nx=101, ny=101, scale=0.1, method="no_pixel").array
    # 0.5 % of the peak: rays of 0.02″ in pixels of 0.1″, and GalSim's folding
    np.testing.assert_allclose(found, wanted, atol=0.005 * wanted.max())
    assert found.sum() == pytest.approx(wanted.sum(), rel=0.01)


def lenstronomy_arc(scene: Scene, pixels: int, scale: float, flux: float, sub: int) -> np.ndarray:
    """The lensed source by lenstronomy, before the PSF, (pixels, pixels)."""
    deflector, source = scene.galaxies
    mass, light = deflector.mass, source.light[0]
    assert mass is not None
    e1, e2 = phi_q2_ellipticity(mass.angle_rad, mass.axis_ratio)
    at = {"center_x": deflector.x_arcsec, "center_y": deflector.y_arcsec}
    theta_e = einstein_radius_arcsec(mass.sigma_v_km_s, deflector.redshift, source.redshift)
    shear = {"gamma1": mass.gamma1, "gamma2": mass.gamma2, "ra_0": at["center_x"], "dec_0": at["center_y"]}
    s1, s2 = phi_q2_ellipticity(light.angle_rad, light.axis_ratio)
    profile = {"amp": 1.0, "R_sersic": light.r_eff_arcsec, "n_sersic": light.n_sersic, "e1": s1, "e2": s2,
               "center_x": source.x_arcsec, "center_y": source.y_arcsec}  # fmt: skip
    model = LightModel(["SERSIC_ELLIPSE"])
    profile["amp"] = flux / model.total_flux([profile])[0]
    corner = -(pixels - 1) / 2 * scale
    data = ImageData(
        np.zeros((pixels, pixels)), ra_at_xy_0=corner, dec_at_xy_0=corner, transform_pix2angle=np.eye(2) * scale
    )
    image = ImageModel(
        data, PSF("NONE"), LensModel(["SIE", "SHEAR"]), model, kwargs_numerics={"supersampling_factor": sub}
    )
    return image.image([{"theta_E": theta_e, "e1": e1, "e2": e2, **at}, shear], kwargs_source=[profile])


def test_galsim_convolves_the_same_lensed_image():
    """The arc of an isothermal ellipse drawn by lenstronomy, as GalSim's InterpolatedImage through the same PSF."""
    host, scene = empty_host(), system(SOURCE)
    found = Hosts([host], replace(ANY, ray_step_arcsec=0.02)).render(0, [scene])[0].images["VIS"]
    sharp = lenstronomy_arc(scene, 505, 0.02, 10 ** (-0.4 * (23.0 - 25.0)), 1)
    arc = galsim.InterpolatedImage(galsim.Image(sharp, scale=0.02), normalization="flux")
    psf = galsim.InterpolatedImage(galsim.Image(np.ascontiguousarray(host.psf["VIS"]), scale=0.1),
                                   x_interpolant="lanczos15", normalization="flux")  # fmt: skip
    wanted = galsim.Convolve(arc, galsim.Pixel(0.1), psf).drawImage(nx=101, ny=101, scale=0.1, method="no_pixel").array
    # 0.5 % of the peak: GalSim interpolates between the fine pixels
    np.testing.assert_allclose(found, wanted, atol=0.005 * wanted.max())


def test_a_plain_loop_with_lenstronomy_and_scipy_agrees():
    """Every band by lenstronomy's ImageModel, scipy's convolution, the host added, shot noise added."""
    lens = a_lens(1)
    host = as_host(without_arc(lens))
    scene = what_is_injected(lens)
    found = Hosts([host], ANY).render(0, [scene], Numerics(core_oversample=1))[0]
    for index, band in enumerate(EUCLID.bands):
        flux = 10 ** (-0.4 * (scene.galaxies[1].light[0].magnitudes[band.name] - band.zero_point_mag))
        sub = round(band.pixel_scale_arcsec / EUCLID.ray_scale_arcsec)
        sharp = lenstronomy_arc(scene, band.pixels, band.pixel_scale_arcsec, flux, sub)
        arc = convolve2d(sharp, kernel(lens.psf, band), mode="same")
        unit = np.random.default_rng([scene.noise_seed, index]).standard_normal(arc.shape, dtype=np.float32)
        wanted = host.images[band.name] + arc + unit * np.sqrt(np.maximum(arc, 0) / band.total_exposure_s)
        difference = np.abs(found.images[band.name] - wanted)
        # 0.05 σ: light below a hundredth of σ is not drawn, and a cusp is tabulated
        assert difference.max() < 0.05 * band.background_sigma, band.name
        assert np.abs(found.truth.source_light[band.name] - arc).max() < 1e-3 * arc.max() + 0.01 * band.background_sigma


def test_bad_pixels_stay_as_they_are_and_out_of_the_mask(lens):
    host = as_host(without_arc(lens))
    whole = Hosts([host], ANY).render(0, [what_is_injected(lens)])[0]
    row, column = np.unravel_index(whole.truth.source_light["VIS"].argmax(), (200, 200))
    rms = {band: values.copy() for band, values in host.rms.items()}
    rms["VIS"][row, column] = 0.0
    found = Hosts([replace(host, rms=rms)], ANY).render(0, [what_is_injected(lens)])[0]
    assert found.images["VIS"][row, column] == host.images["VIS"][row, column]
    assert not found.truth.mask["VIS"][row, column]
    assert found.truth.source_light["VIS"][row, column] == whole.truth.source_light["VIS"][row, column]


def test_a_scene_may_turn_or_replace_the_psf_of_the_arc_alone(lens):
    host = as_host(without_arc(lens))
    scene = what_is_injected(lens)
    turned, round_one = replace(scene.psf, angle_deg=60.0), Psf("gaussian")
    plain, other, gaussian = Hosts([host], ANY).render(
        0, [scene, replace(scene, psf=turned), replace(scene, psf=round_one)]
    )
    for one in (other, gaussian):
        assert np.abs(one.noiseless["VIS"] - plain.noiseless["VIS"]).max() > 0
        # 0.2 %: an interpolated kernel, cut at other pixels
        light, before = one.truth.source_light["VIS"], plain.truth.source_light["VIS"]
        assert light.sum() == pytest.approx(before.sum(), rel=2e-3)
        nowhere = (light == 0) & (before == 0)
        assert one.images["VIS"][nowhere].tobytes() == host.images["VIS"][nowhere].tobytes()


def test_a_stamp_of_a_smooth_galaxy_gives_the_smooth_galaxy_s_arc(tmp_path):
    """A stamp of an exponential disc and the disc itself, through lens and PSF: the same arc but for noise."""
    psf = galsim.Gaussian(fwhm=0.05)
    disc = galsim.Convolve(galsim.Exponential(half_light_radius=0.5, flux=1e3), psf)
    image = disc.drawImage(nx=201, ny=201, scale=0.03, method="no_pixel").array
    kernel_image = psf.drawImage(nx=31, ny=31, scale=0.03, method="no_pixel").array
    fits.HDUList([
        fits.PrimaryHDU(image + np.random.default_rng(1).normal(0, 1e-4, image.shape), fits.Header({"PIXSCALE": 0.03})),
        fits.ImageHDU(kernel_image, name="PSF"),
    ]).writeto(tmp_path / "disc.fits")  # fmt: skip
    smooth = Light("sersic", {"VIS": 23.0}, 0.3, n_sersic=1.0)
    real = Light("stamp", {"VIS": 23.0}, 0.3, stamp=stamp_of(str(tmp_path / "disc.fits"), 0))
    one, other = Hosts([empty_host()], replace(ANY, ray_step_arcsec=0.02)).render(0, [system(smooth), system(real)])
    wanted, found = one.noiseless["VIS"], other.noiseless["VIS"]
    assert found.sum() == pytest.approx(wanted.sum(), rel=0.02)
    # 3 % of the peak: the blur that is left of 0.045″, and the disc's wings below the stamp's noise
    np.testing.assert_allclose(found, wanted, atol=0.03 * wanted.max())


def test_an_arc_without_known_electrons_is_noiseless(lens):
    host = replace(as_host(without_arc(lens)), electrons_per_unit={})
    found = Hosts([host], ANY).render(0, [what_is_injected(lens)])[0]
    assert found.images["VIS"].tobytes() == found.noiseless["VIS"].tobytes()
