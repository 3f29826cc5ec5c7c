"""Pixels of the panels: what white, blue and red mean, and images that are odd."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lensaudit.display.colour import BLUE, LEAST_P, RED, symmetric_scale
from lensaudit.display.images import (
    MAX_SIDE,
    SOFTENING,
    colour_picture,
    grey,
    grey_scale,
    main_band,
    nearest,
    over_image,
    png_uri,
    prepared_grey,
    resampled_rgb,
    shrink,
    to_bytes,
)
from lensaudit.imaging import INSTRUMENTS
from lensaudit.report import pictures
from lensaudit.report.pictures import scale_bar


def test_white_is_exactly_zero_and_both_sides_have_one_scale():
    values = np.array([[0.5, 0.0, -0.001], [0.25, 0.0, -0.5]])
    picture = to_bytes(symmetric_scale(values).colours(values)).astype(int)[::-1]
    assert (picture[:, 1] == 255).all()
    assert abs(picture[0, 0] - np.round(255 * BLUE)).max() <= 1  # rounding to bytes
    assert abs(picture[1, 2] - np.round(255 * RED)).max() <= 1
    assert picture[0, 2].min() > 253, "a five-hundredth of the scale is as good as white"
    (bar,) = to_bytes(symmetric_scale(values).ramp(101)[None]).astype(int)
    assert abs(bar[0] - np.round(255 * RED)).max() <= 1
    assert abs(bar[-1] - np.round(255 * BLUE)).max() <= 1


def test_a_map_of_zeros_is_white_and_rounding_is_pale():
    assert (to_bytes(symmetric_scale(np.zeros((3, 3))).colours(np.zeros((3, 3)))) == 255).all()
    rounding = np.full((3, 3), 1e-8)  # a hundredth of the smallest full colour
    assert to_bytes(symmetric_scale(rounding, LEAST_P).colours(rounding)).min() > 250


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
    assert to_bytes(grey(image))[-1].max() == 255
    assert to_bytes(grey(image))[:-1].max() < 15  # the sky is one sigma above black


@pytest.mark.parametrize("image", [np.zeros((5, 5)), np.full((5, 5), np.nan), np.full((5, 5), 7e-12)])
def test_flat_or_empty_images_are_drawn_flat(image: np.ndarray):
    assert (to_bytes(grey(image)) == 0).all()


def test_the_stretch_is_asinh_of_sky_sigmas_at_any_unit():
    """Against numpy's arcsinh, with the sky that the noise was made with."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(100, 100))
    noise[40:50, 40:50] = 200.0  # 1 % of the pixels: white is the 99.9 % percentile
    for unit, sky in ((1.0, 0.0), (1e-12, 5e-12), (1e6, -3e7)):
        drawn = grey(unit * noise + sky)
        expected = np.arcsinh(np.clip(noise + 1, 0, 201) / SOFTENING) / np.arcsinh(201 / SOFTENING)
        np.testing.assert_allclose(drawn, expected, atol=0.01)  # median and MAD of 10 000 pixels, 1 % of them objects


def test_one_scale_of_several_shows_them_alike():
    rng = np.random.default_rng(4)
    faint, bright = rng.normal(size=(2, 40, 40))
    bright[10:20, 10:20] += 100
    scale = grey_scale(faint, bright)
    assert grey(bright, scale).max() == 1
    same = grey(np.where(bright > 50, faint, bright), scale)
    np.testing.assert_array_equal(same[bright <= 50], grey(bright, scale)[bright <= 50])


def test_an_empty_field_stays_dark():
    assert np.median(grey(np.random.default_rng(5).normal(size=(60, 60)))) < 0.2


def test_what_a_finder_has_prepared_is_not_stretched_again():
    prepared = np.linspace(0, 1, 201)[None].repeat(3, axis=0)[None]
    np.testing.assert_allclose(prepared_grey(prepared)[0, 0, 100], (0.5 - 0.01) / (0.995 - 0.01), rtol=1e-9)
    assert not prepared_grey(np.zeros((1, 4, 4))).any()


def test_the_stretch_is_monotonic_within_zero_and_one_and_survives_any_image():
    rng = np.random.default_rng(2)
    image = rng.normal(size=(50, 50))
    image[20:24, 20:24] += [[50], [100], [200], [400]]
    scaled = grey(image)
    order = np.argsort(image.ravel())
    assert (np.diff(scaled.ravel()[order]) >= 0).all()
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert np.median(scaled) < 0.2  # the sky stays dark beside a source of 400 sigma
    image[0, 0] = np.nan
    assert grey(image)[0, 0] == 0
    for odd in (np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(4) * 1e-12):
        assert np.isfinite(grey(odd)).all()


def test_colour_needs_all_three_bands():
    image = np.random.default_rng(0).random((6, 6))
    assert resampled_rgb({"H": image, "J": image}) is None
    picture = resampled_rgb({"H": image, "J": 0 * image, "Y": 0 * image})
    assert picture is not None
    assert picture[..., 0].max() > 0
    assert picture[..., 1:].max() == 0


def test_colour_of_bands_with_other_pixel_scales():
    fine = np.random.default_rng(1).standard_normal((40, 40))
    coarse = fine.reshape(20, 2, 20, 2).mean((1, 3))
    picture = resampled_rgb({"H": coarse, "J": fine, "Y": fine[:38, :38]})
    assert picture.shape == (40, 40, 3)
    # each pixel of the coarse band covers two by two of the finest
    # each pixel of the coarse band covers two by two of the finest
    wide = {"H": np.repeat(np.repeat(coarse, 2, 0), 2, 1), "J": fine, "Y": nearest(fine[:38, :38], fine.shape)}
    np.testing.assert_array_equal(picture, colour_picture(wide))


def test_an_overlay_is_as_large_as_its_image_and_keeps_the_place():
    values = np.zeros((50, 50))
    values[39, 40] = -1  # row 39 of 50 from the bottom is row 10 from the top
    drawn = to_bytes(over_image(values, np.zeros((200, 200)), symmetric_scale(values)))
    assert drawn.shape == (200, 200, 3)
    rows, columns = np.nonzero(drawn[..., 1] < 255)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 43, 160, 163)


def test_large_cutouts_are_averaged_down():
    image = np.arange(500 * 500, dtype=float).reshape(500, 500)
    small = shrink(image)
    assert max(small.shape) <= MAX_SIDE
    assert small.mean() == pytest.approx(image[:498, :498].mean(), rel=1e-3)  # the last rows that fill no block are cut


def test_one_nan_hides_no_block():
    image = np.ones((400, 400))
    image[0, 0] = np.nan
    assert np.isfinite(shrink(image)).all()


def test_png_keeps_the_colours():
    rgb = to_bytes(symmetric_scale([1.0]).colours(np.linspace(-1, 1, 49).reshape(7, 7)))
    data = base64.b64decode(png_uri(rgb).removeprefix("data:image/png;base64,"))
    back = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert abs(back - rgb.astype(int)).max() <= 2  # 49 colours fit the palette of 160


@pytest.mark.parametrize(("fov", "text"), [(20.0, "5″"), (10.1, "2″"), (8.1, "2″"), (60.0, "10″"), (2.0, "0.5″")])
def test_scale_bars_are_round_and_to_scale(fov: float, text: str):
    bar = scale_bar(fov)
    assert bar.text == text
    assert bar.length == pytest.approx(100 * float(text.rstrip("″")) / fov, abs=0.01)  # rounded to 0.01


def test_the_grey_panel_of_every_shipped_instrument_shows_its_reference_band():
    found = {one.name: main_band(one.band_names) for one in INSTRUMENTS.values()}
    assert found == {one.name: one.reference for one in INSTRUMENTS.values()}
    assert main_band(["q", "s"]) == "q"
