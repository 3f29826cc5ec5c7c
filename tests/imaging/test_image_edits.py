"""Edits of images: closed forms, what they do to noise, and a neutral strength that changes no bit."""

from __future__ import annotations

import numpy as np
import pytest

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import image_edits

SHAPES = {"VIS": 200, "Y": 66, "J": 66, "H": 66}
NEUTRAL = {"orientation": 0, "sub_pixel_shift": 0.0, "recolour": 0.0, "added_noise": 0.0, "background_offset": 0.0}
ALL = {
    "orientation": 5,
    "sub_pixel_shift": 0.4,
    "band_swap": 1.0,
    "band_duplicate": 1.0,
    "recolour": 0.7,
    "added_noise": 0.5,
    "background_offset": 0.5,
}


def find(name):
    return getattr(image_edits, name)


def rng():
    return np.random.default_rng(8)


@pytest.fixture
def images():
    noise = np.random.default_rng(1)
    return {band: noise.normal(3.0, 2.0, (side, side)).astype(np.float32) for band, side in SHAPES.items()}


def blob(side, field, x, y, width):
    """Gaussian of unit flux at (x, y) in a field of given width, per pixel of `side`."""
    axis = ((np.arange(side) + 0.5) / side - 0.5) * field
    squared = (axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2
    return (np.exp(-squared / (2 * width**2)) / (2 * np.pi * width**2) * (field / side) ** 2).astype(np.float32)


def sigma(image):
    return 1.4826 * np.median(np.abs(image - np.median(image)))


@pytest.mark.parametrize("name", ALL)
def test_bands_shapes_and_type_stay_and_the_given_images_too(images, name):
    before = {band: image.copy() for band, image in images.items()}
    edited = find(name)(images, ALL[name], rng())
    assert list(edited) == list(images)
    for band, image in edited.items():
        assert (image.shape, image.dtype) == (images[band].shape, np.float32)
        assert image.flags.c_contiguous
        assert np.array_equal(images[band], before[band])
    again = find(name)(images, ALL[name], rng())
    assert all(np.array_equal(edited[band], again[band]) for band in images)
    assert any(not np.array_equal(edited[band], images[band]) for band in images)


@pytest.mark.parametrize("name", NEUTRAL)
def test_the_neutral_strength_changes_no_bit(images, name):
    edited = find(name)(images, NEUTRAL[name], rng())
    for band, image in images.items():
        assert edited[band].tobytes() == image.tobytes()


def test_orientations_are_the_eight_of_the_dihedral_group():
    image = np.arange(9, dtype=np.float32).reshape(3, 3)
    found = [image_edits.orientation({"VIS": image}, k, rng())["VIS"] for k in range(8)]
    assert len({turned.tobytes() for turned in found}) == 8
    for turned in found:
        assert sorted(turned.ravel()) == sorted(image.ravel())
        assert turned[1, 1] == image[1, 1]
    assert np.array_equal(found[1], np.rot90(image))
    assert np.array_equal(found[4], image[:, ::-1])


def test_all_bands_are_turned_alike():
    images = {band: blob(side, 20.0, 3.0, 1.0, 0.8) for band, side in SHAPES.items()}
    for k in range(8):
        edited = image_edits.orientation(images, k, rng())
        places = [centroid(image, 20.0) for image in edited.values()]
        np.testing.assert_allclose(places, [places[0]] * 4, atol=0.01)  # float32 sums


def centroid(image, field):
    axis = ((np.arange(len(image)) + 0.5) / len(image) - 0.5) * field
    weights = image.astype(np.float64)
    return weights.sum(axis=0) @ axis / weights.sum(), weights.sum(axis=1) @ axis / weights.sum()


@pytest.mark.parametrize("pixels", [0.25, 0.5, 1.0, 3.7])
def test_a_shift_moves_all_bands_by_the_same_angle(pixels):
    images = {band: blob(side, 20.0, 1.0, -2.0, 0.8) for band, side in SHAPES.items()}
    angle = rng().uniform(0.0, 2 * np.pi)
    x, y = 1.0 + 0.1 * pixels * np.cos(angle), -2.0 + 0.1 * pixels * np.sin(angle)
    edited = image_edits.sub_pixel_shift(images, pixels, rng())
    for band, side in SHAPES.items():
        expected = blob(side, 20.0, x, y, 0.8)
        np.testing.assert_allclose(edited[band], expected, atol=1e-5 * expected.max())  # float32
        assert edited[band].sum() == pytest.approx(1.0, abs=1e-4)


def test_a_shift_keeps_noise_white_and_as_strong():
    noise = np.random.default_rng(4).standard_normal((200, 200)).astype(np.float32)
    moved = image_edits.sub_pixel_shift({"VIS": noise}, 0.5, rng())["VIS"]
    assert moved.std() == pytest.approx(noise.std(), rel=0.01)
    # Neighbours of white noise are uncorrelated to about 1/200; a spline would correlate them at half a pixel.
    for a, b in ((moved[1:], moved[:-1]), (moved[:, 1:], moved[:, :-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02


def test_a_shift_has_no_seam_at_the_edge():
    ramp = np.tile(np.linspace(0.0, 100.0, 64, dtype=np.float32), (64, 1))
    moved = image_edits.sub_pixel_shift({"VIS": ramp}, 0.5, rng())["VIS"]
    step = ramp[0, 1] - ramp[0, 0]
    assert np.abs(moved - ramp).max() < 1.5 * step  # a wrap-around would bring the other edge, 63 steps away


def test_band_swap_reverses_all_but_vis(images):
    edited = image_edits.band_swap(images, 1.0, rng())
    for band, source in {"VIS": "VIS", "Y": "H", "J": "J", "H": "Y"}.items():
        assert np.array_equal(edited[band], images[source])


def test_band_duplicate_keeps_the_flux_on_any_pixels():
    vis = np.random.default_rng(3).uniform(0.0, 1.0, (200, 200)).astype(np.float32)
    other = {"Y": np.zeros((66, 66), np.float32), "J": np.zeros((50, 50), np.float32), "H": np.zeros_like(vis)}
    edited = image_edits.band_duplicate({"VIS": vis, **other}, 1.0, rng())
    assert np.array_equal(edited["H"], vis)
    blocks = vis.astype(np.float64).reshape(50, 4, 50, 4).sum(axis=(1, 3))
    np.testing.assert_allclose(edited["J"], blocks, rtol=1e-6)  # one rounding to float32
    for image in edited.values():
        assert image.sum(dtype=np.float64) == pytest.approx(vis.sum(dtype=np.float64), rel=1e-6)
    flat = image_edits.band_duplicate({"VIS": np.ones((200, 200), np.float32), **other}, 1.0, rng())["Y"]
    np.testing.assert_allclose(flat, (200 / 66) ** 2, rtol=1e-6)


def test_band_duplicate_keeps_places():
    images = {band: blob(side, 20.0, 2.0, -3.0, 0.8) for band, side in SHAPES.items()}
    edited = image_edits.band_duplicate(images, 1.0, rng())
    for band in SHAPES:
        assert centroid(edited[band], 20.0) == pytest.approx((2.0, -3.0), abs=2e-3)


@pytest.mark.parametrize("mag", [-0.5, 0.9])
def test_recolour_in_proportion_to_the_band(images, mag):
    edited = image_edits.recolour(images, mag, rng())
    for index, band in enumerate(images):
        np.testing.assert_allclose(edited[band], images[band] * 10 ** (0.4 * mag * index / 3), rtol=1e-6)
    assert edited["VIS"].tobytes() == images["VIS"].tobytes()


def test_added_noise_is_one_field_scaled(images):
    weak, strong = (image_edits.added_noise(images, strength, rng()) for strength in (0.5, 2.0))
    for band, image in images.items():
        np.testing.assert_allclose(strong[band] - image, 4.0 * (weak[band] - image), atol=2e-5)  # float32 differences
        added = (strong[band] - image).std() / sigma(image)
        assert added == pytest.approx(2.0, rel=0.015 if band == "VIS" else 0.045)  # 4 standard errors
        assert strong[band].std() == pytest.approx(image.std() * 5**0.5, rel=0.05)
    first, second = (np.asarray(strong[band] - images[band]).ravel() for band in ("Y", "J"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


@pytest.mark.parametrize("strength", [-1.0, 0.5])
def test_background_offset_in_sigma(images, strength):
    edited = image_edits.background_offset(images, strength, rng())
    for band, image in images.items():
        np.testing.assert_allclose(edited[band] - image, strength * sigma(image), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "strength", "message"),
    [
        ("orientation", 8, "a whole number from 0 to 7 is needed, not 8"),
        ("orientation", 1.5, "not 1.5"),
        ("orientation", -1, "not -1"),
        ("sub_pixel_shift", -0.1, r"must lie in \[0, 8\] pixels, not -0.1"),
        ("sub_pixel_shift", float("nan"), "not nan"),
        ("recolour", float("inf"), "finite number, not inf"),
        ("added_noise", -1.0, "at least 0, not -1.0"),
        ("added_noise", float("nan"), "finite number, not nan"),
        ("background_offset", float("nan"), "finite number, not nan"),
    ],
)
def test_a_strength_out_of_range_is_refused_in_one_line(images, name, strength, message):
    with pytest.raises(UsageError, match=rf"^{name}: .*{message}") as refused:
        find(name)(images, strength, rng())
    assert "\n" not in str(refused.value)


def test_bands_that_do_not_fit_are_refused(images):
    with pytest.raises(UsageError, match=r"^recolour: two bands or more are needed, there is VIS$"):
        image_edits.recolour({"VIS": images["VIS"]}, 0.5, rng())
    with pytest.raises(UsageError, match="two bands besides VIS are needed"):
        image_edits.band_swap({"VIS": images["VIS"], "Y": images["Y"]}, 0.0, rng())
    with pytest.raises(UsageError, match=r"^band_swap: g, r differ in shape"):
        image_edits.band_swap({"g": images["VIS"], "r": images["Y"]}, 0.0, rng())


@pytest.mark.parametrize("name", ["added_noise", "background_offset"])
def test_an_image_without_noise_is_refused(images, name):
    for value in (0.0, np.nan):
        blank = {**images, "J": np.full((66, 66), value, np.float32)}
        with pytest.raises(DataError, match=r"^band J: half of its pixels are equal or NaN"):
            find(name)(blank, 0.5, rng())
