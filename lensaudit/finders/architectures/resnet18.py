"""ResNet-18 (He et al. 2016) for small cutouts, at any width."""

from __future__ import annotations

import torch
from torch import nn

SIZE = None
UNITS = 2
"""In each of the four stages; all stages but the first halve the map and double the channels."""


class BasicUnit(nn.Module):
    """Basic unit of He et al. (2016): two 3×3 convolutions, added to what came in.

    Parameters
    ----------
    before, after
        Channels that come in and go out.
    stride
        Of the first convolution, and of the 1×1 shortcut where channels or size change.
    """

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=False),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            fitted = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(fitted, nn.BatchNorm2d(after))
        self.out = nn.ReLU(inplace=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (n, before, h, w) → (n, after, ⌈h / stride⌉, ⌈w / stride⌉)."""
        summed: torch.Tensor = self.out(self.change(maps) + self.shortcut(maps))
        return summed


def build(bands: int, outputs: int = 1, *, size: int = 64, width: int = 64) -> nn.Sequential:
    """(n, bands, size, size) → (n, outputs) logits; 11 689 512 parameters at width 64 with 3 bands and 1000 outputs.

    Parameters
    ----------
    width
        Channels of the first stage, 64 in the paper; the number of layers is the same at any width.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(bands, width, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=False),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
    before = width
    for stage in range(4):
        for unit in range(UNITS):
            after = width * 2**stage
            layers.append(BasicUnit(before, after, stride=2 if stage and not unit else 1))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))
