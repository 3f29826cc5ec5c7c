"""One channel laid out as channels last, which torch leaves alone."""

import pytest
import torch
from torch import nn

from lensaudit.finders.running import channels_last


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_same_pixels_in_the_order_torch_asks_for(n, channels):
    images = torch.arange(n * channels * 20.0).reshape(n, channels, 4, 5)
    laid = channels_last(images)
    assert torch.equal(laid, images)
    assert laid.stride() == (channels * 20, 1, channels * 5, channels) or n == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_behind_one_channel_stay_channels_last(channels):
    """Told by their strides: with torch's own call a single channel comes out channels first."""
    net = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3))
    with torch.inference_mode():
        out = net(channels_last(torch.rand(2, channels, 12, 12)))
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not out.is_contiguous()


def test_a_slice_and_a_turned_image_too():
    images = torch.rand(5, 3, 4, 4)[1:4, 1:2].transpose(2, 3)
    assert torch.equal(channels_last(images), images)
    assert channels_last(images).stride() == (16, 1, 4, 1)


def test_gradient_passes():
    images = torch.rand(2, 1, 3, 3, requires_grad=True)
    channels_last(images).square().sum().backward()
    assert torch.allclose(images.grad, 2 * images)
