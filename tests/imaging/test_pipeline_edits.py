"""What another pipeline would make of images, against Pillow's own calls and closed forms."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lensaudit.errors import UsageError
from lensaudit.imaging import pipeline_edits as edits

RNG = np.random.default_rng(0)  # no edit draws from it


@pytest.fixture
def images():
    y, x = np.mgrid[:60, :60] - 29.5
    noise = np.random.default_rng(1).normal(size=(60, 60))
    wide = (40 * np.exp(-np.hypot(x, y) / 4) + noise + 2).astype(np.float32)
    return {"VIS": wide, "H": wide[:20, :20] * np.float32(1e-3)}


def test_a_zero_point_multiplies_and_2_5_mag_are_a_factor_of_ten(images):
    found = edits.zero_point(images, 2.5, RNG)
    for band, image in images.items():
        np.testing.assert_array_equal(found[band], image * np.float32(10))
    assert edits.zero_point(images, 0.0, RNG)["VIS"] is images["VIS"]


@pytest.mark.parametrize("quality", [95, 50])
def test_jpeg_is_pillows_between_each_bands_own_extremes(images, quality):
    found = edits.jpeg(images, quality, RNG)
    for band, image in images.items():
        low, high = float(image.min()), float(image.max())
        stream = io.BytesIO()
        levels = np.round((image.astype(float) - low) / (high - low) * 255).astype(np.uint8)
        Image.fromarray(levels).save(stream, "JPEG", quality=quality)
        wanted = low + np.asarray(Image.open(stream)).astype(float) * (high - low) / 255
        np.testing.assert_array_equal(found[band], wanted.astype(np.float32))
    assert np.abs(found["VIS"] - images["VIS"]).max() > 40 / 255 / 2  # it costs more than the levels alone


def test_bits_are_levels_of_each_bands_range(images):
    for bits in (8, 3):
        found = edits.eight_bit(images, bits, RNG)
        for band, image in images.items():
            step = np.ptp(image) / (2**bits - 1)
            assert np.abs(found[band] - image).max() <= step / 2 * (1 + 1e-4)  # single precision
            assert len(np.unique(found[band])) <= 2**bits
            assert (found[band].min(), found[band].max()) == (image.min(), image.max())


def test_levels_leave_pixels_that_are_no_number_and_constant_bands(images):
    holed = images["VIS"].copy()
    holed[3, 4] = np.nan
    flat = np.full((8, 8), 2.5, np.float32)
    found = edits.jpeg({"VIS": holed, "flat": flat, "none": flat * np.nan}, 75, RNG)
    assert np.argwhere(np.isnan(found["VIS"])).tolist() == [[3, 4]]
    assert np.array_equal(found["flat"], flat)
    assert np.isnan(edits.clipped_range({"VIS": holed}, 99, RNG)["VIS"]).sum() == 1


@pytest.mark.parametrize(("order", "kind"), [(0, "NEAREST"), (1, "BILINEAR"), (3, "BICUBIC")])
def test_resampling_is_pillows_about_the_centre(images, order, kind):
    found = edits.resampled(images, order, RNG)
    image = images["VIS"]
    wide = np.pad(image, 2, mode="symmetric")
    half = 60 * 0.98 / 2
    box = (32 - half, 32 - half, 32 + half, 32 + half)
    wanted = Image.fromarray(wide).resize((60, 60), Image.Resampling[kind], box=box)
    np.testing.assert_array_equal(found["VIS"], np.asarray(wanted))
    assert found["VIS"].flags.writeable


@pytest.mark.parametrize("scale", [0.95, 1.05])
def test_a_smaller_pixel_shows_all_larger_about_the_same_centre(scale):
    y, x = np.mgrid[:81, :81] - 40.0
    blob = np.exp(-((x - 20) ** 2 + (y + 10) ** 2) / (2 * 4.0**2)).astype(np.float32)
    found = edits.pixel_scale({"VIS": blob}, scale, RNG)["VIS"]
    column, row = (float((found * axis).sum() / found.sum()) for axis in (x, y))
    assert (column, row) == pytest.approx((20 / scale, -10 / scale), abs=0.05)  # pixels; of the interpolation
    assert found.sum() / blob.sum() == pytest.approx(scale**-2, rel=0.01)  # per pixel it is as bright as before
    edge = np.ones((30, 30), np.float32)
    assert np.allclose(edits.pixel_scale({"VIS": edge}, 2.0, RNG)["VIS"], 1.0)  # mirrored, never empty


def test_a_range_is_cut_at_its_percentile(images):
    found = edits.clipped_range(images, 99, RNG)
    for band, image in images.items():
        limit = np.percentile(image, 99)
        np.testing.assert_allclose(found[band], np.minimum(image, limit), rtol=1e-6)
        assert (image > limit).mean() == pytest.approx(0.01, abs=0.003)
    assert edits.clipped_range(images, 100, RNG)["H"] is images["H"]


@pytest.mark.parametrize(
    ("edit", "strength", "words"),
    [
        ("zero_point", 31.0, "at most ±30 mag"),
        ("jpeg", 75.5, "a whole number from 1 to 100"),
        ("jpeg", 0, "a whole number from 1 to 100"),
        ("eight_bit", 17, "a whole number of bits, 1 to 16"),
        ("resampled", 2, r"0 \(nearest\), 1 \(bilinear\) or 3 \(bicubic\)"),
        ("pixel_scale", 0.2, r"a ratio in \[0.5, 2\]"),
        ("clipped_range", 0, "a percentile above 0"),
    ],
)
def test_other_strengths_are_one_line(images, edit, strength, words):
    with pytest.raises(UsageError, match=f"{edit}: {words} is needed, not {strength:g}|{edit}: {words}.* not "):
        getattr(edits, edit)(images, strength, RNG)
