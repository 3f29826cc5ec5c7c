"""The convolutional network of Petrillo et al. (2017), which Lanusse et al. (2018) set beside CMU DeepLens.

Neither paper's text at hand gives its channels: these are ours, for the seven layers that Lanusse et al. count.
"""

from __future__ import annotations

from torch import nn

SIZE = None
DROPOUT = 0.5


def build(bands: int, outputs: int = 1, *, size: int = 45) -> nn.Sequential:
    """(n, bands, size, size) → (n, outputs) logits: five convolutions and two dense layers; 29 pixels or more."""
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
