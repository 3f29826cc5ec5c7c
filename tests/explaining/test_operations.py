"""Every layer the exact engine knows, against one plain forward pass per position, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from lensaudit.explaining.occluding.recognise import IDENTITY_MODULES, POINTWISE_MODULES

HEAD = 3  # kernel of a second convolution, so that windows go on growing after the layer under test


def around(*layers: nn.Module, channels: int = 4, size: int = 15) -> nn.Sequential:
    """Bands → layers under test → convolution → weighted sum; `layers` take two bands and give `channels`."""
    body = nn.Sequential(*layers, nn.Conv2d(channels, 3, HEAD, padding=1), nn.Tanh(), nn.Flatten())
    outputs = body.double()(torch.zeros(1, 2, size, size, dtype=torch.float64)).shape[1]
    return nn.Sequential(*body, nn.Linear(outputs, 1))


CONVOLUTIONS = {
    "plain": nn.Conv2d(2, 4, 3),
    "padded": nn.Conv2d(2, 4, 5, padding=3),
    "same": nn.Conv2d(2, 4, 4, padding="same"),
    "same, even and dilated": nn.Conv2d(2, 4, (2, 4), padding="same", dilation=(3, 1)),
    "valid": nn.Conv2d(2, 4, 3, padding="valid"),
    "1×1": nn.Conv2d(2, 4, 1),
    "1×1, stride 2": nn.Conv2d(2, 4, 1, stride=2),
    "stride 2": nn.Conv2d(2, 4, 3, stride=2, padding=1),
    "stride above kernel": nn.Conv2d(2, 4, 2, stride=3),
    "dilated": nn.Conv2d(2, 4, 3, dilation=3, padding=2),
    "dilated, stride 2": nn.Conv2d(2, 4, 3, dilation=2, stride=2, padding=3),
    "grouped": nn.Conv2d(2, 4, 3, groups=2),
    "oblong": nn.Conv2d(2, 4, (1, 5), stride=(1, 2), padding=(0, 1)),
    "without bias": nn.Conv2d(2, 4, 3, bias=False),
    "larger than the map": nn.Conv2d(2, 4, 17, padding=7),
    "reflecting": nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"),
    "circular": nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's remark on its own copy
@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (4, 3)])
def test_convolutions(kind, patch, stride, assert_exact, make_module, make_picture):
    outcome = assert_exact(make_module(around(CONVOLUTIONS[kind])), make_picture(15), patch, stride)
    expected = "fallback" if kind in ("reflecting", "circular") else "window"
    if kind != "larger than the map":
        assert outcome.layers[0].mode == expected


POOLS = {
    "max": nn.MaxPool2d(2),
    "max, overlapping": nn.MaxPool2d(3, stride=2),
    "max, padded": nn.MaxPool2d(3, stride=2, padding=1),
    "max, ceil": nn.MaxPool2d(2, ceil_mode=True),
    "max, ceil and padded": nn.MaxPool2d(3, stride=3, padding=1, ceil_mode=True),
    "max, dilated": nn.MaxPool2d(2, stride=1, dilation=3),
    "max, gaps": nn.MaxPool2d(2, stride=4),
    "average": nn.AvgPool2d(2),
    "average, padded": nn.AvgPool2d(3, stride=2, padding=1),
    "average, padding not counted": nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    "average, ceil": nn.AvgPool2d(2, ceil_mode=True),
    "average, ceil, padding not counted": nn.AvgPool2d(4, stride=3, padding=2, ceil_mode=True, count_include_pad=False),
    "average, own divisor": nn.AvgPool2d(3, stride=1, divisor_override=5),
    "oblong": nn.AvgPool2d((1, 3), stride=(2, 1)),
}


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("size", [15, 16])
def test_pools_at_odd_and_even_sizes(kind, size, assert_exact, make_module, make_picture):
    module = make_module(around(nn.Conv2d(2, 4, 3), nn.Tanh(), POOLS[kind], size=size))
    outcome = assert_exact(module, make_picture(size), 2, 2)
    assert outcome.layers[2].mode == "window"


@pytest.mark.parametrize("kind", sorted(POINTWISE_MODULES, key=lambda kind: kind.__name__))
def test_every_registered_activation(kind, assert_exact, make_module, make_picture):
    layer = kind(0.2, 0.1) if kind is nn.Threshold else kind()
    if kind is nn.Hardshrink or kind is nn.Softshrink:
        layer = kind(0.05)
    outcome = assert_exact(make_module(around(nn.Conv2d(2, 4, 3), layer)), make_picture(15), 2, 2)
    assert outcome.layers[1].mode == "window"


@pytest.mark.parametrize("kind", sorted(IDENTITY_MODULES, key=lambda kind: kind.__name__))
def test_dropout_is_off_even_if_the_module_came_in_training(kind, assert_exact, make_module, make_picture):
    module = make_module(around(nn.Conv2d(2, 4, 3), kind())).eval()
    outcome = assert_exact(module, make_picture(15), 3, 3)
    assert outcome.layers[1].mode == "window"


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_uses_running_statistics(affine, assert_exact, make_module, make_picture):
    layers = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=affine), nn.ELU()
    outcome = assert_exact(make_module(around(*layers)), make_picture(15), 2, 2)
    assert {layer.mode for layer in outcome.layers[:3]} == {"window"}


def test_batch_norm_without_statistics_is_run_image_by_image(assert_exact, make_module, make_picture):
    layers = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU()
    outcome = assert_exact(make_module(around(*layers, size=9)), make_picture(9), 3, 3)
    assert outcome.layers[1].mode == "fallback"


@pytest.mark.parametrize("pad", [nn.ZeroPad2d((1, 2, 3, 0)), nn.ConstantPad2d(2, 1.5), nn.ZeroPad2d((-2, 1, -1, -3))])
def test_padding_and_cropping(pad, assert_exact, make_module, make_picture):
    outcome = assert_exact(make_module(around(pad, channels=2)), make_picture(15), 2, 2)
    assert outcome.layers[0].mode == "window"


class Written(nn.Module):
    """A forward pass given as a function of (module, images); two convolutions at hand."""

    def __init__(self, body, size: int = 13):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.gate = nn.BatchNorm2d(4), nn.Linear(4, 4)
        self.rows, self.narrow = nn.Linear(4, 8), nn.Linear(8, 4, bias=False)
        self.depthwise, self.layer_norm = nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.LayerNorm(4, eps=1e-6)
        self.gamma = nn.Parameter(torch.zeros(4))
        self.register_buffer("level", torch.zeros(1, 4, 1, 1))
        self.register_buffer("sky", torch.zeros(1, 4, size, size))
        self._body = body
        self.head = nn.LazyLinear(1)
        self.double().eval()(torch.zeros(1, 2, size, size, dtype=torch.float64))

    def forward(self, images):
        return self.head(self._body(self, images).flatten(1))


def residual(m, x):
    y = m.first(x)
    return functional.elu(m.norm(m.second(functional.relu(y))) + y)


def dense(m, x):
    y = m.first(x)
    return torch.cat([x, y, m.second(y)], dim=1)


def gated(m, x):
    y = m.first(x)
    return y * torch.sigmoid(m.gate(y.mean((2, 3))))[:, :, None, None]


def convnext(m, x):
    """A block of Liu et al. 2022 as they wrote it: dense layers on channels that are last, gamma in front."""
    y = m.first(x)
    z = m.layer_norm(m.depthwise(y).permute(0, 2, 3, 1))
    z = m.gamma * m.narrow(functional.gelu(m.rows(z)))
    return y + z.permute(0, 3, 1, 2)


BODIES = {
    "residual": (residual, None),
    "ConvNeXt": (convnext, None),
    "channels last": (lambda m, x: m.rows(m.layer_norm(m.first(x).permute(0, 2, 3, 1) * m.gamma)).mean((1, 2)), None),
    "channels last, functions": (lambda m, x: _last(m, x), None),
    "rows and columns exchanged": (lambda m, x: m.first(x).permute(0, 1, 3, 2), "permute"),
    "normalised over rows": (lambda m, x: functional.layer_norm(m.first(x), (13,)), "layer_norm"),
    "factor along the width": (lambda m, x: m.rows(m.first(x)[..., :4] * m.gamma), "getitem"),
    "residual in place": (lambda m, x: _residual_in_place(m, x), None),
    "difference of branches": (lambda m, x: m.first(x) - m.second(m.first(x)), None),
    "dense block": (dense, None),
    "scaled and shifted": (lambda m, x: (m.first(x) * 2 - m.level) / (m.level + 3), None),
    "sky added": (lambda m, x: torch.tanh(m.first(x) + m.sky), None),
    "functional": (lambda m, x: _functional(m, x), None),
    "methods": (lambda m, x: m.first(x).relu().mul(3.0).add(1).clamp(0, 2).contiguous(), None),
    "mean over the map": (lambda m, x: m.second(m.first(x)).mean((2, 3)), None),
    "mean, negative axes, kept": (lambda m, x: torch.mean(m.first(x), dim=(-1, -2), keepdim=True), None),
    "asks for its shape": (lambda m, x: m.first(x).relu().view(x.size(0), -1), None),
    "number minus map": (lambda m, x: 1 - m.first(x), "sub"),
    "gate": (gated, "mul"),
    "softmax over the map": (lambda m, x: m.first(x).flatten(2).softmax(-1), "flatten"),
    "up-sampled": (lambda m, x: functional.interpolate(m.first(x), scale_factor=2.0), "interpolate"),
    "mirrored": (lambda m, x: torch.flip(m.first(x), (3,)), "flip"),
    "product of branches": (lambda m, x: m.first(x) * m.second(m.first(x)), "mul"),
    "normalised over the map": (lambda m, x: functional.group_norm(m.first(x), 2), "group_norm"),
}


def _residual_in_place(m, x):
    y = m.first(x)
    z = functional.relu(m.second(y), inplace=True)
    z += y
    return z.relu_()


def _functional(m, x):
    y = functional.conv2d(x, m.first.weight, m.first.bias, stride=2, padding=1)
    y = functional.max_pool2d(functional.leaky_relu(y, 0.1), 3, 1, padding=1)
    y = functional.dropout(functional.pad(y, (1, 0, 2, 1)), 0.3, m.training)
    y = functional.avg_pool2d(y, 2, stride=1, count_include_pad=False)
    return functional.adaptive_avg_pool2d(y, 1)


def _last(m, x):
    """What else may stand where channels are last."""
    z = torch.permute(m.first(x), (0, 2, 3, 1))
    y = functional.linear(functional.layer_norm(z, (4,)) * 2 / (m.gamma + 3) + m.gamma, m.rows.weight, m.rows.bias)
    y = m.narrow(functional.dropout(y.tanh().contiguous(), 0.2, m.training))
    return torch.mean(y - z.relu(), dim=(-3, -2), keepdim=True)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (4, 4)])
def test_written_forward_passes(kind, patch, stride, assert_exact, make_module, make_picture):
    body, falls_back_at = BODIES[kind]
    outcome = assert_exact(make_module(Written(body)), make_picture(13), patch, stride)
    fallbacks = [layer.label for layer in outcome.layers if layer.mode == "fallback"]
    assert fallbacks == ([falls_back_at] if falls_back_at else [])
    assert outcome.layers[0].mode == "window" or patch > 1
