"""Pixels of the panels: what white, blue and red mean, and images that are odd."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lensaudit.display import BLUE, LEAST_P, RED, symmetric_scale
from lensaudit.report import pictures
from lensaudit.report.figures import panels
from lensaudit.report.figures.panels import png_uri
from lensaudit.report.pictures import scale_bar


def test_white_is_exactly_zero_and_both_sides_have_one_scale():
    values = np.array([[0.5, 0.0, -0.001], [0.25, 0.0, -0.5]])
    picture = panels.heat(values, symmetric_scale(values)).astype(int)[::-1]
    assert (picture[:, 1] == 255).all()
    assert abs(picture[0, 0] - np.round(255 * BLUE)).max() <= 1  # rounding to bytes
    assert abs(picture[1, 2] - np.round(255 * RED)).max() <= 1
    assert picture[0, 2].min() > 253, "a five-hundredth of the scale is as good as white"
    (bar,) = panels.ramp(symmetric_scale(values)).astype(int)
    assert abs(bar[0] - np.round(255 * RED)).max() <= 1
    assert abs(bar[-1] - np.round(255 * BLUE)).max() <= 1


def test_a_map_of_zeros_is_white_and_rounding_is_pale():
    assert (panels.heat(np.zeros((3, 3)), symmetric_scale(np.zeros((3, 3)))) == 255).all()
    rounding = np.full((3, 3), 1e-8)  # a hundredth of the smallest full colour
    assert panels.heat(rounding, symmetric_scale(rounding, LEAST_P)).min() > 250


def test_an_occlusion_map_of_an_earlier_version_is_shown_with_its_own_sign():
    old, new = (
        {"map": np.array([[-0.2, 0.1]])},
        {"map": np.array([[-0.2, 0.1]]), "attribution": np.array([[2.0, -1.0]])},
    )
    values, unit, _ = pictures._attribution(old)
    assert (values.tolist(), unit) == ([[0.2, -0.1]], "Δp")
    values, unit, _ = pictures._attribution(new)
    assert (values.tolist(), unit) == ([[2.0, -1.0]], "Δ log-odds")


def test_the_first_row_is_at_the_bottom():
    image = np.zeros((20, 20))
    image[0] = np.linspace(1, 2, 20)
    assert panels.grey(image)[-1].max() == 255
    assert panels.grey(image)[:-1].max() == 0


@pytest.mark.parametrize("image", [np.zeros((5, 5)), np.full((5, 5), np.nan), np.full((5, 5), 7e-12)])
def test_flat_or_empty_images_are_drawn_flat(image: np.ndarray):
    assert (panels.grey(image) == 0).all()


def test_the_stretch_keeps_order_at_any_unit():
    ramp = np.linspace(0, 1, 400).reshape(20, 20)
    for unit in (1.0, 1e-12, 1e6):
        drawn = panels.log_stretch(unit * ramp)
        assert drawn.min() == 0
        assert drawn.max() == 1
        assert np.all(np.diff(drawn.ravel()) >= 0)
        np.testing.assert_allclose(drawn, panels.log_stretch(ramp), atol=1e-9)  # only rounding of the unit differs


def test_colour_needs_all_three_bands():
    image = np.random.default_rng(0).random((6, 6))
    assert panels.colour({"H": image, "J": image}) is None
    picture = panels.colour({"H": image, "J": 0 * image, "Y": 0 * image})
    assert picture is not None
    assert picture[..., 0].max() == 255
    assert picture[..., 1:].max() == 0


def test_colour_of_bands_with_other_pixel_scales():
    fine = np.random.default_rng(1).standard_normal((40, 40))
    coarse = fine.reshape(20, 2, 20, 2).mean((1, 3))
    picture = panels.colour({"H": coarse, "J": fine, "Y": fine[:38, :38]})
    assert picture.shape == (40, 40, 3)
    # each pixel of the coarse band covers two by two of the finest
    np.testing.assert_array_equal(picture[::2, ::2, 0], picture[1::2, 1::2, 0])
    np.testing.assert_array_equal(picture[..., 0], np.repeat(np.repeat(panels.grey(coarse)[..., 0], 2, 0), 2, 1))


def test_an_overlay_is_as_large_as_its_image_and_keeps_the_place():
    values = np.zeros((50, 50))
    values[39, 40] = -1  # row 39 of 50 from the bottom is row 10 from the top
    drawn = panels.overlay(values, np.zeros((200, 200)), symmetric_scale(values))
    assert drawn.shape == (200, 200, 3)
    rows, columns = np.nonzero(drawn[..., 1] < 255)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 43, 160, 163)


def test_large_cutouts_are_averaged_down():
    image = np.arange(500 * 500, dtype=float).reshape(500, 500)
    small = panels.shrink(image)
    assert max(small.shape) <= panels.MAX_SIDE
    assert small.mean() == pytest.approx(image[:498, :498].mean(), rel=1e-3)  # the last rows that fill no block are cut


def test_one_nan_hides_no_block():
    image = np.ones((400, 400))
    image[0, 0] = np.nan
    assert np.isfinite(panels.shrink(image)).all()


def test_png_keeps_the_colours():
    rgb = panels.heat(np.linspace(-1, 1, 49).reshape(7, 7), symmetric_scale([1.0]))
    data = base64.b64decode(png_uri(rgb).removeprefix("data:image/png;base64,"))
    back = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert abs(back - rgb.astype(int)).max() <= 2  # 49 colours fit the palette of 160


@pytest.mark.parametrize(("fov", "text"), [(20.0, "5″"), (10.1, "2″"), (8.1, "2″"), (60.0, "10″"), (2.0, "0.5″")])
def test_scale_bars_are_round_and_to_scale(fov: float, text: str):
    bar = scale_bar(fov)
    assert bar["text"] == text
    assert bar["length"] == pytest.approx(100 * float(text.rstrip("″")) / fov, abs=0.01)  # rounded to 0.01
