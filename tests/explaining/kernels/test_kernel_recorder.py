"""Mean feature maps taken by hooks: closed form, slow reference, and no hook left."""

import numpy as np
import pytest
import torch
from kernel_toys import Functional, Residual
from plain_kernels import plain_kernel_values
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.explaining.kernels.activations import LOOK_EVERY, recording
from lensaudit.finders import ARCHITECTURES, initialised

ROUNDING = 2e-6  # float32 sums of some hundred terms of order 1


def _taken(module, images):
    with torch.inference_mode(), recording(module) as recorder:
        module(images)
        return recorder.take(len(images))


def _hooks(module):
    return [hook for part in module.modules() for hook in (*part._forward_hooks, *part._forward_pre_hooks)]


def test_a_kernel_of_one_pixel_is_its_weight_times_the_mean():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(50, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([3.0, -2.0]).view(2, 1, 1, 1))
        module[0].bias.copy_(torch.tensor([0.5, -4.0]))
    images = torch.rand(6, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    means, highest = _taken(module, images)
    of_image = images.mean(dim=(1, 2, 3)).numpy()
    np.testing.assert_allclose(means, np.stack([3 * of_image + 0.5, -2 * of_image - 4], axis=1), rtol=0, atol=ROUNDING)
    # Before the ReLU: after it the second kernel would be 0 everywhere.
    np.testing.assert_allclose(highest[:, 1], -2 * images.amin(dim=(1, 2, 3)) - 4, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [Residual, Functional])
def test_values_are_those_of_the_slow_reference(kind, layout, make_module):
    module = make_module(kind()).float()
    images = torch.rand(5, 2, 24, 24, generator=torch.Generator().manual_seed(2))
    reference = plain_kernel_values(module, images)
    means, _ = _taken(module, images.contiguous(memory_format=layout))
    names = [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d)]
    expected = np.concatenate([reference[name] for name in names], axis=1)
    np.testing.assert_allclose(means, expected, rtol=0, atol=ROUNDING)
    assert (means < 0).any(), "values after a ReLU would pass as well"


PLAIN = [name for name in ARCHITECTURES if not name.endswith("-p4m") and name != "transfer"]
"""A group convolution has no kernels of its own; a body from timm has padding that the reference cannot trace."""
SIZES = {"deeplens": 45, "petrillo": 45}


@pytest.mark.parametrize("name", PLAIN)
def test_every_architecture_of_ours_is_that_of_the_slow_reference(name):
    size = ARCHITECTURES[name].size or SIZES.get(name, 101)
    module = initialised(name, 4, size=size, generator=torch.Generator().manual_seed(6)).eval()
    images = torch.rand(2, 4, size, size, generator=torch.Generator().manual_seed(7))
    means, _ = _taken(module, images.contiguous(memory_format=torch.channels_last))
    reference = plain_kernel_values(module, images)
    expected = np.concatenate(list(reference.values()), axis=1)
    # float32 means of up to 38 416 pixels of order 1, after up to nine layers; residual sums grow to hundreds
    np.testing.assert_allclose(means, expected, rtol=0, atol=2e-5 * max(1.0, np.abs(expected).max()))


def test_padding_is_left_out_and_only_some_passes_are_searched():
    module = nn.Sequential(nn.Conv2d(1, 3, 3))
    images = torch.rand(4, 1, 6, 6)
    with torch.inference_mode(), recording(module) as recorder:
        searched = []
        for _ in range(LOOK_EVERY + 1):
            maps = module(images)
            means, highest = recorder.take(3)
            searched.append(highest is not None)
            assert means.shape == (3, 3)
    assert np.flatnonzero(searched).tolist() == [0, LOOK_EVERY]
    np.testing.assert_array_equal(highest, maps[:3].amax(dim=(2, 3)))


def test_a_convolution_that_does_not_run_has_no_values():
    module = nn.Sequential(nn.Conv2d(1, 2, 3))
    module[0].spare = nn.Conv2d(7, 4, 1)
    means, highest = _taken(module, torch.rand(3, 1, 5, 5))
    assert np.isfinite(means[:, :2]).all()
    assert np.isnan(means[:, 2:]).all()
    assert np.isnan(highest[:, 2:]).all()
    assert means.shape == (3, 6)


def test_the_highest_pixel_of_several_uses_is_the_highest_of_all():
    module = Functional()
    maps = []
    module.second.register_forward_hook(lambda _m, _i, output: maps.append(output.clone()))
    _, highest = _taken(module, torch.rand(3, 2, 24, 24))
    expected = torch.maximum(*[use.amax(dim=(2, 3)) for use in maps])
    np.testing.assert_array_equal(highest[:, 3:], expected)


def test_another_hook_does_not_change_what_a_convolution_gave():
    module = nn.Sequential(nn.Conv2d(1, 2, 3))
    images = torch.rand(3, 1, 5, 5)
    plain, _ = _taken(module, images)
    module[0].register_forward_hook(lambda _m, _i, output: output * 100)
    np.testing.assert_array_equal(_taken(module, images)[0], plain)


def test_maps_that_are_not_one_per_image_are_refused():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.look = nn.Conv2d(1, 2, 3)

        def forward(self, images):
            return self.look(images.reshape(-1, 1, 4, 8)).flatten(1).sum(1).view(len(images), -1).sum(1)

    module = Patches()
    with pytest.raises(UsageError, match=r"convolution look gives \(6, 2, 2, 6\) for 3 images"):
        _taken(module, torch.rand(3, 1, 8, 8))
    assert not _hooks(module)


@pytest.mark.parametrize("fails", [True, False])
def test_no_hook_survives(fails):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(1, 1))
    before = _hooks(module)
    if fails:
        with pytest.raises(RuntimeError):
            _taken(module, torch.rand(3, 1, 9, 9))
    else:
        _taken(nn.Sequential(module[0]), torch.rand(3, 1, 9, 9))
    assert _hooks(module) == before == []


def test_a_module_without_convolutions_is_named():
    with pytest.raises(UsageError, match="Linear has no convolution"), recording(nn.Linear(2, 1)):
        pass
