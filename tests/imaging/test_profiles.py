"""Surface-brightness profiles: unit flux, lenstronomy as oracle, the extent they claim."""

import numpy as np
import pytest
from lenstronomy.LightModel.light_model import LightModel

from lensaudit.imaging import canvas
from lensaudit.scenes import Light

LIGHTS = {
    "disc": Light("sersic", {"VIS": 0.0}, 0.8, n_sersic=1.0, axis_ratio=0.5, angle_rad=0.7),
    "bulge": Light("sersic", {"VIS": 0.0}, 0.6, n_sersic=3.0, axis_ratio=0.8, angle_rad=2.0),
    "spiral": Light("spiral", {"VIS": 0.0}, 1.0, axis_ratio=0.7, shape={"arms": 2, "pitch_rad": 0.3, "contrast": 2.0}),
    "ring": Light("ring", {"VIS": 0.0}, 1.2, axis_ratio=0.8, angle_rad=0.4, shape={"width_arcsec": 0.15}),
}


def grid(half: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(-half + step / 2, half, step)
    return np.meshgrid(axis, axis)


@pytest.mark.parametrize("name", LIGHTS)
def test_unit_flux(name: str) -> None:
    x, y = grid(14.0, 0.02)
    total = canvas.surface_brightness(LIGHTS[name], x, y).sum() * 0.02**2
    # n = 3 leaves 0.2 % beyond 14″; lenstronomy's b_n is itself good to 1e-3.
    assert total == pytest.approx(1.0, abs=4e-3)


@pytest.mark.parametrize("name", ["disc", "bulge"])
@pytest.mark.parametrize("points", [30, 120])
def test_sersic_is_lenstronomys(name: str, points: int) -> None:
    light = LIGHTS[name]
    x, y = grid(3.0, 6.0 / points)
    modulus = (1 - light.axis_ratio) / (1 + light.axis_ratio)
    theirs = (
        LightModel(["SERSIC_ELLIPSE"])
        .surface_brightness(
            x.ravel(),
            y.ravel(),
            [
                {
                    "amp": 1.0,
                    "R_sersic": light.r_eff_arcsec,
                    "n_sersic": light.n_sersic,
                    "center_x": 0.0,
                    "center_y": 0.0,
                    "e1": modulus * np.cos(2 * light.angle_rad),
                    "e2": modulus * np.sin(2 * light.angle_rad),
                }
            ],
        )
        .reshape(x.shape)
    )
    ours = canvas.surface_brightness(light, x, y)
    # 30² points go straight to lenstronomy, 120² through the table: linear between even steps of √r.
    np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum(), rtol=1e-12 if points == 30 else 2e-5)


@pytest.mark.parametrize("name", LIGHTS)
def test_light_beyond_its_extent_is_fainter_than_asked(name: str) -> None:
    faintest = 1e-4
    reach = canvas.extent_arcsec(LIGHTS[name], faintest)
    x, y = grid(20.0, 0.1)
    outside = np.hypot(x, y) > reach
    assert canvas.surface_brightness(LIGHTS[name], x, y)[outside].max() <= faintest
    assert reach < 15.0


def test_spiral_arms_wind_the_way_their_pitch_says() -> None:
    light = LIGHTS["spiral"]
    mirrored = Light("spiral", {"VIS": 0.0}, 1.0, axis_ratio=0.7, shape={**light.shape, "pitch_rad": -0.3})
    x, y = grid(3.0, 0.1)
    np.testing.assert_allclose(
        canvas.surface_brightness(light, x, y), canvas.surface_brightness(mirrored, x, -y), rtol=1e-10
    )
