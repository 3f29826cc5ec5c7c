"""Image statistics against astropy, closed forms of noise, and what a unit changes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import mad_std
from scipy.ndimage import convolve1d

from lensaudit.lensset.image_statistics import (
    KINDS,
    band_statistics,
    in_unit,
    kind_of,
    with_colours,
    without_units,
)
from tests.realism_gate.toys import images


def noise(n: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, side, side)).astype(np.float32)


def test_noise_is_astropy_s_mad_std():
    drawn = noise(3, 50)
    assert band_statistics(drawn)["noise"] == pytest.approx(mad_std(drawn, axis=(1, 2)), rel=1e-6)  # float32


def test_white_noise_is_uncorrelated_and_a_moving_mean_is_not():
    drawn = noise(4, 200, 1)
    white = band_statistics(drawn)
    for lag in (1, 2):
        assert np.abs(white[f"noise correlation {lag}"]).max() < 0.02  # 1/√(2 · 40 000) = 0.0035, four images
    smooth = convolve1d(convolve1d(drawn, [0.5, 0.5], axis=1), [0.5, 0.5], axis=2)
    found = band_statistics(smooth)  # a mean of two: neighbours share half of their variance, pixels two apart none
    assert found["noise correlation 1"] == pytest.approx(0.5, abs=0.04)  # what is clipped at 3 σ takes 3 %
    assert np.abs(found["noise correlation 2"]).max() < 0.02


def test_fluxes_of_a_known_galaxy():
    drawn = images(200, 5, noise=0.01, flux=60.0)["g"]
    found = band_statistics(drawn)
    assert np.median(found["total flux"]) == pytest.approx(60, rel=0.15)  # log-normal of 0.3, 200 drawn: 2 % of it
    assert (found["aperture flux"] < found["total flux"]).all()
    assert (found["concentration"] > 0).all()
    assert (found["concentration"] <= 1).all()


def test_a_unit_changes_fluxes_alone():
    drawn = images(5, 6)["g"]
    one, times = band_statistics(drawn), band_statistics(drawn * 10)
    for name, values in in_unit(one, 10).items():
        assert values == pytest.approx(times[name], rel=2e-3, abs=1e-4), name  # float32 sums of 576 pixels
    assert any(kind.of_pixels for kind in KINDS.values())


def test_a_colour_is_a_ratio_in_magnitudes():
    one = {"aperture flux": np.array([100.0, 1, -1], np.float32)}
    other = {"aperture flux": np.array([10.0, 1, 1], np.float32)}
    colour = with_colours({"g": one, "r": other})["colour g−r"]
    assert colour[:2] == pytest.approx([-2.5, 0], abs=1e-6)  # float32
    assert np.isnan(colour[2])
    assert kind_of("colour g−r").words.startswith("colour")


def test_without_units_neither_fluxes_nor_colours_are_left():
    found = without_units(with_colours({band: band_statistics(pixels) for band, pixels in images(4, 7).items()}))
    assert "noise correlation 1 g" in found
    assert not {name for name in found if name.startswith(("noise g", "sky", "total", "aperture", "colour"))}


def test_bad_pixels_are_counted_and_taken_for_sky():
    drawn = noise(2, 40)
    drawn[0, :4], drawn[1, 0, 0] = np.nan, 0.0
    found = band_statistics(drawn)
    assert found["zero fraction"] == pytest.approx([0.1, 1 / 1600], rel=1e-6)
    assert np.isfinite(np.stack(list(found.values()))).sum() >= 2 * len(KINDS) - 2  # a concentration may not exist
    assert found["noise"][0] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("value", [0.0, 3.5, np.nan])
def test_a_constant_image_has_no_noise_and_nothing_in_sigmas(value: float):
    found = band_statistics(np.full((2, 30, 30), value, np.float32))
    assert np.isnan(found["noise"]).all()
    assert np.isnan(found["peak"]).all()
    assert np.isfinite(found["sky"]).all()


def test_neighbours_do_not_matter():
    drawn = images(6, 8)["r"]
    alone, together = band_statistics(drawn[2:3]), band_statistics(drawn)
    for name, values in alone.items():
        assert values[0] == pytest.approx(together[name][2], rel=1e-5, abs=1e-6), name  # float32 sums
