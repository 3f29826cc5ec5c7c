"""Infidelity and sensitivity: 0 where a linear finder's attribution is exact, and the formula written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from captum.metrics import infidelity
from judging_toys import SIZE, pictures, plane, small

from lensaudit.explaining.judging.attributor import Attributor, Maps, attributor
from lensaudit.explaining.judging.image_scores import (
    NOISE_RADIUS,
    NOISE_SAMPLES,
    TILES,
    TileResponses,
    max_sensitivity,
    said_of_tiles,
    tiles,
    unexplained,
)

ROUNDING = 1e-6  # float32 log-odds of differences of order 0.1


def attributed(method: str, finder, image: torch.Tensor) -> np.ndarray:
    return attributor(method).maps(finder, image[None], 0).spread(len(image))[0]


def unexplained_of(method: str, finder) -> float:
    image, of = pictures(1)[0], attributor(method)
    said = said_of_tiles(image, attributed(method, finder, image), per_unit=of.per_unit)
    return unexplained(TileResponses(finder)(image), said)


@pytest.mark.parametrize("method", ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "smoothgrad"])
def test_exact_attributions_of_a_linear_finder_leave_nothing_unexplained(method):
    assert unexplained_of(method, plane()) < ROUNDING


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("method", ["saliency", "input-x-gradient"])
def test_infidelity_is_that_of_captum(method, sign):
    """Which asks the finder anew for every map, hence not used."""
    finder, image = small(), pictures(1)[0]
    per_unit = attributor(method).per_unit
    phi = sign * attributed(method, finder, image)
    scaled = torch.from_numpy(phi / np.abs(phi).max()).double()[None]

    def removed(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = tiles(SIZE).to(images).expand_as(images)
        gone = images * inside
        return gone if per_unit else inside, images - gone

    def of(candidate: torch.Tensor, normalize: bool = False) -> float:
        ask = lambda images: finder.logit(images.float()).double().detach()  # noqa: E731 - captum wants a function
        inputs = image[None].double()
        return float(infidelity(ask, removed, inputs, candidate, n_perturb_samples=TILES**2, normalize=normalize)[0])

    wrong = of(-scaled) < of(scaled)
    expected = 1.0 if wrong else of(scaled, normalize=True) / of(torch.zeros_like(scaled))
    found = unexplained(TileResponses(finder)(image), said_of_tiles(image, phi, per_unit=per_unit))
    assert found == pytest.approx(expected, abs=1e-5)  # float32 log-odds of another batch
    assert (found == 1) == wrong


def test_infidelity_in_closed_form():
    response = np.array([3.0, 4.0])
    assert unexplained(response, np.array([6.0, 8.0])) == pytest.approx(0)
    assert unexplained(response, np.array([1.0, 0.0])) == pytest.approx(16 / 25)
    assert unexplained(response, np.array([-4.0, 3.0])) == 1  # at right angles
    assert unexplained(response, -response) == 1
    assert unexplained(response, np.zeros(2)) == 1
    assert unexplained(response, 1e-9 * response) == pytest.approx(0)  # units do not matter
    assert math.isnan(unexplained(np.zeros(2), response))


@pytest.mark.parametrize("size", [24, 66, 200])
def test_tiles_cover_every_pixel_once(size):
    every = tiles(size)
    assert every.shape == (TILES**2, 1, size, size)
    assert (every.sum(dim=0) == 1).all()
    sides = every.sum(dim=3).amax(dim=(1, 2))
    assert set(sides.tolist()) <= {size // TILES, -(-size // TILES)}


@pytest.mark.parametrize("size", [24, 66])
def test_what_is_said_of_a_tile_is_its_sum(size):
    rng = np.random.default_rng(2)
    image, phi = torch.rand(2, size, size), rng.standard_normal((2, size, size))
    phi /= np.abs(phi).max()
    inside = tiles(size).double().numpy()
    for per_unit, of_pixels in ((False, phi), (True, phi * image.double().numpy())):
        expected = (inside * of_pixels).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(said_of_tiles(image, phi, per_unit=per_unit), expected, atol=1e-12)


def test_the_finder_is_asked_once_for_each_image():
    finder, image = small(), pictures(1)[0]
    seen = []
    handle = finder.module.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    responses = TileResponses(finder)
    assert (responses(image) == responses(image.clone())).all()
    handle.remove()
    assert sum(seen) == TILES**2 + 1  # the tiles and the image itself


def test_the_gradient_of_a_linear_finder_never_changes():
    assert max_sensitivity(plane(), pictures(1)[0], attributor("saliency")) == 0


def test_sensitivity_is_its_formula():
    finder, image = plane(), pictures(1)[0]
    noise = torch.rand(NOISE_SAMPLES, *image.shape, generator=torch.Generator().manual_seed(0))
    noise = NOISE_RADIUS * (2 * noise - 1)
    weight = finder.module.weight.detach()
    change = (weight * noise).sum(dim=1).flatten(1).norm(dim=1)
    expected = float(change.max() / (weight * image).sum(dim=0).norm())
    found = max_sensitivity(finder, image, attributor("input-x-gradient"))
    assert found == pytest.approx(expected, rel=1e-4)  # float32 sums of image and noise


def test_a_map_of_zeros_has_no_sensitivity():
    blank = Attributor("blank", "blank", lambda _finder, images, _seed: Maps(np.zeros((len(images), SIZE, SIZE), "f4")))
    assert math.isnan(max_sensitivity(plane(), pictures(1)[0], blank))
