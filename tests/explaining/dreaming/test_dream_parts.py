"""The exact shortcuts: means without feature maps, the first convolution's way back, a module rearranged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dream_nets import Branching, Functional, Residual, Writing, plain, seeded
from torch import nn
from torch.nn import functional

from lensaudit.errors import DataError
from lensaudit.explaining.dreaming.dream import dream, frozen, rearranged
from lensaudit.explaining.dreaming.objective import FirstConvolution, KernelObjective, gradients, mean_output, suits
from lensaudit.explaining.dreaming.settings import ClassTarget, DreamSettings, KernelTarget, layer_targets, noise_start

GEOMETRIES = {
    "plain": {"kernel_size": 3},
    "oblong": {"kernel_size": (2, 5), "bias": False},
    "strided": {"kernel_size": 3, "stride": (2, 3)},
    "padded": {"kernel_size": 5, "padding": (2, 1), "stride": 2},
    "dilated": {"kernel_size": 3, "dilation": (2, 3), "padding": 4},
    "same": {"kernel_size": 4, "padding": "same"},
    "reflect": {"kernel_size": 3, "padding": 2, "padding_mode": "reflect"},
    "replicate": {"kernel_size": 3, "padding": 2, "padding_mode": "replicate", "stride": 2},
    "circular": {"kernel_size": 3, "padding": (1, 2), "padding_mode": "circular"},
    "grouped": {"kernel_size": 3, "groups": 3, "padding": 1},
    "depthwise": {"kernel_size": 3, "groups": 12},
    "one pixel": {"kernel_size": 1},
    "whole image": {"kernel_size": (9, 11)},
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["channels first", "last"])
def test_means_without_the_feature_map_equal_its_mean(name, layout):
    generator = torch.Generator().manual_seed(3)
    part = seeded(nn.Conv2d(12, 24, **GEOMETRIES[name])).double()
    inputs = torch.randn(4, 12, 9, 11, generator=generator, dtype=torch.float64).contiguous(memory_format=layout)
    inputs.requires_grad_()
    maps = part(inputs).mean(dim=(2, 3))
    torch.testing.assert_close(mean_output(part, inputs), maps, rtol=0, atol=1e-13)  # float64 rounding
    kernels = torch.tensor([0, 23, 7, 12])
    chosen = mean_output(part, inputs, kernels)
    torch.testing.assert_close(chosen, maps[range(4), kernels], rtol=0, atol=1e-13)
    slow = torch.autograd.grad(maps[range(4), kernels].sum(), inputs)[0]
    torch.testing.assert_close(torch.autograd.grad(chosen.sum(), inputs)[0], slow, rtol=0, atol=1e-13)


def test_few_channels_take_another_way_to_the_same_means():
    part = seeded(nn.Conv2d(3, 5, 3, padding=1)).double()
    inputs = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(mean_output(part, inputs), part(inputs).mean(dim=(2, 3)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("size", [(12, 16), (13, 12)], ids=["even", "odd"])
def test_the_first_convolution_passes_the_same_gradient_back(width, bands, size):
    part = seeded(nn.Conv2d(bands, 7, width)).double().requires_grad_(False)
    quick = FirstConvolution(part)
    images = torch.rand(2, bands, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images.requires_grad_()
    slow, other = part(images), quick(images)
    assert torch.equal(slow, other)
    towards = torch.randn(slow.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ways = [torch.autograd.grad((out * towards).sum(), images)[0] for out in (slow, other)]
    torch.testing.assert_close(*ways, rtol=0, atol=1e-12)  # float64 sums of up to 175 terms


@pytest.mark.parametrize(
    "part",
    [
        nn.Conv2d(5, 7, 3),
        nn.Conv2d(4, 7, 3, padding=1),
        nn.Conv2d(4, 7, 3, stride=2),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv2d(4, 8, (3, 2)),
        nn.Conv2d(4, 8, 1),
        nn.Conv2d(4, 8, 3, dilation=2),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 8, 3)),
    ],
    ids=["bands", "padding", "stride", "groups", "oblong", "pixel", "dilation", "parametrised"],
)
def test_other_first_convolutions_stay_as_they_are(part):
    assert not suits(part)


def _calls(module: nn.Module) -> list[str]:
    return [type(module.get_submodule(n.target)).__name__ for n in module.graph.nodes if n.op == "call_module"]


def test_relu_moves_behind_the_pooling_and_the_first_convolution_is_replaced(make_finder):
    finder = make_finder(seeded(plain()))
    before = finder.module.state_dict()
    quick = rearranged(frozen(finder), noise_start(finder, 0))
    assert _calls(quick.module)[:4] == ["FirstConvolution", "MaxPool2d", "ReLU", "Dropout"]
    images = torch.rand(3, 4, 12, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(quick.logit(images), finder.logit(images).detach(), rtol=1e-5, atol=1e-6)
    assert finder.module.state_dict().keys() == before.keys()
    assert type(finder.module[0]) is nn.Conv2d


def test_what_sees_the_order_keeps_it(make_finder):
    module = seeded(plain())
    module[1].register_forward_hook(lambda _part, _inputs, output: output * 2)
    finder = make_finder(module)
    image = noise_start(finder, 0)
    quick = rearranged(frozen(finder), image)
    assert _calls(quick.module)[:3] == ["FirstConvolution", "ReLU", "MaxPool2d"]
    assert float(quick.logit(image[None])) == pytest.approx(float(finder.logit(image[None]).detach()), abs=1e-6)


class Pooled(nn.Module):
    """A ReLU that two take, and a pooling that gives its indices too."""

    def __init__(self, indices: bool) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2, return_indices=indices)
        self.dense, self.indices = nn.Linear(6, 2), indices

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.relu(self.conv(images))
        if self.indices:
            return self.dense(self.pool(maps)[0].mean(dim=(2, 3)))
        return self.dense(self.pool(maps).mean(dim=(2, 3)) + maps.mean(dim=(2, 3)))


@pytest.mark.parametrize("indices", [True, False])
def test_a_relu_stays_where_another_needs_it(make_finder, indices):
    finder = make_finder(seeded(Pooled(indices)))
    quick = rearranged(frozen(finder), noise_start(finder, 0))
    assert _calls(quick.module)[:3] == ["FirstConvolution", "ReLU", "MaxPool2d"]


class Moody(nn.Module):
    """Traced it is another network than it is when it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense, self.runs = nn.Conv2d(4, 6, 3), nn.Linear(6, 2), 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        traced = not isinstance(images, torch.Tensor)
        maps = self.conv(images)
        return self.dense((torch.relu(maps) if traced else torch.tanh(maps)).mean(dim=(2, 3)))


def test_a_module_that_is_another_when_traced_is_run_as_it_is(make_finder):
    finder = make_finder(seeded(Moody()))
    copied = frozen(finder)
    assert rearranged(copied, noise_start(finder, 0)) is copied


@pytest.mark.parametrize("builder", [Branching, Functional, Residual, plain], ids=lambda b: b.__name__)
def test_every_network_keeps_its_score(make_finder, builder):
    outputs = {"Branching": 3, "Functional": 1}.get(builder.__name__, 2)
    finder = make_finder(seeded(builder()), outputs)
    image = noise_start(finder, 0)
    quick = rearranged(frozen(finder), image)
    assert quick.module is not finder.module
    assert float(quick.logit(image[None].clone()).detach()) == pytest.approx(
        float(finder.logit(image[None].clone()).detach()), abs=1e-5
    )


class Own(nn.Conv2d):
    """A convolution with a forward of its own: weights standardised, as some networks have them."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return functional.conv2d(images, weight, self.bias)


def test_a_convolution_with_a_forward_of_its_own_is_run(make_finder):
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), Own(6, 5, 3), nn.Flatten(), nn.Linear(320, 2))
    finder = make_finder(seeded(module))
    targets = layer_targets(module, "2")
    image = noise_start(finder, 0)
    objective = KernelObjective(frozen(finder), targets, image)
    assert objective.runs_layer
    reading, _ = gradients(objective, image.expand(5, -1, -1, -1), 2)
    maps = module[:3](image[None]).detach()[0].mean(dim=(1, 2))
    torch.testing.assert_close(reading.values, maps, rtol=1e-5, atol=1e-6)
    assert not KernelObjective(frozen(finder), [KernelTarget("0", 0)], image).runs_layer


class Folding(nn.Module):
    """Each band passes the same convolution as an image of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 3, 3), nn.Linear(12, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images.reshape(-1, 1, 12, 12)).mean(dim=(2, 3))
        return self.dense(maps.reshape(len(images), 12))


def test_a_layer_that_sees_several_images_for_each_is_told(make_finder):
    finder = make_finder(seeded(Folding()))
    with pytest.raises(DataError, match=r"layer conv works on .* for 1 images"):
        dream(finder, [KernelTarget("conv", 0)], noise_start(finder, 0), DreamSettings(1, 0.1))


class BranchingWriter(Writing):
    """Writes into what the gradient needs, where no tracing helps."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images + float(images.sum() > 1e9))


def test_a_module_that_spoils_its_own_gradient_is_told_what_to_write(make_finder):
    finder = make_finder(seeded(BranchingWriter(True)))
    with pytest.raises(DataError, match=r"write x = x \+ y for x \+= y in its forward"):
        dream(finder, [ClassTarget(True)], noise_start(finder, 0), DreamSettings(1, 0.1))


def test_noise_is_the_same_in_all_bands_and_scaled_up_as_the_paper_does(make_finder):
    from skimage.transform import resize

    small = make_finder(nn.Linear(1, 1), size=66)
    noise = noise_start(small, 5).numpy()
    assert noise.shape == (4, 66, 66)
    assert all(np.array_equal(band, noise[0]) for band in noise)
    drawn = torch.rand((66, 66), generator=torch.Generator().manual_seed(5)).numpy()
    np.testing.assert_array_equal(noise[0], drawn)
    assert 0 <= drawn.min() < 0.01 < 0.99 < drawn.max() < 1
    large = noise_start(make_finder(nn.Linear(1, 1), size=200), 5).numpy()
    np.testing.assert_allclose(large[2], resize(drawn, (200, 200)), rtol=0, atol=1e-6)
    tiny = noise_start(make_finder(nn.Linear(1, 1), size=12, bands=("VIS",)), 5)
    assert tiny.shape == (1, 12, 12)
