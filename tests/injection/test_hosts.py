"""What a host brings: PSF, RMS and zero point, brought right and said, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from real_sky import a_lens, as_host, without_arc

from lensaudit.errors import DataError
from lensaudit.imaging.psf import gaussian_kernel
from lensaudit.injection import InjectionSettings
from lensaudit.injection.choosing import prepare
from lensaudit.injection.hosts import Sampling, checked, fwhm_pixels, given_psf, proper_psf, proper_rms, ray_grid


@pytest.fixture(scope="module")
def host():
    return as_host(without_arc(a_lens()))


def test_a_proper_psf_stays_as_it_is():
    kernel = gaussian_kernel(3.0, 1.0, 21)
    values, done = proper_psf(kernel, "here")
    assert done == []
    np.testing.assert_allclose(values, kernel, rtol=1e-14)


def test_a_psf_is_normalised_and_that_is_said():
    values, done = proper_psf(7.0 * gaussian_kernel(3.0, 1.0, 21), "here")
    assert values.sum() == pytest.approx(1.0)
    assert done == ["PSFs were normalised to sum 1"]


def test_a_psf_between_pixels_or_of_even_size_is_centred():
    axis = np.arange(20) - 9.5
    even = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    values, done = proper_psf(even / even.sum(), "here")
    assert values.shape == (21, 21)
    assert done == ["PSFs were brought to an odd size and centred"]
    offset = np.arange(21) - 10
    # 0.02 pixels: a kernel of 1.5 pixels' σ, cut at the rim
    assert np.abs([values.sum(axis=1) @ offset, values.sum(axis=0) @ offset]).max() < 0.02


@pytest.mark.parametrize("broken", [np.zeros((5, 5)), np.full((5, 5), np.nan), -np.ones((3, 3)), np.ones(5)])
def test_what_is_no_psf_is_refused_by_name(broken):
    with pytest.raises(DataError, match=r"^h1: band g: .*PSF.*; (cut|correct|give) "):
        proper_psf(broken, "h1: band g")


def test_a_psf_far_off_its_centre_is_refused():
    kernel = np.roll(gaussian_kernel(2.0, 1.0, 31), 4, axis=1)
    with pytest.raises(DataError, match=r"centroid lies 4 pixels off the middle of 31"):
        proper_psf(kernel, "here")


def test_bad_pixels_of_the_rms_get_no_weight():
    image = np.zeros((3, 3), np.float32)
    image[2, 2] = np.nan
    rms, done = proper_rms([[1, 0, np.nan], [-1, np.inf, 2], [1, 1, 1]], image, "here")
    assert np.isinf(rms).tolist() == [[False, True, True], [True, True, False], [False, False, True]]
    assert done == ["pixels without a positive, finite RMS count as bad"]


def test_an_rms_without_a_number_or_of_another_shape_is_refused():
    with pytest.raises(DataError, match="no positive number"):
        proper_rms(np.zeros((3, 3)), np.zeros((3, 3)), "here")
    with pytest.raises(DataError, match="cut both alike"):
        proper_rms(np.ones((4, 4)), np.zeros((3, 3)), "here")


def test_a_host_without_psf_or_zero_point_is_refused_by_band(host):
    with pytest.raises(DataError, match=r"band VIS: the hosts have no PSF; .* give --psf VIS="):
        checked(replace(host, psf={}))
    with pytest.raises(DataError, match=r"band J: the hosts have no zero point; .* give --zero-point J="):
        checked(replace(host, zero_point_mag=dict(host.zero_point_mag) | {"J": None}))


def test_a_host_without_rms_gets_that_of_its_pixels_and_it_is_said(host):
    found, done = checked(replace(host, rms={}))
    assert "hosts without RMS: σ is estimated from each cutout's pixels" in done
    # 5 %: field galaxies raise the median absolute deviation a little
    assert found.rms["VIS"][0, 0] == pytest.approx(host.rms["VIS"][0, 0], rel=0.05)


def test_a_psf_of_a_file_is_brought_to_the_pixels_of_the_band(tmp_path, host):
    path = tmp_path / "psf.fits"
    header = fits.Header({"PIXSCALE": 0.05})
    fits.writeto(path, gaussian_kernel(0.4, 0.05, 61).astype("f4"), header)
    for scale in (0.05, 0.1):
        values, _ = proper_psf(given_psf(str(path), scale), "here")
        # 4 %: the wider pixel collects over its own area, which adds 1 %; the rest is counting pixels above half
        assert fwhm_pixels(values) * scale == pytest.approx(0.4, rel=0.04)
    given = InjectionSettings(psf={"*": str(path)}, zero_point_mag={"VIS": 25.0})
    found = prepare(replace(host, psf={}), given)
    assert found.cutout.zero_point_mag["VIS"] == 25.0
    # Gaussian and pixel in quadrature: √(σ² + (0.3² − 0.05²) / 12) · 2.355; 10 %: 1.5 pixels are few
    assert fwhm_pixels(found.cutout.psf["H"]) * 0.3 == pytest.approx(0.448, rel=0.1)


def test_a_galaxy_given_as_psf_is_told(tmp_path, host):
    away = np.hypot(*(np.indices((61, 61)) - 30))
    for name, light in (("galaxy", np.exp(-away / 4)), ("star", np.exp(-((away / 4) ** 2)))):
        fits.writeto(tmp_path / f"{name}.fits", light.astype("f4"))
        done = prepare(host, InjectionSettings(psf={"*": str(tmp_path / f"{name}.fits")})).done
        told = [one for one in done if "as galaxies have, not stars" in one]
        # An exponential disc has 0.62 of its light within 1.5 FWHM; a stamp of 7.5 scale lengths cuts little of it.
        assert [one.startswith(str(tmp_path / "galaxy.fits")) for one in told] == [True] * (name == "galaxy")


@pytest.mark.parametrize(
    ("pixels", "scales", "found"),
    [
        ((200, 66, 66, 66), (0.1, 0.3, 0.3, 0.3), (204, 0.1)),  # a known instrument's own
        ((200,), (0.1,), (400, 0.05)),
        ((101,), (0.1,), (105, 0.1)),
        ((33, 33), (0.168, 0.168), (132, 0.042)),
        ((100, 50), (0.1, 0.2), (200, 0.05)),
    ],
)
def test_rays_fill_whole_pixels_of_every_band(pixels, scales, found):
    cells, step = ray_grid(Sampling(pixels, scales))
    assert (cells, step) == (found[0], pytest.approx(found[1]))


def test_bands_whose_pixels_do_not_fit_are_refused():
    with pytest.raises(DataError, match="no whole blocks"):
        ray_grid(Sampling((100, 38), (0.1, 0.263)))
