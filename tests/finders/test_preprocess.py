"""From native cutouts to what the network sees."""

import numpy as np
import pytest
import torch
from skimage.transform import resize

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, Recipe
from lensaudit.finders.finder import lens_logit
from lensaudit.finders.stretch import STRETCHES, scale_to_unit, usable

# float32 rounding of the resize, divided by a span of at least half the peak
ATOL = 3e-6


def wilde(image, size):
    """The published preprocessing, in float64 with scikit-image."""
    small = resize(image.astype(np.float64), (size, size))
    return (small - small.min()) / (small.max() - small.min())


@pytest.mark.parametrize("name", ["ou66", "ou200", "ou-jyh", "ou-vis"])
def test_each_band_is_resized_then_scaled_by_its_own_extremes_in_the_recipes_order(name, make_finder, make_cutouts):
    finder, cutouts = make_finder(name), make_cutouts(3)
    ours = finder.preprocess(cutouts)
    size = finder.recipe.size
    assert ours.shape == (3, len(finder.recipe.bands), size, size)
    assert ours.dtype == torch.float32
    for index, band in enumerate(finder.recipe.bands):
        for row in range(3):
            np.testing.assert_allclose(ours[row, index].numpy(), wilde(cutouts[band][row], size), rtol=0, atol=ATOL)


def test_square_root_stretch_acts_on_native_pixels(make_finder, make_cutouts):
    finder = make_finder("ou66")
    finder = Finder(finder.recipe.model_copy(update={"stretch": "sqrt-minmax"}), finder.module, "test")
    cutouts = {band: 900 * images for band, images in make_cutouts(1).items()}
    assert cutouts["VIS"].max() > 10_000
    assert cutouts["VIS"].min() < 0
    expected = wilde(np.sqrt(np.clip(cutouts["VIS"][0].astype(float), 0, 10_000)), 66)
    np.testing.assert_allclose(finder.preprocess(cutouts)[0, 3].numpy(), expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize("stretch", ["minmax", "sqrt", "log-minmax"])
@pytest.mark.parametrize("factor", [1e-12, 1e6])
def test_what_an_image_is_scaled_by_itself_takes_no_notice_of_the_unit(factor, stretch, make_finder, make_cutouts):
    finder, cutouts = make_finder("ou-vis"), make_cutouts(1)
    finder = Finder(finder.recipe.model_copy(update={"stretch": stretch}), finder.module, "test")
    assert not STRETCHES[stretch].in_pixel_units
    other = {band: (factor * images).astype(np.float32) for band, images in cutouts.items()}
    atol = 150 * ATOL if stretch == "log-minmax" else ATOL  # its slope at 0 is 1000 / ln 1001
    np.testing.assert_allclose(finder.preprocess(other), finder.preprocess(cutouts), rtol=0, atol=atol)


def test_big_endian_arrays_and_tensors_are_taken(make_finder, make_cutouts):
    finder, cutouts = make_finder("ou-h"), make_cutouts(2)
    plain = finder.preprocess(cutouts)
    assert torch.equal(finder.preprocess({"H": cutouts["H"].astype(">f4")}), plain)
    assert torch.equal(finder.preprocess({"H": torch.from_numpy(cutouts["H"])}), plain)


def test_the_input_is_left_alone(make_finder, make_cutouts):
    cutouts = make_cutouts(2)
    before = {band: images.copy() for band, images in cutouts.items()}
    make_finder("ou66").preprocess(cutouts)
    assert all(np.array_equal(before[band], images) for band, images in cutouts.items())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda image: np.full_like(image, 7.3), "VIS is constant"),
        (lambda image: np.where(image > 5, np.nan, image), "pixels not finite"),
        (lambda image: np.where(image > 5, np.inf, image), "pixels not finite"),
    ],
)
@pytest.mark.parametrize("stretch", sorted(set(STRETCHES) - {"noise"}))  # which masks: tests/finders/test_fitted.py
def test_what_cannot_be_scaled_is_named_by_image_and_band(
    spoil, says, stretch, make_finder, make_cutouts, statistics_of
):
    finder = make_finder("ou66")
    recipe = finder.recipe.model_copy(update={"stretch": stretch})
    finder = Finder(recipe, finder.module, "test", statistics=statistics_of(recipe))
    cutouts = make_cutouts(3)
    cutouts["VIS"][1] = spoil(cutouts["VIS"][1])
    with pytest.raises(DataError, match=f"image b: VIS.*{says.removeprefix('VIS ')}"):
        finder.preprocess(cutouts, ids=["a", "b", "c"])
    images, good = finder.prepare(cutouts)
    assert good.tolist() == [[True] * 4, [True, True, True, False], [True] * 4]
    assert torch.isnan(images[1, 3]).all()
    assert torch.isfinite(images[[0, 2]]).all()


def test_an_image_without_positive_pixels_is_constant_under_the_square_root():
    image = -torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert usable(image, "minmax").all()
    assert not usable(image, "sqrt-minmax").any()
    assert not usable(image, "sqrt").any()


@pytest.mark.parametrize("stretch", STRETCHES)
def test_every_stretch_keeps_the_order_of_pixels(stretch):
    values = torch.linspace(-100, 20_000, 4001)
    assert (STRETCHES[stretch].native(values).diff() >= 0).all()
    unit = STRETCHES[stretch].unit(torch.linspace(0, 1, 4001))
    assert (unit.diff() > 0).all()
    assert (unit[0], unit[-1]) == (0, 1)


def test_scaling_a_constant_gives_nan_not_zero():
    out = torch.zeros(2, 4, 4)
    images = torch.stack([torch.ones(4, 4), torch.arange(16.0).reshape(4, 4)])
    scale_to_unit(images, torch.tensor([True, True]), out)
    assert torch.isnan(out[0]).all()
    torch.testing.assert_close(out[1], images[1] / 15, rtol=0, atol=0)
    scale_to_unit(images, torch.tensor([True, False]), out)
    assert torch.isnan(out).all()


def test_missing_band_wrong_shape_and_unequal_numbers_are_refused(make_finder, make_cutouts):
    finder, cutouts = make_finder("ou66"), make_cutouts(2)
    with pytest.raises(DataError, match="needs band H, the cutouts have VIS, Y, J"):
        finder.preprocess({band: cutouts[band] for band in ("VIS", "Y", "J")})
    with pytest.raises(DataError, match=r"band VIS has shape .200, 200."):
        finder.preprocess({**cutouts, "VIS": cutouts["VIS"][0]})
    with pytest.raises(DataError, match="J 2, Y 2, H 2, VIS 1"):
        finder.preprocess({**cutouts, "VIS": cutouts["VIS"][:1]})


@pytest.mark.parametrize(("count", "lens_index"), [(1, 0), (2, 1), (2, 0), (4, 2)])
def test_sigmoid_of_the_logit_is_the_softmax_of_the_lens_output(count, lens_index):
    outputs = torch.randn(6, count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p = lens_logit(outputs, count, lens_index).sigmoid()
    expected = outputs.softmax(1)[:, lens_index] if count > 1 else outputs[:, 0].sigmoid()
    torch.testing.assert_close(p, expected, rtol=1e-12, atol=0)  # float64 rounding


def test_check_passes_the_euclid_set_and_names_what_does_not_fit(make_finder, make_cutouts, make_set):
    finder, cutouts = make_finder("ou66"), make_cutouts(1)
    finder.check(make_set("euclid", cutouts))
    with pytest.raises(DataError, match=r"needs band J, the set .* has VIS"):
        finder.check(make_set("vis", {"VIS": cutouts["VIS"]}))
    wide = {band: 0.15 if band == "VIS" else 0.3 for band in cutouts}
    with pytest.raises(DataError, match=r"30″.*needs 20″.*crop to 133 pixels"):
        finder.check(make_set("wide", cutouts, wide))


def test_cutouts_of_another_width_go_through_where_the_user_says_so(make_finder, make_cutouts, make_set):
    finder, cutouts = make_finder("ou66"), make_cutouts(1)
    narrow = make_set("narrow", cutouts, {band: 0.07 if band == "VIS" else 0.07 * 200 / 66 for band in cutouts})
    with pytest.raises(DataError, match=r"14″.* needs 20″ .*--field-of-view 14$"):
        finder.check(narrow)
    told = finder.for_field(14.0)
    told.check(narrow)
    assert (told.field_arcsec, finder.field_arcsec, told.for_field(None).field_arcsec) == (14.0, 20.0, 20.0)
    assert told.weights_hash == finder.weights_hash
    torch.testing.assert_close(told.preprocess(cutouts), finder.preprocess(cutouts), rtol=0, atol=0)  # same numbers
    with pytest.raises(DataError, match=r"needs 14″"):
        told.check(make_set("euclid", cutouts))


@pytest.mark.parametrize("width", [0.0, -3.0, float("nan"), float("inf")])
def test_a_field_that_is_no_width_is_refused(make_finder, width):
    with pytest.raises(UsageError, match="is not a width"):
        make_finder("ou66").for_field(width)


def test_check_takes_three_per_cent_and_no_more(make_finder):
    class Declared:
        bands = ("H",)
        instrument = "euclid"
        shape = {"H": (66, 66)}  # noqa: RUF012
        pixel_scale_arcsec = {"H": 20.59 / 66}  # noqa: RUF012

    make_finder("ou-h").check(Declared())
    Declared.pixel_scale_arcsec = {"H": 20.61 / 66}
    with pytest.raises(DataError):
        make_finder("ou-h").check(Declared())


def test_the_finder_is_in_evaluation_mode(make_finder):
    finder = make_finder("ou66")
    assert not any(layer.training for layer in finder.module.modules())
    assert isinstance(finder.recipe, Recipe)


def test_bands_that_go_together_are_scaled_by_their_common_extremes(make_finder, make_cutouts):
    """lenstronomy's square root as the authors call it, then one minimum and one maximum: bit for bit in one size."""
    from lenstronomy.Plots.plot_util import sqrt

    finder, cutouts = make_finder("ou-jyh"), make_cutouts(2)
    finder = Finder(finder.recipe.model_copy(update={"stretch": "sqrt-together"}), finder.module, "test")
    ours = finder.preprocess(cutouts)
    roots = np.stack([sqrt(cutouts[band], scale_min=0, scale_max=10_000) for band in finder.recipe.bands], axis=1)
    low, high = (edge(roots, axis=(1, 2, 3), keepdims=True) for edge in (np.min, np.max))
    np.testing.assert_allclose(ours, (roots - low) / (high - low), rtol=0, atol=2e-7)  # theirs is divided by 100 first
    assert (ours.amax(dim=(-2, -1)) < 1).any(), "not every band reaches 1"
    broken = {band: images.copy() for band, images in cutouts.items()}
    broken["Y"][1] = np.nan
    images, good = finder.prepare(broken)
    assert good.tolist() == [[True] * 3, [True, False, True]]
    assert torch.equal(images[0], ours[0])
    assert images[1].isnan().all()
