"""The randomisation check: an edge detector fails, a gradient passes, few images cannot tell; the finder stays."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from judging_toys import SIZE, Small, pictures, small
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity as ssim

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import randomisation_check
from lensaudit.explaining.judging.attributor import BASELINES, Attributor, Maps
from lensaudit.explaining.judging.randomisation import (
    excess_similarity,
    fully_randomised,
    layers_with_weights,
    randomised_from_the_end,
    rank_correlations,
    structural_similarity,
)
from lensaudit.explaining.judging.records import FAILS, INCONCLUSIVE, PASSES
from lensaudit.finders import declare_finder
from lensaudit.finders.finder import weights_hash


def test_an_edge_detector_that_pretends_to_explain_fails():
    result = randomisation_check(small(), pictures(5), BASELINES["edges"])
    assert result.verdict == FAILS
    assert result.label == "fails the randomisation check"
    assert result.excess > 0.5
    assert result.low > result.level
    assert "Edge detector: fails".lower() in result.sentence.lower()


def test_the_gradient_passes():
    result = randomisation_check(small(), pictures(8), "saliency")
    assert result.verdict == PASSES
    assert result.label == ""
    assert result.low <= result.excess <= result.high <= result.level
    layers = [step.layer for step in result.steps]
    assert layers == ["", "body.6", "body.3", "body.0"]
    assert result.steps[0].correlation == pytest.approx(1)
    assert result.steps[0].ssim == pytest.approx(1)
    assert result.steps[0].excess > result.steps[-1].excess + 0.3


def test_what_all_images_share_is_no_memory_of_the_image():
    blob = BASELINES["centre-blob"]
    result = randomisation_check(small(), pictures(5), blob)
    assert result.excess == pytest.approx(0, abs=1e-9)
    assert result.steps[-1].correlation == pytest.approx(1)  # the same map for every image and every network


def test_two_images_are_too_few():
    assert randomisation_check(small(), pictures(2), BASELINES["edges"]).verdict == INCONCLUSIVE
    alone = randomisation_check(small(), pictures(1), "saliency")
    assert (alone.verdict, alone.steps) == (INCONCLUSIVE, ())
    assert math.isnan(alone.excess)
    assert alone.label == "randomisation check inconclusive"
    assert "1 images" in alone.sentence


def test_an_interval_across_the_level_cannot_tell():
    """Every other image's map is its edges, the others' are noise that follows the weights."""
    edge = BASELINES["edges"].maps

    def maps(finder, images: torch.Tensor, seed: int) -> Maps:
        total = edge(finder, images, seed).total
        drawn = np.random.default_rng(int(finder.weights_hash[:8], 16)).standard_normal(total.shape)
        total[1::2] = drawn[1::2]
        return Maps(total.astype(np.float32))

    result = randomisation_check(small(), pictures(4), Attributor("half", "Half", maps))
    assert result.low <= result.level < result.high
    assert result.verdict == INCONCLUSIVE


def test_constant_maps_are_not_counted():
    def maps(_finder, images: torch.Tensor, _seed: int) -> Maps:
        total = images[:, 0].numpy().copy()
        total[images[:, 0, 0, 0].numpy() > 0.5] = 0
        return Maps(total)

    images = pictures(8)
    kept = int((images[:, 0, 0, 0] <= 0.5).sum())
    assert 2 < kept < 8
    assert randomisation_check(small(), images, Attributor("some", "Some", maps)).images == kept


def test_the_finder_stays_and_the_seed_decides():
    finder, images = small(), pictures(4)
    before = weights_hash(finder.module)
    finder.module.train()
    first, again, other = (randomisation_check(finder, images, "saliency", draws=2, seed=s) for s in (0, 0, 1))
    assert weights_hash(finder.module) == before
    assert all(part.training for part in finder.module.modules())
    assert first == again
    assert first.excess != other.excess


def test_layers_are_drawn_from_the_last_to_the_first():
    finder = small()
    assert layers_with_weights(finder.module) == ("body.0", "body.3", "body.6")
    drawn = set()
    for layer, random in randomised_from_the_end(finder, seed=0):
        drawn.add(layer)
        for name in layers_with_weights(finder.module):
            same = torch.equal(random.module.get_submodule(name).weight, finder.module.get_submodule(name).weight)
            assert same == (name not in drawn)
    assert drawn == {"body.0", "body.3", "body.6"}


def test_weights_are_he_normal_and_biases_shuffled():
    finder = small()
    dense, random = (one.module.get_submodule("body.6") for one in (finder, fully_randomised(finder, 0)))
    n = dense.weight.numel()
    assert float(random.weight.detach().std()) == pytest.approx((2 / dense.in_features) ** 0.5, rel=4 / (2 * n) ** 0.5)
    assert sorted(random.bias.tolist()) == sorted(dense.bias.tolist())
    one, two = (fully_randomised(finder, seed).module.get_submodule("body.0").weight for seed in (0, 1))
    assert not torch.equal(one, two)


def test_a_module_without_weights_has_nothing_to_draw():
    class Sum(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.sum(dim=(1, 2, 3))

    finder = declare_finder(Sum(), bands=("VIS",), size=SIZE)
    assert list(randomised_from_the_end(finder, 0)) == []
    result = randomisation_check(finder, pictures(4, bands=1), "input-x-gradient")
    assert result.verdict == FAILS  # its maps are the image, as nothing was learnt
    assert fully_randomised(finder, 0).module is finder.module


def test_rank_correlations_are_scipy_s():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 3, 6, 7)).round(1)  # with ties
    expected = [[spearmanr(a.ravel(), b.ravel())[0] for b in second] for a in first]
    np.testing.assert_allclose(rank_correlations(first, second), expected, rtol=0, atol=1e-12)  # float64 sums
    assert rank_correlations(np.ones((1, 6, 7)), second).tolist() == [[0, 0, 0]]


def test_excess_is_the_own_correlation_less_the_others():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 3, 6, 7))
    table = [[spearmanr(a.ravel(), b.ravel())[0] for b in second] for a in first]
    expected = [table[i][i] - np.mean([table[i][j] for j in range(3) if j != i]) for i in range(3)]
    np.testing.assert_allclose(excess_similarity(first, second), expected, rtol=0, atol=1e-12)


def test_blank_maps_of_a_random_finder_are_no_proof_of_change():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 4, 6, 7))
    second[1] = 0
    table = [[spearmanr(a.ravel(), b.ravel())[0] if b.any() else np.nan for b in second] for a in first]
    expected = [table[i][i] - np.nanmean([table[i][j] for j in range(4) if j != i]) for i in range(4)]
    np.testing.assert_allclose(excess_similarity(first, second), expected, rtol=0, atol=1e-12)
    assert np.isnan(excess_similarity(first[:2], second[:2])).all()  # one blank, and then none to compare with

    trained = small().weights_hash
    edge = BASELINES["edges"].maps

    def maps(finder, images: torch.Tensor, seed: int) -> Maps:
        total = edge(finder, images, seed).total
        if finder.weights_hash != trained and int(finder.weights_hash[0], 16) % 2:
            total[:] = 0  # every other random finder says nothing
        return Maps(total)

    result = randomisation_check(small(), pictures(5), Attributor("half", "Half", maps), draws=8)
    assert result.excess == pytest.approx(
        randomisation_check(small(), pictures(5), BASELINES["edges"], draws=1).excess, abs=1e-9
    )
    assert result.verdict == FAILS


def test_a_method_that_is_blank_on_every_random_finder_cannot_be_told():
    trained = small().weights_hash

    def maps(finder, images: torch.Tensor, _seed: int) -> Maps:
        return Maps(images[:, 0].numpy() * (finder.weights_hash == trained))

    result = randomisation_check(small(), pictures(5), Attributor("blank", "Blank", maps))
    assert (result.verdict, result.images) == (INCONCLUSIVE, 0)
    assert math.isnan(result.excess)
    assert math.isnan(result.steps[-1].excess)


def test_structural_similarity_is_scikit_image_s():
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((2, 20, 20))
    scaled = [np.minimum(abs(part) / np.percentile(abs(part), 99), 1) for part in (one, two)]
    assert structural_similarity(one, two) == pytest.approx(ssim(*scaled, data_range=1.0))
    assert structural_similarity(one, -one) == pytest.approx(1)
    assert math.isfinite(structural_similarity(np.zeros((4, 4)), np.ones((4, 4))))


def test_mistakes_are_told():
    with pytest.raises(UsageError, match="method 'magic' is not known; allowed: saliency"):
        randomisation_check(small(), pictures(3), "magic")
    with pytest.raises(UsageError, match="0 draws"):
        randomisation_check(small(), pictures(3), "saliency", draws=0)


@pytest.mark.parametrize("allowed", [0, 1, 2, 3, 5])
def test_a_forward_that_raises_half_way_leaves_no_hook_and_the_modes(allowed):
    class Breaks(Small):
        left = 100

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            Breaks.left -= 1
            if Breaks.left < 0:
                raise RuntimeError("half-way")
            return super().forward(images)

    finder = declare_finder(Breaks(2, 3), bands=("VIS", "Y"), size=SIZE)
    finder.module.train()
    Breaks.left = allowed
    with pytest.raises(DataError, match="half-way"):
        randomisation_check(finder, pictures(3), "guided-backprop")
    assert all(part.training for part in finder.module.modules())
    assert not any(part._forward_hooks or part._backward_hooks for part in finder.module.modules())


def test_json_tells_all_numbers():
    record = randomisation_check(small(), pictures(3), "saliency", draws=1).to_json()
    assert record["steps"][0].keys() >= {"layer", "excess", "correlation", "absolute", "ssim"}
    assert {"verdict", "label", "sentence", "level", "images", "draws"} <= record.keys()
    assert dataclasses.asdict(randomisation_check(small(), pictures(3), "saliency", draws=1))["method"] == "saliency"
