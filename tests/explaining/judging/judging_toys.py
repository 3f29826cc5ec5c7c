"""Finders whose explanations are known by construction."""

from __future__ import annotations

import torch
from torch import nn

from lensaudit.finders import Finder, declare_finder

SIZE = 24


class Plane(nn.Module):
    """Log-odds = Σ weight · image + bias: the gradient is `weight`, and every contribution is exact."""

    def __init__(self, weight: torch.Tensor, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(torch.tensor([bias]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images * self.weight).sum(dim=(1, 2, 3)) + self.bias


def plane(bands: int = 2, seed: int = 1, size: int = SIZE) -> Finder:
    """A linear finder with seeded weights."""
    weight = torch.randn(bands, size, size, generator=torch.Generator().manual_seed(seed)) / size
    return declare_finder(Plane(weight), bands=("VIS", "Y", "J", "H")[:bands], size=size, name="plane")


class Small(nn.Module):
    """Two convolutions and a dense layer, "trained" weights from a seed."""

    def __init__(self, bands: int, seed: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(bands, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 9 * 9, 2),
        )  # fmt: skip
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weights in self.parameters():
                weights.copy_(torch.randn(weights.shape, generator=rng) / max(1, weights[0].numel()) ** 0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)


def small(bands: int = 2, seed: int = 3) -> Finder:
    """A small convolutional finder of 24×24 pixels."""
    return declare_finder(Small(bands, seed), bands=("VIS", "Y", "J", "H")[:bands], size=SIZE, name="small")


def pictures(n: int = 4, bands: int = 2, seed: int = 5, size: int = SIZE) -> torch.Tensor:
    """Smooth prepared images (n, bands, size, size) in [0, 1], different from one another."""
    rng = torch.Generator().manual_seed(seed)
    rough = torch.rand(n, bands, size, size, generator=rng)
    smooth = nn.functional.avg_pool2d(rough, 5, stride=1, padding=2, count_include_pad=False)
    low, high = smooth.amin(dim=(2, 3), keepdim=True), smooth.amax(dim=(2, 3), keepdim=True)
    return (smooth - low) / (high - low)


def wide() -> Finder:
    """`small` for all four Euclid bands, as a command names it: ``judging_toys:wide``."""
    return small(bands=4)


def flat() -> Finder:
    """`plane` for all four bands: it has no convolution."""
    return plane(bands=4)
