"""Truth: Lanusse's S/N by hand, magnification of an isothermal sphere, the catalogue's schema."""

import math

import numpy as np
import pytest

from lensaudit.imaging import EUCLID, TRUTH_COLUMNS, render
from lensaudit.imaging.truth import arc_signal_to_noise, brighter_by_mag
from lensaudit.scenes import POPULATIONS, Galaxy, Light, Mass, Psf, Scene, draw_scene
from lensaudit.scenes.cosmology import einstein_radius_arcsec

MAGNITUDES = {"VIS": 22.0, "Y": 22.0, "J": 22.0, "H": 22.0}


def test_signal_to_noise_by_hand() -> None:
    light = np.array([[4.0, 0.1], [2.0, 0.0]], dtype=np.float32)
    mask = light > 0.5
    assert arc_signal_to_noise(light, mask, 1.0) == pytest.approx(6.0 / math.sqrt(2.0))
    assert arc_signal_to_noise(light * 0, mask & False, 1.0) == 0.0


def test_magnification_of_an_isothermal_sphere() -> None:
    theta_e = einstein_radius_arcsec(280.0, 0.4, 2.0)
    lens = Galaxy("lens", 0.4, 0.0, 0.0, (Light("sersic", MAGNITUDES, 1.0),), Mass(280.0))
    source = Galaxy("source", 2.0, 0.5 * theta_e, 0.0, (Light("sersic", MAGNITUDES, 0.06, 0.6),))
    truth = render(Scene("single", (lens, source), psf=Psf("gaussian")), EUCLID).truth
    # Two images of a point at β = θ_E/2 magnify by 2 θ_E/β = 4; a source of 0.06″ on 0.1″ cells adds a few per cent.
    assert truth.row["magnification"] == pytest.approx(4.0, rel=0.08)
    assert truth.row["theta_e_arcsec"] == pytest.approx(theta_e)
    expected = 22.0 - 2.5 * math.log10(float(truth.row["magnification"]))
    assert truth.row["mag_arc_VIS"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("population", [name for name in POPULATIONS if not name.startswith("lsst")])
def test_every_population_fills_the_schema(population: str) -> None:
    scene = draw_scene(population, 3, 1)
    truth = render(scene, EUCLID).truth
    assert list(truth.row) == [column.name for column in TRUTH_COLUMNS]
    assert truth.row["label"] == scene.label
    assert truth.mask["VIS"].sum() == truth.row["n_arc_pixels"]
    lensing = ("theta_e_arcsec", "magnification", "arc_snr", "z_source")
    for name in lensing:
        assert math.isfinite(float(truth.row[name])) == bool(scene.lensed), name
    if not scene.lensed:
        assert not truth.source_light["VIS"].any()


def test_mask_is_where_light_exceeds_half_a_sigma() -> None:
    truth = render(draw_scene("single", 3, 1), EUCLID).truth
    for band in EUCLID.bands:
        np.testing.assert_array_equal(
            truth.mask[band.name], truth.source_light[band.name] > 0.5 * band.background_sigma
        )


def test_brightness_for_an_snr_against_a_slow_search():
    """A grid of a thousandth of a magnitude over an arc with a wide edge, with one σ and with one that varies."""
    y, x = np.indices((40, 40)) - 19.5
    light = np.exp(-((np.hypot(x, y) - 10) ** 2) / 8).astype(np.float32)
    for sigma in (0.3, np.where(x > 0, 0.2, 0.5).astype(np.float32)):
        now = arc_signal_to_noise(light, light > 0.5 * sigma, sigma)
        assert brighter_by_mag(light, sigma, now) == pytest.approx(0.0, abs=1e-3)
        for wanted in (0.5 * now, 3.0 * now):
            found = brighter_by_mag(light, sigma, wanted)
            grid = np.arange(-4, 4, 1e-3)
            snr = [arc_signal_to_noise(s := light * 10 ** (0.4 * mag), s > 0.5 * sigma, sigma) for mag in grid]
            assert found == pytest.approx(grid[np.argmin(np.abs(np.array(snr) - wanted))], abs=2e-3)


def test_no_brightness_gives_an_snr_to_no_light():
    assert brighter_by_mag(np.zeros((5, 5), np.float32), 1.0, 3.0) is None
    assert brighter_by_mag(np.ones((5, 5), np.float32), 1.0, 0.0) is None
