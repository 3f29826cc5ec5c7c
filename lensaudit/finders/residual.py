"""Residual units of the published finders."""

from __future__ import annotations

import torch
from torch import nn


class BottleneckUnit(nn.Module):
    """Pre-activated bottleneck unit of CMU DeepLens (Lanusse et al. 2018, Fig. 3): three times BN, ELU, convolution.

    Parameters
    ----------
    before, inner, outer
        Channels that come in, of the 3×3 convolution, and that go out.
    stride
        Of the first 1×1 convolution, and of the 1×1 shortcut that a change of stride or channels needs.
    """

    def __init__(self, before: int, inner: int, outer: int, *, stride: int = 1) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ELU(),
            nn.Conv2d(before, inner, 1, stride=stride),
            nn.BatchNorm2d(inner),
            nn.ELU(),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.BatchNorm2d(inner),
            nn.ELU(),
            nn.Conv2d(inner, outer, 1),
        )
        fits = stride == 1 and before == outer
        self.shortcut: nn.Module = nn.Identity() if fits else nn.Conv2d(before, outer, 1, stride=stride)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (n, before, h, w) → (n, outer, ⌈h / stride⌉, ⌈w / stride⌉)."""
        change: torch.Tensor = self.change(maps)
        return change + self.shortcut(maps)


class PlainUnit(nn.Module):
    """Unit of the CIFAR ResNet (He et al. 2016) as the EPFL finder stacks it: convolution, BN, ReLU, convolution, BN.

    Parameters
    ----------
    before, after
        Channels that come in and go out.
    stride
        Of the first convolution, and of the 1×1 shortcut where channels change.
    """

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=False),
            nn.Conv2d(after, after, 3, padding=1),
            nn.BatchNorm2d(after),
        )
        fits = stride == 1 and before == after
        self.shortcut: nn.Module = nn.Identity() if fits else nn.Conv2d(before, after, 1, stride=stride)
        self.out = nn.ReLU(inplace=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (n, before, h, w) → (n, after, ⌈h / stride⌉, ⌈w / stride⌉)."""
        summed: torch.Tensor = self.out(self.change(maps) + self.shortcut(maps))
        return summed
