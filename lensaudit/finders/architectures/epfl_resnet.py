"""EPFL ResNet (Forero Sanchez et al. 2019): the CIFAR ResNet of He et al. (2016) with nine two-convolution units."""

from __future__ import annotations

from torch import nn

from lensaudit.finders.layers import PlainUnit

SIZE = None
CHANNELS = (16, 32, 64)
POOL = 8
DROPOUT = 0.2
"""The paper gives 0.2 for LASTRO and no rate for this one."""


def build(bands: int, outputs: int = 1, *, size: int = 200, dropout: float = DROPOUT) -> nn.Sequential:
    """(n, bands, size, size) → (n, outputs) logits; 29 pixels or more."""
    layers: list[nn.Module] = [nn.Conv2d(bands, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=False)]
    before, side = 16, size
    for number, channels in enumerate(CHANNELS):
        stride = 2 if number else 1
        side = -(-side // stride)
        layers += [
            PlainUnit(before, channels, stride=stride),
            PlainUnit(channels, channels),
            PlainUnit(channels, channels),
        ]
        before = channels
    features = before * (side // POOL) ** 2
    return nn.Sequential(*layers, nn.AvgPool2d(POOL), nn.Dropout(dropout), nn.Flatten(), nn.Linear(features, outputs))
