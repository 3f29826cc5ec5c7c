"""The exact engine as a whole: closed forms, random nets, memory, and what it leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from occlusion_nets import filled, picture, run_engine
from plain_occlusion import plain_logits
from torch import nn

from lensaudit.explaining.occluding import exact
from lensaudit.explaining.occluding.exact import ExactEngine
from lensaudit.explaining.occluding.windows import Grid
from lensaudit.explaining.trace import evaluating


def test_a_sum_loses_exactly_what_is_hidden(make_picture):
    """z = Σ w x: hiding a patch changes z by −Σ w x over the patch."""
    image = make_picture(12)
    weight = torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    dense = nn.Linear(288, 1, bias=False).double()
    with torch.no_grad():
        dense.weight.copy_(weight.reshape(1, -1))
    outcome = run_engine(nn.Sequential(nn.Flatten(), dense), image, 3, 3)
    hidden = (weight * image[0]).sum(0).reshape(4, 3, 4, 3).sum((1, 3))
    np.testing.assert_allclose(outcome.logits - outcome.base_logit, -hidden.numpy(), rtol=0, atol=1e-12)  # float64


def test_a_box_filter_and_a_maximum_by_hand():
    """One bright pixel: the maximum of 3×3 sums falls from 9 to 0 where it is hidden, and nowhere else."""
    image = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    image[0, 0, 4, 4] = 9
    box = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    with torch.no_grad():
        box.weight.fill_(1)
    outcome = run_engine(nn.Sequential(box, nn.MaxPool2d(9), nn.Flatten()), image, 1, 1)
    expected = np.full((9, 9), 9.0)
    expected[4, 4] = 0
    np.testing.assert_array_equal(outcome.logits, expected)


class Unit(nn.Module):
    """Pre-activated residual unit of Lanusse et al. 2018, with a strided shortcut."""

    def __init__(self, inner: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.BatchNorm2d(4), nn.ELU(inplace=True), nn.Conv2d(4, inner, 1, stride=stride)),
            *(nn.BatchNorm2d(inner), nn.ELU(), nn.Conv2d(inner, inner, 3, padding=1)),
            *(nn.BatchNorm2d(inner), nn.ELU(), nn.Conv2d(inner, 4, 1)),
        )
        self.shortcut = nn.Conv2d(4, 4, 1, stride=stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x.clone()) + self.shortcut(x)


def test_a_pre_activated_resnet_stays_incremental(assert_exact, make_module, make_picture):
    units = Unit(3), Unit(3, stride=2), Unit(3), Unit(3, stride=2)
    resnet = nn.Sequential(
        nn.Conv2d(2, 4, 7, padding=3), *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    )
    outcome = assert_exact(make_module(resnet), make_picture(33), 3, 3)
    assert not any(layer.mode in ("fallback", "after fallback") for layer in outcome.layers)
    assert sum(layer.mode == "window" for layer in outcome.layers) > 25


class Joint(nn.Module):
    """A part with two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + skip


class Deep(nn.Module):
    """Parts within parts, twelve deep, each of which is looked into."""

    def __init__(self, depth: int = 12) -> None:
        super().__init__()
        self.joint = Joint()
        self.inner = Deep(depth - 1) if depth else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.joint(x, x).tanh())


def test_parts_with_several_inputs_and_deep_nesting_are_looked_into(assert_exact, make_module, make_picture):
    net = nn.Sequential(nn.Conv2d(2, 4, 1), Deep(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    outcome = assert_exact(make_module(net), make_picture(31), 5, 5)
    assert {layer.mode for layer in outcome.layers} == {"window", "whole"}
    assert outcome.layers[10].mode == "window"


class Attention(nn.Module):
    """Every pixel looks at every other; its own code branches on shapes, so it cannot be traced."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.keys = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        if height != width:
            raise ValueError("square maps only")
        flat, keys = x.flatten(2), self.keys(x).flatten(2)
        weight = (keys.transpose(1, 2) @ keys).softmax(-1)
        return (flat @ weight).reshape(batch, channels, height, width)


def test_a_layer_across_the_map_falls_back_and_says_so(assert_exact, make_module, make_picture):
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), Attention(4), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.LazyLinear(1))
    net.double()(make_picture(9))
    outcome = assert_exact(make_module(net), make_picture(9), 2, 2)
    assert [layer.mode for layer in outcome.layers][:4] == ["window", "window", "fallback", "after fallback"]
    assert str(outcome.layers[2]) == "2 Attention: fallback"
    assert str(outcome.layers[0]) == "0 Conv2d: window, 4×4 of 7×7"


class Untraceable(nn.Module):
    """Branches on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if float(y.detach().sum()) > 1e9:
            y = -y
        return y.flatten(1).tanh().sum(1, keepdim=True)


def test_a_module_that_cannot_be_traced_is_one_fallback(assert_exact, make_module, make_picture):
    outcome = assert_exact(make_module(Untraceable()), make_picture(9), 2, 2)
    assert [str(layer) for layer in outcome.layers] == ["Untraceable: fallback"]


def test_a_subclass_with_its_own_forward_is_not_taken_for_its_parent(assert_exact, make_module, make_picture):
    class Centred(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x - x.mean((2, 3), keepdim=True))

    net = nn.Sequential(Centred(2, 3, 3), nn.Flatten(), nn.LazyLinear(1))
    net.double()(make_picture(9))
    assert_exact(make_module(net), make_picture(9), 2, 2)


def test_a_hooked_layer_is_run_with_its_hook(assert_exact, make_module, make_picture):
    conv = nn.Conv2d(2, 3, 3)
    net = nn.Sequential(conv, nn.Flatten(), nn.LazyLinear(1))
    net.double()(make_picture(9))
    make_module(net)
    handle = conv.register_forward_hook(lambda _m, _i, output: output - output.amax((2, 3), keepdim=True))
    assert_exact(net, make_picture(9), 2, 2)
    assert list(conv._forward_hooks) == [handle.id]


LAYERS = st.sampled_from(["conv", "conv", "conv", "max", "average", "norm", "elu", "relu", "skip"])


@st.composite
def nets(draw: st.DrawFn) -> tuple[list[tuple], int, int, int]:
    """Layers with their numbers, image size, patch, stride."""
    size = draw(st.integers(7, 17))
    layers = []
    for kind in draw(st.lists(LAYERS, min_size=1, max_size=6)):
        kernel, stride = draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 2, 3]))
        layers.append(
            (kind, kernel, stride, draw(st.integers(0, kernel // 2)), draw(st.integers(1, 2)), draw(st.booleans()))
        )
    patch = draw(st.integers(1, min(5, size)))
    return layers, size, patch, draw(st.integers(1, patch))


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x)


def built(layers: list[tuple], image: torch.Tensor) -> nn.Sequential:
    """A net of those of `layers` that fit on what comes before."""
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1)).double()
    for kind, kernel, stride, padding, dilation, ceil in layers:
        layer = {
            "conv": lambda: nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups=2 if ceil else 1),  # noqa: B023
            "max": lambda: nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil),  # noqa: B023
            "average": lambda: nn.AvgPool2d(kernel, stride, padding, ceil, count_include_pad=dilation == 1),  # noqa: B023
            "norm": lambda: nn.BatchNorm2d(4),
            "elu": lambda: nn.ELU(),
            "relu": lambda: nn.ReLU(inplace=True),
            "skip": Skip,
        }[kind]()
        longer = nn.Sequential(*net, layer).double().eval()
        try:
            longer(image)
        except RuntimeError:
            continue  # the map is too small for this layer
        net = longer
    features = net.eval()(image).numel()
    return nn.Sequential(*net, nn.Flatten(), nn.Linear(features, 1))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(nets())
def test_random_nets_against_the_slow_reference(drawn):
    layers, size, patch, stride = drawn
    image = picture(size)
    with torch.no_grad():
        module = filled(built(layers, image))
    outcome = run_engine(module, image, patch, stride)
    logits, base = plain_logits(module, image, patch, stride)
    scale = 1 + np.abs(logits).max()
    np.testing.assert_allclose(outcome.logits, logits, rtol=0, atol=1e-10 * scale)  # float64, as in conftest
    assert outcome.base_logit == pytest.approx(base, abs=1e-10 * scale)


def small_net(make_module) -> nn.Module:
    return make_module(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 1)))


@pytest.mark.parametrize("batch", [1, 5, 7, 40, 1000])
def test_the_block_size_does_not_matter(batch, assert_exact, make_module, make_picture):
    assert_exact(small_net(make_module), make_picture(12), 2, 2, batch=batch)


def test_little_memory_makes_small_blocks(monkeypatch, assert_exact, make_module, make_picture):
    monkeypatch.setattr(exact, "WORKING_BYTES", 20_000)
    seen = []
    net, image = small_net(make_module), make_picture(12)
    with evaluating(net):
        ExactEngine(net, lambda z: z[:, 0], Grid(12, 1, 1)).run(image, lambda done, total: seen.append((done, total)))
    assert len(seen) > 8
    assert seen[-1] == (144, 144)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert_exact(net, image, 1, 1)


def test_one_engine_serves_many_images(make_module, make_picture):
    net = small_net(make_module)
    first, second = make_picture(12), make_picture(12).flip(3)
    with evaluating(net):
        engine = ExactEngine(net, lambda z: z[:, 0], Grid(12, 3, 3))
        engine.run(first)
        again = engine.run(second).logits
    np.testing.assert_array_equal(again, run_engine(net, second, 3, 3).logits)


def test_the_global_generator_and_the_image_are_left_alone(make_module, make_picture):
    net, image = small_net(make_module), make_picture(12)
    before, pixels = torch.get_rng_state(), image.clone()
    run_engine(net, image, 2, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(image, pixels)


class Failing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 0:
            raise RuntimeError("this layer always fails")
        return x


@pytest.mark.parametrize("fails", [False, True])
def test_modes_hooks_and_gradients_are_as_before_whatever_happens(fails, make_module, make_picture):
    inner = nn.Sequential(Untraceable(), *([Failing()] if fails else []))
    net = make_module(nn.Sequential(nn.Identity(), inner))
    net.train()
    inner[0].conv.eval()
    modes = [part.training for part in net.modules()]
    if fails:
        with pytest.raises(RuntimeError, match="always fails"):
            run_engine(net, make_picture(9), 3, 3)
    else:
        run_engine(net, make_picture(9), 3, 3)
    assert [part.training for part in net.modules()] == modes
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in net.parameters())
    assert torch.is_grad_enabled()


def test_the_bound_counts_touched_outputs_by_hand(make_module, make_picture):
    """One 3×3 convolution of 2 to 4 bands on 12×12 pixels, 2×2 patches: 4×4 outputs touched, clipped at the edges."""
    net = make_module(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(400, 1)))
    cost = run_engine(net, make_picture(12), 2, 2).cost
    touched = 2 + 4 * 4 + 2  # cells of one axis over its six positions
    assert cost.positions == 36
    assert cost.full == 36 * (100 * 72 + 400)
    assert cost.least == touched**2 * 72 + 36 * 400
    assert cost.bound == pytest.approx(cost.full / cost.least)
