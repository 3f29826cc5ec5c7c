"""CMU DeepLens (Lanusse et al. 2018): a pre-activated bottleneck ResNet of 46 layers with ELU throughout."""

from __future__ import annotations

from torch import nn

from lensaudit.finders.layers import BottleneckUnit

SIZE = None
STAGES = ((32, 16), (64, 32), (128, 64), (256, 128), (512, 256))
"""(outer, inner) channels of the five stages of three units; all but the first halve the map."""


def build(bands: int, outputs: int = 1, *, size: int = 45) -> nn.Sequential:
    """ResNet-46: (n, bands, size, size) → (n, outputs) logits; any size from 17 up, 3 334 625 parameters with one band.

    46 layers: the first convolution, 15 units of three, and none counted for the shortcuts or the dense layer.
    """
    layers: list[nn.Module] = [nn.Conv2d(bands, 32, 7, padding=3), nn.ELU(), nn.BatchNorm2d(32)]
    before = 32
    for number, (outer, inner) in enumerate(STAGES):
        layers += [
            BottleneckUnit(before, inner, outer, stride=2 if number else 1),
            BottleneckUnit(outer, inner, outer),
            BottleneckUnit(outer, inner, outer),
        ]
        before = outer
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs))
