"""The input of the last linear layer: what the answer is made of, of any module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.finders import score_set
from lensaudit.realism_gate.describing import described
from lensaudit.realism_gate.last_layer import MOST_FEATURES, LastLayer, last_layer
from tests.realism_gate.toys import BANDS, SIDE, toy_finder, toy_module


def silent(done: int, total: int) -> None:
    """Tell nobody."""


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_weights_on_what_is_kept_give_the_score(sets, outputs):
    finder = toy_finder(toy_module(outputs))
    layer = last_layer(finder)
    assert isinstance(layer, LastLayer)
    assert (layer.name, layer.features) == ("5", 12)
    seen = described(finder, sets[0], layer, 16, silent)
    linear = finder.module[5]
    answers = torch.from_numpy(seen.layer) @ linear.weight.detach().T + linear.bias.detach()
    logit = answers[:, 0] if outputs == 1 else answers[:, finder.recipe.lens_index]
    if outputs > 1:
        others = [k for k in range(outputs) if k != finder.recipe.lens_index]
        logit = logit - answers[:, others].logsumexp(dim=1)
    assert logit.numpy() == pytest.approx(score_set(finder, sets[0]).logit, abs=1e-4)  # float32 sums
    assert hooks(finder.module) == 0


def test_no_hook_survives_a_failure(sets):
    finder = toy_finder()
    layer = last_layer(finder)

    def fail(done: int, total: int) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        described(finder, sets[0], layer, 16, fail)
    assert hooks(finder.module) == 0


class Convolutional(nn.Module):
    """No linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(len(BANDS), 1, SIDE)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images).flatten()


def test_without_a_linear_layer_it_says_so():
    assert "no linear layer" in str(last_layer(toy_finder(Convolutional())))


class Odd(nn.Module):
    """Layers defined out of order, one that never runs, the last called by name, on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 1)
        self.body = nn.Linear(SIDE, 5)
        self.unused = nn.Linear(3, 3)
        nn.init.constant_(self.head.bias, 3.0)  # never within [0, 1], which would be taken for probabilities

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.body(images.mean(dim=1)).tanh()
        return self.head(input=tokens).mean(dim=1)


def test_the_last_that_runs_counts_and_tokens_are_averaged(sets):
    finder = toy_finder(Odd())
    layer = last_layer(finder)
    assert isinstance(layer, LastLayer)
    assert (layer.name, layer.features) == ("head", 5)
    seen = described(finder, sets[0], layer, 16, silent)
    head = finder.module.head
    logit = seen.layer @ head.weight.detach().numpy()[0] + head.bias.detach().numpy()
    assert logit == pytest.approx(score_set(finder, sets[0]).logit, abs=1e-5)  # float32 sums


def test_orientations_are_averaged(sets):
    finder = toy_finder().symmetrised()
    layer = last_layer(finder)
    assert isinstance(layer, LastLayer)
    seen = described(finder, sets[0], layer, 16, silent)
    linear = finder.module.body[5]
    logit = seen.layer @ linear.weight.detach().numpy()[0] + linear.bias.detach().numpy()
    assert logit == pytest.approx(score_set(finder, sets[0]).logit, abs=1e-4)  # the layer is linear


def test_a_wide_layer_is_projected_and_keeps_distances(sets):
    wide = nn.Sequential(nn.Flatten(), nn.Linear(len(BANDS) * SIDE * SIDE, 1))
    finder = toy_finder(wide)
    layer = last_layer(finder)
    assert isinstance(layer, LastLayer)
    assert (layer.features, layer.wide) == (MOST_FEATURES, len(BANDS) * SIDE * SIDE)
    seen = described(finder, sets[0], layer, 16, silent)
    prepared = finder.preprocess(sets[0].cutouts(slice(0, 10))).flatten(1).numpy()
    for i in range(1, 10):
        there, here = np.linalg.norm(prepared[0] - prepared[i]), np.linalg.norm(seen.layer[0] - seen.layer[i])
        assert here == pytest.approx(there, rel=0.15)  # 1/√(2 · 512) = 3 %, five of them
