"""Scalings by statistics of the training set: what is fitted, what is masked, and that it travels with the weights."""

import gc
import math
import weakref

import numpy as np
import pytest
import torch

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, fit_statistics, load_finder, save_finder

SIZE = 45


def galaxies(n=200, sigma=2.0, seed=1):
    """A round galaxy whose brightness differs from image to image, in noise of `sigma`."""
    rng = np.random.default_rng(seed)
    grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, SIZE)] * 2))
    flux = rng.uniform(20, 60, n)
    return (flux[:, None, None] * np.exp(-20 * grid) + rng.normal(0, sigma, (n, SIZE, SIZE))).astype(np.float32)


def chunks(images, size=64):
    return ([images[first : first + size]] for first in range(0, len(images), size))


def test_the_mean_image_and_the_noise_are_those_of_the_set():
    images = galaxies()
    statistics = fit_statistics("noise", 1, SIZE, chunks(images), len(images))
    np.testing.assert_allclose(statistics["mean"][0], images.mean(0, dtype=np.float64), rtol=1e-5, atol=1e-5)
    # the galaxies' spread covers a tenth of the image; the median deviation stays within a tenth of the noise
    assert float(statistics["sigma"][0]) == pytest.approx(2.0, rel=0.1)


def test_noise_units_are_cut_at_250_and_masked_pixels_are_zero(make_finder):
    images = galaxies()
    statistics = fit_statistics("noise", 1, SIZE, chunks(images), len(images))
    finder = Finder(make_finder("deeplens").recipe, torch.nn.Identity(), "test", statistics=statistics)
    image = images[:1].copy()
    image[0, 0, 0], image[0, 5, 5], image[0, 9, 9] = 1e6, np.nan, -1e6
    seen = finder.preprocess({"g": image})[0, 0].numpy()
    assert (seen[0, 0], seen[5, 5], seen[9, 9]) == (250.0, 0.0, -250.0)
    expected = (image[0] - statistics["mean"][0].numpy()) / float(statistics["sigma"][0])
    np.testing.assert_allclose(seen[20:, 20:], expected[20:, 20:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((SIZE, SIZE), 3.0), "g is constant"),
        (np.where(np.arange(SIZE**2).reshape(SIZE, SIZE) % 3 > 0, np.nan, 1.0 * np.arange(SIZE)), "1350 of 2025"),
        (np.where(np.eye(SIZE) > 0, np.inf, 1.0 * np.arange(SIZE)), "45 of 2025 pixels not finite"),
    ],
)
def test_what_is_mostly_masked_or_constant_is_refused(image, says, make_finder, statistics_of):
    recipe = make_finder("deeplens").recipe
    finder = Finder(recipe, torch.nn.Identity(), "test", statistics=statistics_of(recipe))
    with pytest.raises(DataError, match=says):
        finder.preprocess({"g": image[None].astype(np.float32)})


def test_the_clipped_logarithm_is_the_papers_formula():
    images = galaxies()
    statistics = fit_statistics("clip-log", 1, SIZE, chunks(images), len(images))
    low, high = np.percentile(images, [0.25, 99.75])
    assert float(statistics["low"][0]) == pytest.approx(low, rel=1e-5)
    assert float(statistics["high"][0]) == pytest.approx(high, rel=1e-5)


def test_clip_log_runs_from_its_floor_to_the_bright_percentile(make_finder):
    recipe = make_finder("lastro-101").recipe
    statistics = {"low": torch.tensor([-2.0]), "high": torch.tensor([100.0])}
    finder = Finder(recipe, torch.nn.Identity(), "test", statistics=statistics)
    image = np.full((1, 101, 101), 12.0, np.float32)
    image[0, :4, 0] = [-5.0, 1.0, 100.0, 1e4]
    seen = finder.preprocess({"VIS": image})[0, 0].numpy()
    floor = 0.7 * 2.0
    assert seen[:4, 0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert seen[50, 50] == pytest.approx(math.log(12.0 / floor) / math.log(100.0 / floor), rel=1e-5)


@pytest.mark.parametrize(
    ("stretch", "image", "says"),
    [("noise", np.ones((3, SIZE, SIZE)), "no noise"), ("clip-log", -np.ones((3, SIZE, SIZE)), "another stretch")],
)
def test_a_set_without_noise_or_light_is_named(stretch, image, says):
    with pytest.raises(DataError, match=says):
        fit_statistics(stretch, 1, SIZE, chunks(image.astype(np.float32)), 3)


def test_stretches_without_figures_read_no_image():
    def never():
        raise AssertionError("read")
        yield

    assert fit_statistics("minmax", 1, SIZE, never(), 3) == {}


def test_figures_travel_with_the_weights_and_count_in_their_hash(make_finder, tmp_path):
    finder = make_finder("deeplens")
    save_finder(finder, tmp_path / "a", origin="a test")
    loaded = load_finder(str(tmp_path / "a"))
    assert loaded.statistics.keys() == {"mean", "sigma"}
    assert all(torch.equal(loaded.statistics[name], finder.statistics[name]) for name in finder.statistics)
    other = Finder(finder.recipe, finder.module, "test", statistics={**finder.statistics, "sigma": torch.tensor([9.0])})
    assert other.weights_hash != finder.weights_hash == loaded.weights_hash


def test_a_finder_without_its_figures_says_what_it_lacks(make_finder):
    finder = make_finder("deeplens")
    with pytest.raises(UsageError, match="stretch noise takes mean, sigma from a training set"):
        Finder(finder.recipe, finder.module, "test").preprocess({"g": galaxies(2)})


def test_chunks_are_let_go_once_their_share_of_pixels_is_taken(monkeypatch):
    """With views of them a set of 24 000 Euclid images stayed in memory whole while its statistics were fitted."""
    monkeypatch.setattr("lensaudit.finders.stretch._MOST_PIXELS", 4 * SIZE**2)
    given: list[weakref.ref] = []
    alive: list[int] = []

    def chunks_one_by_one():
        for part in np.split(galaxies(), 4):
            chunk = np.ascontiguousarray(part, np.float32).copy()
            given.append(weakref.ref(chunk))
            yield [chunk]
            del chunk
            gc.collect()
            alive.append(sum(ref() is not None for ref in given))

    fit_statistics("clip-log", 1, SIZE, chunks_one_by_one(), len(galaxies()))
    assert alive == [1, 1, 1, 1]  # the one just read
