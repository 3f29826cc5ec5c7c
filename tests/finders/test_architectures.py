"""The contract every registered architecture keeps, and the statistics of Wilde et al. 2022."""

import pytest
import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.architectures import ARCHITECTURES, architecture, initialised, unfilled
from lensaudit.finders.layers import P4MConv, P4MLift

SIZES = {
    "deeplens": 45, "petrillo": 45, "epfl-resnet": 101, "lastro": 101, "cae-bgm": 101, "resnet18": 64, "transfer": 32,
}  # fmt: skip
"""Where an architecture takes any size."""


def size_of(name):
    return ARCHITECTURES[name].size or SIZES[name]


PUBLISHED = {
    ("ou66", 4): (203_192, [0, 4, 7, 10, 13, 17, 20, 23, 26]),
    ("ou66", 3): (202_742, [0, 4, 7, 10, 13, 17, 20, 23, 26]),
    ("ou200", 4): (331_632, [0, 4, 8, 12, 16, 19]),
}


def seeded(name, bands=4, seed=3):
    return initialised(name, bands, size=size_of(name), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "bands"), PUBLISHED)
def test_parameter_count_and_layer_indices_are_those_of_the_paper(name, bands):
    module = unfilled(name, bands)
    parameters, indices = PUBLISHED[name, bands]
    assert sum(p.numel() for p in module.parameters()) == parameters
    assert [i for i, layer in enumerate(module) if isinstance(layer, nn.Conv2d)] == indices


@pytest.mark.parametrize(("width", "parameters"), [(64, 11_689_512), (16, 831_096)])
def test_resnet_18_has_the_parameters_of_torchvision_s(width, parameters):
    """Three bands and 1000 classes; at a quarter of the width counted by hand, layer by layer."""
    module = architecture("resnet18").build(3, 1000, width=width)
    assert sum(p.numel() for p in module.parameters()) == parameters
    kernels = [layer.kernel_size[0] for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    assert (kernels.count(7), kernels.count(3), kernels.count(1)) == (1, 16, 3)
    with torch.inference_mode():
        maps = module.eval()[:-3](torch.zeros(1, 3, 64, 64))
    assert maps.shape == (1, 8 * width, 2, 2)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("bands", [1, 4])
def test_forward_has_the_declared_shape_and_is_finite(name, bands):
    size = size_of(name)
    images = torch.rand(2, bands, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        outputs = seeded(name, bands).eval()(images)
    assert outputs.shape == (2, 2)
    assert torch.isfinite(outputs).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_initial_weights_are_he_normal_with_zero_biases(name):
    for layer in seeded(name).modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert torch.equal(layer.weight, torch.ones_like(layer.weight)), "batch norms begin as the identity"
            assert torch.equal(layer.running_var, torch.ones_like(layer.weight))
            assert not layer.bias.any()
            assert not layer.running_mean.any()
        if isinstance(layer, nn.Conv2d | nn.Linear | P4MLift | P4MConv):
            assert layer.bias is None or not layer.bias.any()
            fan_in = layer.weight[0].numel()
            n = layer.weight.numel()
            # five standard errors of a sample standard deviation of n normal draws
            expected = (2 / fan_in) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=5 / (2 * n) ** 0.5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_initialisation_depends_on_the_generator_alone(name):
    before = torch.get_rng_state()
    first, again, other = seeded(name), seeded(name), seeded(name, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_is_done_in_place_and_no_module_serves_twice(name):
    module = seeded(name).eval()
    assert not any(getattr(layer, "inplace", False) for layer in module.modules())
    called = []
    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda layer, *_: called.append(layer))
    with torch.inference_mode():
        module(torch.zeros(1, 4, size_of(name), size_of(name)))
    assert len({id(layer) for layer in called}) == len(called) > 0


def test_unknown_architecture_lists_what_is_allowed():
    with pytest.raises(UsageError, match="'ou99' is not known; allowed: ou66, ou200"):
        architecture("ou99")
