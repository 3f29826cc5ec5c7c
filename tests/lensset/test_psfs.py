"""Point-spread functions as archives give them: what becomes of a stamp, against closed forms and scipy's centroid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from photutils.centroids import centroid_com
from scipy.ndimage import center_of_mass
from scipy.special import erf

from lensaudit.errors import DataError
from lensaudit.lensset.ingest.survey import ready_psf


def gaussian(shape: tuple[int, int], centre: tuple[float, float], sigma: float) -> np.ndarray:
    """Light of a Gaussian in each pixel, in closed form; of sum 1 over the plane."""
    sides = []
    for n, middle in zip(shape, centre, strict=True):
        edges = (np.arange(n + 1) - 0.5 - middle) / (sigma * 2**0.5)
        sides.append(np.diff(0.5 * (1 + erf(edges))))
    return np.outer(*sides)


def off_middle(pixels: np.ndarray) -> np.ndarray:
    return np.array(center_of_mass(pixels.astype(float))) - (np.array(pixels.shape) - 1) / 2


def test_a_good_stamp_keeps_its_pixels():
    stamp = gaussian((21, 21), (10.2, 9.9), 1.5) * 0.95
    psf = ready_psf(stamp, "it")
    assert not psf.moved
    np.testing.assert_array_equal(psf.pixels, (stamp / stamp.sum()).astype(np.float32))
    assert psf.remarks() == ["its sum was 0.95 and is 1 now"]


@pytest.mark.parametrize(("shape", "centre"), [((20, 20), (9.5, 9.5)), ((20, 20), (10, 10)), ((20, 21), (9.5, 10.0))])
def test_an_even_stamp_becomes_odd_about_its_centroid(shape, centre):
    psf = ready_psf(gaussian(shape, centre, 1.6), "it")
    assert psf.pixels.shape == (21, 21)
    wanted = gaussian((21, 21), (10, 10), 1.6)
    # Quintic interpolation over half a pixel of 3.8 pixels' FWHM.
    np.testing.assert_allclose(psf.pixels, wanted, atol=1e-3 * wanted.max())
    assert np.abs(off_middle(psf.pixels)).max() < 1e-3  # edges that hold 1e-9 of the light
    assert "20 pixels along a side" in psf.remarks()[0]


def test_an_off_centre_stamp_is_moved_and_said():
    psf = ready_psf(gaussian((31, 31), (16.2, 14.7), 2.0), "it")
    wanted = gaussian((31, 31), (15, 15), 2.0)
    np.testing.assert_allclose(psf.pixels, wanted, atol=2e-4 * wanted.max())  # interpolation of 4.7 pixels' FWHM
    np.testing.assert_allclose(centroid_com(psf.pixels), [15, 15], atol=1e-3)  # light beyond the edge moved
    assert "1.2 pixels off the middle" in psf.remarks()[0]


@pytest.mark.parametrize("scale", [1 / 3, 0.37, 0.5])
def test_finer_pixels_are_gathered_with_their_light(scale):
    psf = ready_psf(gaussian((81, 81), (40, 40), 1.2 / scale), "it", scale)
    side = len(psf.pixels)
    assert side % 2 == 1
    wanted = gaussian((side, side), ((side - 1) / 2,) * 2, 1.2)
    np.testing.assert_allclose(psf.pixels, wanted, atol=1e-4 * wanted.max())  # light is summed, little interpolated
    assert "resampled" in psf.remarks()[0]


def test_a_set_has_one_side():
    stamp = gaussian((15, 15), (7, 7), 1.0)
    larger = ready_psf(stamp, "it", side=19).pixels
    np.testing.assert_array_equal(larger[2:-2, 2:-2], ready_psf(stamp, "it").pixels)
    assert larger.sum() == pytest.approx(1, abs=1e-6)
    smaller = ready_psf(stamp, "it", side=11).pixels
    assert smaller.shape == (11, 11)
    assert smaller.sum(dtype=float) == pytest.approx(1, abs=1e-6)  # float32
    with pytest.raises(DataError, match=r"outside which .*% of its light would be lost"):
        ready_psf(stamp, "it", side=3)


def holed() -> np.ndarray:
    stamp = gaussian((9, 9), (4, 4), 1.0)
    stamp[1, 1] = np.nan
    return stamp


def two_peaks() -> np.ndarray:
    return gaussian((41, 41), (20, 12), 1.0) + gaussian((41, 41), (20, 28), 1.1)


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        (holed(), "1 of 81 pixels of the PSF are NaN"),
        (-gaussian((9, 9), (4, 4), 1.0), "sum is -.*must be positive"),
        (np.zeros((9, 9)), "sum is 0, it must be positive"),
        (gaussian((41, 41), (28, 20), 1.0), "centroid lies 8 pixels off the middle of 41"),
        (two_peaks(), "no point source"),
        (np.pad(np.ones((1, 1)), 600), "more than 1025; cut it"),
    ],
)
def test_what_is_no_psf_is_refused_in_one_line(stamp, said):
    with pytest.raises(DataError, match=said) as caught:
        ready_psf(stamp, "f.fits: band g: PSF")
    assert str(caught.value).startswith("f.fits: band g: PSF: ")
    assert "\n" not in str(caught.value)


@given(
    rows=st.integers(5, 40),
    columns=st.integers(5, 40),
    off=st.tuples(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3)),
    scale=st.sampled_from([1.0, 1.0, 0.4, 1.7]),
    light=st.floats(1e-12, 1e12),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whatever_its_shape_it_is_odd_centred_and_of_sum_1(rows, columns, off, scale, light):
    sigma = max(0.7, min(rows, columns) / 12)
    stamp = gaussian((rows, columns), ((rows - 1) / 2 + off[0], (columns - 1) / 2 + off[1]), sigma) * light
    try:
        psf = ready_psf(stamp, "it", scale)
    except DataError:
        assume(False)  # a small stamp that is cut off at its edge
    assert psf.pixels.shape[0] == psf.pixels.shape[1]
    assert psf.pixels.shape[0] % 2 == 1
    assert psf.pixels.sum(dtype=float) == pytest.approx(1, abs=2e-6)  # of up to 70² float32 pixels
    assert np.hypot(*off_middle(psf.pixels)) <= 0.5 + 1e-6
    assert np.isfinite(psf.pixels).all()
