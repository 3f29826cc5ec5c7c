"""Deletion and insertion: against a pixel-by-pixel reference, and what must hold for a linear finder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from judging_toys import SIZE, Small, pictures, plane, small
from plain_curves import plain_curves
from scipy.ndimage import gaussian_filter

from lensaudit.errors import UsageError
from lensaudit.explaining import deletion_insertion
from lensaudit.explaining.judging.scores import FRACTIONS, order_of


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("finder", [plane(), small()], ids=lambda finder: finder.name)
def test_curves_are_those_of_the_obvious_loop(finder):
    image = pictures(1)[0]
    attribution = np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype(np.float32)

    def p_lens(changed: np.ndarray) -> float:
        with torch.inference_mode():
            return float(finder.logit(torch.from_numpy(changed)[None]).sigmoid())

    order = np.argsort(-attribution.ravel())
    deletion, insertion = plain_curves(p_lens, image.numpy(), order, FRACTIONS)
    found = deletion_insertion(finder, image, attribution, rng())
    np.testing.assert_allclose(found.deletion, deletion, rtol=0, atol=1e-5)  # float32 logits of another batch size
    np.testing.assert_allclose(found.insertion, insertion, rtol=0, atol=1e-5)
    steps = np.diff(FRACTIONS)
    by_hand = float((steps * (np.array(deletion)[1:] + deletion[:-1]) / 2).sum())
    assert found.deletion_area == pytest.approx(by_hand, abs=1e-5)


def test_the_true_contributions_of_a_linear_finder_beat_their_reverse():
    finder, image = plane(), pictures(1)[0]
    contribution = (finder.module.weight * image).sum(dim=0).detach().numpy()
    good, bad = (deletion_insertion(finder, image, sign * contribution, rng()) for sign in (1, -1))
    random = deletion_insertion(finder, image, np.zeros_like(contribution), rng())
    assert good.deletion_area < random.deletion_area < bad.deletion_area
    assert good.insertion_area > random.insertion_area > bad.insertion_area
    assert (good.deletion <= bad.deletion + 1e-6).all()  # no order removes log-odds faster than the true one


def test_both_curves_join_the_whole_image_and_the_empty_one():
    finder, image = small(), pictures(1)[0]
    curves = deletion_insertion(finder, image, np.zeros((SIZE, SIZE), np.float32), rng())
    assert curves.deletion[0] == pytest.approx(curves.insertion[-1], abs=1e-6)
    assert curves.deletion[-1] == pytest.approx(curves.insertion[0], abs=1e-6)
    assert curves.deletion[0] != pytest.approx(curves.deletion[-1], abs=1e-3)


def test_blur_fills_with_the_smoothed_image():
    finder, image = plane(), pictures(1)[0]
    curves = deletion_insertion(finder, image, np.zeros((SIZE, SIZE), np.float32), rng(), fill="blur")
    blurred = np.stack([gaussian_filter(band, SIZE / 20, mode="nearest") for band in image.numpy()])
    with torch.inference_mode():
        expected = float(finder.logit(torch.from_numpy(blurred)[None]).sigmoid())
    assert curves.deletion[-1] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UsageError, match="fill 'grey' is not known; allowed: zero, blur"):
        deletion_insertion(finder, image, np.zeros((SIZE, SIZE), np.float32), rng(), fill="grey")


def test_equal_pixels_go_in_random_order_and_others_by_value():
    attribution = np.array([[1.0, 2.0], [2.0, 0.0]])
    orders = {tuple(order_of(attribution, np.random.default_rng(seed)).tolist()) for seed in range(20)}
    assert orders == {(1, 2, 0, 3), (2, 1, 0, 3)}


def test_a_module_is_left_as_it_was_even_where_it_raises():
    finder = small()
    finder.module.body.insert(1, torch.nn.Dropout(0.9))
    finder.module.train()
    curves = deletion_insertion(finder, pictures(1)[0], np.zeros((SIZE, SIZE), np.float32), rng())
    expected = deletion_insertion(small(), pictures(1)[0], np.zeros((SIZE, SIZE), np.float32), rng())
    np.testing.assert_array_equal(curves.deletion, expected.deletion)  # dropout was off
    assert all(part.training for part in finder.module.modules())

    class Breaks(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 1:
                raise RuntimeError("half-way")
            return super().forward(images)

    breaks = small()
    object.__setattr__(breaks, "module", Breaks(2, 3).train())
    with pytest.raises(RuntimeError, match="half-way"):
        deletion_insertion(breaks, pictures(1)[0], np.zeros((SIZE, SIZE), np.float32), rng())
    assert all(part.training for part in breaks.module.modules())
