"""Fractions of clipped pixels: counted as numpy counts them, and said where they are not ordinary."""

import re

import numpy as np
import pytest
import torch

from lensaudit.finders import Finder, remarks_on, score_set
from lensaudit.finders.refit import clipped_fractions

SKY = 0.4  # of the pixels of `sky` that are negative, within a few per cent


@pytest.fixture
def stretched(make_finder):
    """Stretch → an OU-VIS finder that has it."""

    def make(stretch: str) -> Finder:
        finder = make_finder("ou-vis")
        return Finder(finder.recipe.model_copy(update={"stretch": stretch}), finder.module, "test")

    return make


@pytest.fixture
def sky(make_cutouts):
    """Four VIS images: noise of σ = 1 around 0, and a galaxy of 20 whose light reaches over half of the image."""
    rng = np.random.default_rng(3)
    grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, 200)] * 2))
    return (rng.normal(size=(4, 200, 200)) + 20 * np.exp(-12 * grid)).astype(np.float32)


def test_fractions_of_native_pixels_are_those_counted_one_by_one(stretched, sky):
    finder, images = stretched("sqrt-minmax"), 1000 * sky
    found = clipped_fractions(finder, {"VIS": images}, finder.prepare({"VIS": images})[0])
    assert found.shape == (4, 1, 2)
    np.testing.assert_array_equal(found[:, 0, 0], (images < 0).mean(axis=(1, 2)))
    np.testing.assert_array_equal(found[:, 0, 1], (images > 10_000).mean(axis=(1, 2)))
    assert found[:, 0, 1].min() > 0


@pytest.mark.parametrize("name", ["deeplens", "lastro-101"])
def test_fractions_of_fitted_stretches_are_those_on_their_limits(name, make_finder, make_cutouts):
    finder = make_finder(name)
    size, band = finder.recipe.size, finder.recipe.bands[0]
    images = make_cutouts(3)["VIS"][:, :size, :size] * np.float32(600)
    if name == "deeplens":
        native = (images - finder.statistics["mean"].numpy()) / finder.statistics["sigma"].numpy()
        low, high = -250, 250
    else:
        native, low, high = images, -0.7 * float(finder.statistics["low"]), float(finder.statistics["high"])
    found = clipped_fractions(finder, {band: images}, finder.prepare({band: images})[0])
    np.testing.assert_allclose(found[:, 0, 0], (native <= low).mean(axis=(1, 2)), atol=1e-4)  # rounding at a limit
    np.testing.assert_allclose(found[:, 0, 1], (native >= high).mean(axis=(1, 2)), atol=1e-4)
    assert found[:, 0, 1].min() > 0


@pytest.mark.parametrize(
    ("stretch", "change", "says"),
    [
        ("sqrt", lambda x: x, None),
        ("sqrt", lambda x: 1000 * x, None),
        ("sqrt", lambda x: 1e-12 * x, None),
        (
            "sqrt",
            lambda x: x + 5,
            "VIS: 0 % of the pixels are negative (20 % to 55 % in an ordinary sky): the sky is not",
        ),
        ("sqrt", lambda x: x - 2, "too much sky is subtracted"),
        ("sqrt-minmax", lambda x: x, None),
        ("sqrt-minmax", lambda x: 1000 * x, "stretch sqrt-minmax clips"),
        ("minmax", lambda x: x + 5, None),
    ],
)
def test_what_is_no_ordinary_fraction_is_said_in_one_line(stretch, change, says, stretched, sky, make_set):
    finder = stretched(stretch)
    scores = score_set(finder, make_set("s", {"VIS": change(sky).astype(np.float32)}))
    assert scores.failed == {}
    remarks = remarks_on(finder.name, scores.clipping)
    assert len(remarks) == (0 if says is None else 1)
    assert says is None or says in remarks[0]
    assert (scores.clipping == {}) == (stretch == "minmax")


def test_the_square_root_without_ceiling_is_the_old_one_bit_for_bit_below_it(stretched, sky):
    new, old = (stretched(stretch).preprocess({"VIS": 100 * sky}) for stretch in ("sqrt", "sqrt-minmax"))
    assert float((100 * sky).max()) < 10_000
    assert torch.equal(new, old)


@pytest.mark.parametrize(
    ("stretch", "image", "says"),
    [
        (
            "sqrt-minmax",
            lambda x: x + 20_000,
            r"VIS has no pixel below 10000 .the smallest is 2e\+04.: stretch",
        ),
        ("sqrt-minmax", lambda x: x - 100, r"VIS has no pixel above 0 .the largest is -8\d\.\d+.: stretch sqrt"),
        ("sqrt", lambda x: x - 100, r"VIS has no pixel above 0 .the largest is -8\d\.\d+.: stretch sqrt"),
        ("sqrt", lambda x: 0 * x + 3, "VIS is constant"),
    ],
)
def test_an_image_of_which_nothing_is_left_says_why(stretch, image, says, stretched, sky, make_set):
    scores = score_set(stretched(stretch), make_set("s", {"VIS": image(sky).astype(np.float32)}))
    assert len(scores.failed) == 4
    assert all(np.isnan(scores.p_lens))
    assert re.match(says, scores.status[0])


def test_an_image_that_a_fitted_stretch_clips_everywhere_is_not_scored(make_finder, make_set, make_cutouts):
    finder = make_finder("lastro-101")
    images = make_cutouts(2)["VIS"][:, :101, :101] * np.float32(1e-12)
    scores = score_set(finder, make_set("s", {"VIS": images}))
    assert (
        scores.status
        == ("VIS has no pixel between the limits of stretch clip-log: its unit is another, or its sky",) * 2
    )


def test_padding_does_not_count(stretched, sky, make_set):
    """One image in a batch of four: the three zeros that fill it up are not pixels of the set."""
    scores = score_set(stretched("sqrt"), make_set("s", {"VIS": sky[:1]}), batch_size=4)
    assert scores.clipping["VIS"].below == (sky[0] < 0).mean()
