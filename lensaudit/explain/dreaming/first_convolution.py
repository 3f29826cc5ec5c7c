"""The convolution that takes the image, with a quicker way back.

A finder's image has few bands. Convolution libraries calculate channels by sixteen, so that passing a gradient back to
four bands wastes three quarters of the work. Here the gradient's pixels are calculated by blocks of 2×2, as four times
as many channels of a convolution with stride 2, and put in their places afterwards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

MOST_BANDS = 4
"""With more the library's own way is as quick: 2×2 pixels of four bands are the sixteen channels."""


def suits(part: nn.Conv2d) -> bool:
    """Whether `FirstConvolution` can take the place of `part`."""
    return (
        part.in_channels <= MOST_BANDS
        and part.groups == 1
        and part.stride == (1, 1)
        and part.dilation == (1, 1)
        and part.padding == (0, 0)
        and part.kernel_size[0] == part.kernel_size[1] > 1
        and part.weight.device.type == "cpu"
        and not hasattr(part, "parametrizations")
    )


class FirstConvolution(nn.Conv2d):
    """The same convolution, for images of even size; others take the library's way."""

    def __init__(self, part: nn.Conv2d) -> None:
        super().__init__(part.in_channels, part.out_channels, part.kernel_size, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = part.weight, part.bias
        self.register_buffer("phased", _phased(part.weight.detach()), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """As of the convolution it was made from."""
        if images.shape[-2] % 2 or images.shape[-1] % 2:
            return super().forward(images)
        return _Convolved.apply(images, self.weight, self.bias, self.phased)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, weight: torch.Tensor, bias: Any, phased: torch.Tensor) -> torch.Tensor:
        ctx.phased = phased
        return functional.conv2d(images, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        blocks = functional.conv2d(gradients[0], ctx.phased, stride=2, padding=ctx.phased.shape[-1] - 2)
        return functional.pixel_shuffle(blocks, 2), None, None, None


def _phased(weight: torch.Tensor) -> torch.Tensor:
    """Weights (4 × bands, kernels, k + 1, k + 1) of the gradient of 2×2 pixels, from `weight` (kernels, bands, k, k).

    Pixel 2y + a of the image meets output 2y + a − i through weight i. Seen from block y that output stands at
    u = a − i + k − 1 of the k + 1 rows which the block touches.
    """
    kernels, bands, width, _ = weight.shape
    phased = weight.new_zeros(bands, 2, 2, kernels, width + 1, width + 1)
    flipped = weight.flip(2, 3).transpose(0, 1)
    for a in (0, 1):
        for b in (0, 1):
            phased[:, a, b, :, a : a + width, b : b + width] = flipped
    phased = phased.reshape(4 * bands, kernels, width + 1, width + 1)
    return phased.contiguous(memory_format=torch.channels_last)
