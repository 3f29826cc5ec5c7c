"""Infidelity and sensitivity: 0 where a linear finder's attribution is exact, and the formula written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from judging_toys import SIZE, pictures, plane, small

from lensaudit.explaining.judging.attributor import Attributor, Maps, attributor
from lensaudit.explaining.judging.image_scores import (
    NOISE_RADIUS,
    NOISE_SAMPLES,
    TILES,
    Removal,
    max_sensitivity,
    remembered,
    tiles,
    unexplained,
)

ROUNDING = 1e-6  # float32 log-odds of differences of order 0.1


def attributed(method: str, finder, image: torch.Tensor) -> np.ndarray:
    return attributor(method).maps(finder, image[None], 0).spread(len(image))[0]


@pytest.mark.parametrize("method", ["saliency", "input-x-gradient", "integrated-gradients", "deeplift", "smoothgrad"])
def test_exact_attributions_of_a_linear_finder_leave_nothing_unexplained(method):
    finder, image = plane(), pictures(1)[0]
    removal = Removal(per_unit=attributor(method).per_unit)
    assert unexplained(remembered(finder), image, attributed(method, finder, image), removal) < ROUNDING


@pytest.mark.parametrize("sign", [1, -1])
def test_infidelity_is_its_formula(sign):
    finder, image = small(), pictures(1)[0]
    phi = sign * attributed("input-x-gradient", finder, image)
    removal = Removal()
    inside, left = removal(image[None].double().repeat(TILES**2, 1, 1, 1))
    said = (inside.numpy() * phi).sum(axis=(1, 2, 3))
    with torch.inference_mode():
        response = (finder.logit(image[None]) - finder.logit(left.float())).double().numpy()
    best = (said @ response) / (said @ said)
    expected = ((best * said - response) ** 2).mean() / (response**2).mean() if best > 0 else 1.0
    found = unexplained(remembered(finder), image, phi, removal)
    assert found == pytest.approx(expected, abs=1e-5)  # float32 log-odds
    assert (found == 1) == (best <= 0)


def test_a_wrong_sign_or_an_empty_map_explain_nothing():
    finder, image = plane(), pictures(1)[0]
    exact = attributed("input-x-gradient", finder, image)
    forward = remembered(finder)
    assert unexplained(forward, image, -exact, Removal()) == 1
    assert unexplained(forward, image, np.zeros_like(exact), Removal()) == pytest.approx(1)
    assert unexplained(forward, image, 1e-6 * exact, Removal()) < ROUNDING  # units do not matter


def test_no_response_is_no_score():
    finder = plane()
    with torch.no_grad():
        finder.module.weight.zero_()
    assert math.isnan(unexplained(remembered(finder), pictures(1)[0], np.ones((2, SIZE, SIZE)), Removal()))


@pytest.mark.parametrize("size", [24, 66, 200])
def test_tiles_cover_every_pixel_once(size):
    every = tiles(size)
    assert every.shape == (TILES**2, 1, size, size)
    assert (every.sum(dim=0) == 1).all()
    sides = every.sum(dim=3).amax(dim=(1, 2))
    assert set(sides.tolist()) <= {size // TILES, -(-size // TILES)}


def test_a_removed_tile_is_zero_and_the_rest_stays():
    image = 0.5 * torch.ones(TILES**2, 2, SIZE, SIZE, dtype=torch.float64)
    inside, left = Removal()(image)
    gone, left_too = Removal(per_unit=True)(image)
    assert (left == left_too).all()
    assert ((left == 0) == (inside == 1)).all()
    assert (gone == 0.5 * inside).all()


def test_the_finder_is_asked_once_for_each_image():
    finder, image = small(), pictures(1)[0]
    seen = []
    handle = finder.module.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    forward = remembered(finder)
    for method in ("saliency", "input-x-gradient"):
        unexplained(forward, image, attributed(method, small(), image), Removal())
    handle.remove()
    assert sum(seen) <= TILES**2 + 1  # the tiles and the image itself


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
