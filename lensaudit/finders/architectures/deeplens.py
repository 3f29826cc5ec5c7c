"""CMU DeepLens (Lanusse et al. 2018), and the network of Petrillo et al. (2017) that its paper sets beside it."""

from __future__ import annotations

from torch import nn

from lensaudit.finders.layers import BottleneckUnit

SIZE = None
DROPOUT = 0.5
"""Of Petrillo et al."""
STAGES = ((32, 16), (64, 32), (128, 64), (256, 128), (512, 256))
"""(outer, inner) channels of the five stages of three units; all but the first halve the map."""


def deeplens(bands: int, outputs: int = 1, *, size: int = 45) -> nn.Sequential:
    """ResNet-46: (n, bands, size, size) → (n, outputs) logits; any size from 17 up, 3 334 625 parameters with one band.

    A pre-activated bottleneck ResNet with ELU throughout. 46 layers: the first convolution, 15 units of three, and
    none counted for the shortcuts or the dense layer.
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


def petrillo(bands: int, outputs: int = 1, *, size: int = 45) -> nn.Sequential:
    """(n, bands, size, size) → (n, outputs) logits: five convolutions and two dense layers; 29 pixels or more.

    Neither paper's text at hand gives its channels: these are ours, for the seven layers that Lanusse et al. count.
    """
    side = size
    layers: list[nn.Module] = []
    before = bands
    for kernels, width, pooled in ((16, 7, True), (32, 5, True), (64, 3, False), (64, 3, False), (64, 3, True)):
        layers += [nn.Conv2d(before, kernels, width, padding=width // 2), nn.ReLU(inplace=False)]
        if pooled:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        before = kernels
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(before * side**2, 256),
        nn.ReLU(inplace=False),
        nn.Dropout(DROPOUT),
        nn.Linear(256, outputs),
    )
