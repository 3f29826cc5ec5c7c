"""ReLU6, as mobile networks have it, is hooked like any ReLU."""

from __future__ import annotations

import warnings

import torch
from captum.attr import GuidedBackprop
from torch import nn

from lensaudit.explaining.attribution.hookable import hookable
from lensaudit.finders import declare_finder


class Weighted(nn.Module):
    """Σ w2 · relu6(w1 · x) over the pixels of one band."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        super().__init__()
        self.first, self.second, self.act = nn.Parameter(first), nn.Parameter(second), nn.ReLU6(inplace=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (self.second * self.act(self.first * images)).sum(dim=(1, 2, 3))


def test_guided_back_propagation_through_relu6_is_the_closed_form():
    draws = torch.Generator().manual_seed(2)
    first, second = (4 * torch.randn(4, 4, generator=draws) for _ in range(2))
    finder = declare_finder(Weighted(first, second), ("VIS",), 4)
    copy = hookable(finder)
    images = 2 * torch.rand(3, 1, 4, 4, generator=draws)
    assert (copy.watch.relus, copy.watch.hooked_relus) == (1, 1)
    assert torch.equal(copy.module(images), finder.logit(images))
    open_ = (first * images > 0) & (first * images < 6)
    assert 0 < open_.sum() < ((first * images) > 0).sum(), "some pixels are cut at 6"
    with warnings.catch_warnings():  # captum announces its hooks
        warnings.simplefilter("ignore", UserWarning)
        guided = GuidedBackprop(copy.module).attribute(images.requires_grad_())
    torch.testing.assert_close(guided, open_ * first * second.clamp(min=0))
    plain = torch.autograd.grad(copy.module(images).sum(), images)[0]
    torch.testing.assert_close(plain, open_ * first * second)
