"""Noise that is correlated from pixel to pixel: drawn as stated, measured back, against GalSim and a slow reference."""

import math
from dataclasses import replace

import galsim
import numpy as np
import pytest
import yaml

from lensaudit.errors import UsageError
from lensaudit.imaging import INSTRUMENTS, Band, load_instrument, render
from lensaudit.imaging.correlation import check_correlation, noise_pixels, quadrants
from lensaudit.imaging.noise import measured_correlation, unit_noise
from lensaudit.lensset import LensSet, instrument_of, simulate
from lensaudit.lensset.like import instrument_like
from lensaudit.scenes import draw_scene
from tests.imaging.test_instruments import MINE

TABLE = ((1.0, 0.35, 0.1), (0.3, 0.15, 0.05), (0.08, 0.04, 0.0))
SKY = np.ones((48, 40), bool)


@pytest.fixture(scope="module")
def skies():
    return np.stack([unit_noise(seed, 0, SKY.shape, TABLE) for seed in range(600)])


def products(skies, down: int, right: int):
    """Mean product of pixels so far apart, of each sky."""
    height, width = skies.shape[1:]
    first = skies[:, : height - down, : width - right] if right >= 0 else skies[:, : height - down, -right:]
    second = skies[:, down:, right:] if right >= 0 else skies[:, down:, : width + right]
    return (first * second).mean(axis=(1, 2))


@pytest.mark.parametrize(
    "lag", [(0, 0), (0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (2, 1), (2, 2), (0, 3), (4, 4)]
)
def test_skies_have_the_correlation_that_was_stated(skies, lag):
    stated = {(down, right): value for down, right, value in quadrants(TABLE)}.get(lag, 0.0)
    of_each = products(skies, *lag)
    error = float(of_each.std()) / math.sqrt(len(skies))
    assert of_each.mean() == pytest.approx(stated, abs=4 * error)
    assert error < 0.003  # so that a neighbour's 0.35 is held to three per cent


def test_pixels_at_opposite_edges_share_nothing(skies):
    # The torus that noise is drawn on is larger than the image.
    assert abs((skies[:, 0] * skies[:, -1]).mean()) < 4 / math.sqrt(skies[:, 0].size / 2)
    assert abs((skies[:, :, 0] * skies[:, :, -1]).mean()) < 4 / math.sqrt(skies[:, :, 0].size / 2)


def test_the_covariance_is_a_slow_references():
    # Noise from the Cholesky factor of the whole covariance of 6×5 pixels, and ours through a matrix of unit draws.
    places = [(y, x) for y in range(6) for x in range(5)]
    stated = {(down, right): value for down, right, value in quadrants(TABLE)}
    covariance = np.array([[stated.get((b[0] - a[0], b[1] - a[1]), 0.0) for b in places] for a in places])
    np.linalg.cholesky(covariance)  # what is stated can be drawn
    drawn = np.stack([unit_noise(seed, 3, (6, 5), TABLE).ravel() for seed in range(8000)])
    # 8000 draws know each of 465 covariances to 0.011.
    assert np.abs(drawn.T @ drawn / 8000 - covariance).max() < 4.5 * math.sqrt(2 / 8000)


def test_galsim_measures_and_whitens_it(skies):
    image = galsim.Image(np.concatenate(np.concatenate(skies.reshape(20, 30, *SKY.shape), axis=1), axis=1))
    found = galsim.CorrelatedNoise(image, rng=galsim.BaseDeviate(1), scale=1.0)
    # One image of the 600 side by side, so that a few neighbours belong to different skies.
    assert found.getVariance() == pytest.approx(1.0, rel=0.01)
    for down, right in ((0, 1), (1, 0), (1, 1)):
        seen = found._profile.xValue(galsim.PositionD(right, down)) / found.getVariance()
        assert seen == pytest.approx(TABLE[down][right] * (1 - down / 48) * (1 - right / 40), abs=0.01)


def test_without_a_table_noise_is_what_it_was():
    assert unit_noise(7, 2, (3, 4)).tobytes() == np.random.default_rng([7, 2]).standard_normal((3, 4), "f4").tobytes()
    assert unit_noise(7, 2, (9, 9), TABLE).tobytes() == unit_noise(7, 2, (9, 9), TABLE).tobytes()
    assert "noise_correlation" not in INSTRUMENTS["hsc"].band("g").to_json()
    stated = replace(INSTRUMENTS["hsc"].band("g"), noise_correlation=TABLE)
    assert Band.from_json(stated.to_json()) == stated


@pytest.mark.parametrize("aperture", [None, 12.0])
def test_a_depth_is_kept(skies, aperture):
    wide = np.stack([unit_noise(seed, 1, (24, 24), TABLE) for seed in range(3000)])
    y, x = np.mgrid[:24, :24] - 11.5
    weight = np.hypot(y, x) < 6 if aperture else np.exp(-(x**2 + y**2) / 2 / (4.5 / 2.3548) ** 2)
    total = (wide * weight).sum(axis=(1, 2)) / (1.0 if aperture else (weight**2).sum() / weight.sum())
    # 3000 fluxes know their variance to 2.6 %; a circle of whole pixels is one of 112 and not of 113.1 of them.
    assert noise_pixels(TABLE, 4.5, aperture) == pytest.approx(total.var(), rel=0.12)
    assert noise_pixels((), 4.5, aperture) < 0.4 * noise_pixels(TABLE, 4.5, aperture)


def test_the_correlation_of_a_sky_is_measured(skies):
    found = measured_correlation(list(skies[:80]), SKY)
    assert np.array(found.correlation) == pytest.approx(np.array(TABLE), abs=max(4 * found.error, 0.005))
    assert abs(found.wide) < 4 * found.error
    smooth = 0.5 * np.sin(2 * np.pi * np.arange(40) / 40)
    assert measured_correlation(list(skies[:80] + smooth), SKY).correlation[0][1] == pytest.approx(0.35, abs=0.03)
    white = [np.random.default_rng(seed).normal(size=SKY.shape) for seed in range(80)]
    assert measured_correlation(white, SKY).correlation == ()
    assert measured_correlation(white[:1], SKY).correlation == ()  # too few pixels to say


def test_a_set_of_known_noise_is_measured_back(tmp_path, cli):
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump(
            {**MINE, "common": {**MINE["common"], "pixels": 64, "noise_correlation": [list(r) for r in TABLE]}}
        )
    )
    mine = load_instrument(path)
    made = simulate(path, "no-source", 24, 7, tmp_path / "set", workers=1)
    assert instrument_of(LensSet.open(tmp_path / "set")) == mine
    for band in instrument_like(made).bands:
        # Wings of galaxies at the edges of cutouts add some; 32 000 pixels.
        assert band.noise_correlation[0][1] == pytest.approx(0.35, abs=0.05)
        assert band.noise_correlation[1][0] == pytest.approx(0.3, abs=0.05)
    assert "noise of r is correlated   1.000   0.3" in cli("instruments", "show", "--like", tmp_path / "set").stdout
    scene = draw_scene("no-source", 7, 0, mine.sky)
    noise = render(scene, mine).images["g"] - render(scene, mine).noiseless["g"]
    assert noise.std() == pytest.approx(0.1, rel=0.15)  # σ is that of a pixel, whatever its neighbours


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([[1.0, 0.9], [0.9, 0.0]], "no noise can have this noise_correlation: its power spectrum falls to -"),
        ([[0.9, 0.1]], "must begin with 1"),
        ([[1.0, 0.1], [0.1]], "must be rows of equal length"),
        ([[1.0, 1.5]], "lie between -1 and 1"),
        ([[1.0] + [0.0] * 20], "at most 16 of 16"),
        ("white", "noise_correlation"),
    ],
)
def test_what_no_noise_can_be_is_refused(tmp_path, table, said):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**MINE, "common": {**MINE["common"], "pixels": 64, "noise_correlation": table}}))
    with pytest.raises(UsageError, match=said) as raised:
        load_instrument(path)
    assert "\n" not in str(raised.value)
    check_correlation(TABLE)
