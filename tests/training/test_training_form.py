"""The form that trains fastest is the same function, with the same gradient."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lensaudit.finders import ARCHITECTURES, initialised
from lensaudit.training.network import MaskSource, SeededDropout, training_form


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ["ou66", "tiny"])
def test_same_outputs_gradients_and_state_dict(name):
    """Without dropout, against the module as it was built; the sums are the same, so equal to float32 rounding."""
    plain = initialised(name, 2, 2, generator=generator())
    for layer in plain.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    fast = training_form(copy.deepcopy(plain), MaskSource(1)).train()
    assert list(fast.state_dict()) == list(plain.state_dict())
    size = ARCHITECTURES[name].size
    images = torch.rand((3, 2, size, size), generator=generator(2))
    outputs = [module(images) for module in (plain.train(), fast)]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-6)
    for output in outputs:
        output.square().sum().backward()
    for (key, one), other in zip(plain.named_parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=key)


def test_pools_come_before_their_relus():
    fast = training_form(initialised("ou66", 4, 2, generator=generator()), MaskSource(1))
    kinds = [type(layer) for layer in fast]
    assert not [i for i in range(len(kinds) - 1) if (kinds[i], kinds[i + 1]) == (nn.ReLU, nn.MaxPool2d)]
    assert kinds.count(SeededDropout) == 9
    assert nn.Dropout not in kinds


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_drops_its_share_and_keeps_the_mean(memory_format):
    ones = torch.ones((20, 50, 10, 10)).contiguous(memory_format=memory_format)
    masks = MaskSource(3)
    masks.start(0, 0)
    dropped = SeededDropout(0.2, masks).train()(ones)
    share = float((dropped == 0).float().mean())
    assert share == pytest.approx(0.2, abs=0.006)  # 5 σ of 100 000 draws
    assert dropped.max() == pytest.approx(1.25, abs=1e-4)  # the gain of a share rounded to 1 / 65 536
    assert float(dropped.mean()) == pytest.approx(1, abs=0.008)
    assert dropped.is_contiguous(memory_format=memory_format)
    per_channel = (dropped == 0).float().mean(dim=(0, 2, 3))
    assert float(per_channel.std()) < 0.02, "every channel alike: binomial scatter is 0.009"


def test_masks_depend_on_seed_epoch_and_step_alone():
    ones = torch.ones(1000)

    def mask(seed: int, epoch: int, step: int, before: int = 0) -> torch.Tensor:
        masks = MaskSource(seed)
        layer = SeededDropout(0.5, masks).train()
        for earlier in range(before):
            masks.start(9, earlier)
            layer(ones)
        masks.start(epoch, step)
        return layer(ones)

    assert torch.equal(mask(1, 2, 3), mask(1, 2, 3, before=4))
    for other in (mask(2, 2, 3), mask(1, 3, 3), mask(1, 2, 4)):
        assert not torch.equal(mask(1, 2, 3), other)


def test_two_layers_of_one_step_differ():
    masks = MaskSource(1)
    masks.start(0, 0)
    layer = SeededDropout(0.5, masks).train()
    assert not torch.equal(layer(torch.ones(1000)), layer(torch.ones(1000)))


def test_nothing_happens_in_evaluation_or_at_zero_and_all_is_lost_at_one():
    ones = torch.ones(100)
    assert SeededDropout(0.5, MaskSource(1)).eval()(ones) is ones
    assert SeededDropout(0.0, MaskSource(1)).train()(ones) is ones
    assert SeededDropout(1.0, MaskSource(1)).train()(ones).count_nonzero() == 0


def test_the_gradient_passes_where_values_passed():
    values = torch.ones(1000, requires_grad=True)
    dropped = SeededDropout(0.3, MaskSource(1)).train()(values)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


def test_a_strided_tensor_is_dropped_too():
    values = torch.ones((10, 20, 30)).transpose(0, 2)
    assert SeededDropout(0.5, MaskSource(1)).train()(values).shape == (30, 20, 10)
