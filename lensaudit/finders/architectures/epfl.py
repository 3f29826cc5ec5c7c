"""The networks of Forero Sanchez et al. 2019: the EPFL ResNet, and LASTRO after Schaefer et al. 2018."""

from __future__ import annotations

from torch import nn

from lensaudit.finders.layers import PlainUnit

POOL = 8
FILTERS = (16, 32, 64, 128)
DENSE = 128
"""Width of LASTRO's hidden dense layer: its dropout is in the text, its width is not."""
DROPOUT = 0.2
"""The paper gives 0.2 for LASTRO and no rate for the ResNet."""


def epfl_resnet(bands: int, outputs: int = 1, *, size: int = 200, dropout: float = DROPOUT) -> nn.Sequential:
    """The CIFAR ResNet of He et al. (2016), nine two-convolution units: (n, bands, size, size) → (n, outputs) logits;
    29 pixels or more."""
    layers: list[nn.Module] = [nn.Conv2d(bands, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=False)]
    before, side = 16, size
    for number, channels in enumerate((16, 32, 64)):
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


def lastro(
    bands: int, outputs: int = 1, *, size: int = 200, spatial_dropout: bool = True, dropout: float = DROPOUT
) -> nn.Sequential:
    """Pairs of convolutions, doubled filter by filter: (n, bands, size, size) → (n, outputs) logits; 81 pixels or more.

    25 layers as the paper counts them, the input among them: four times convolution, convolution, pool, batch norm,
    dropout; then flatten, dense, dropout, dense. 5×5 in the first pair, 3×3 after; ReLU follows each convolution.

    Parameters
    ----------
    spatial_dropout
        Leave out whole maps (the paper's best) instead of single values; the dense layer's dropout is plain in both.
    dropout
        Probability of either.
    """
    layers: list[nn.Module] = []
    before, side = bands, size
    for number, filters in enumerate(FILTERS):
        width = 3 if number else 5
        layers += [
            nn.Conv2d(before, filters, width, padding=width // 2),
            nn.ReLU(inplace=False),
            nn.Conv2d(filters, filters, width, padding=width // 2),
            nn.ReLU(inplace=False),
            nn.MaxPool2d(3),
            nn.BatchNorm2d(filters),
            nn.Dropout2d(dropout) if spatial_dropout else nn.Dropout(dropout),
        ]
        before, side = filters, side // 3
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(before * side**2, DENSE),
        nn.ReLU(inplace=False),
        nn.Dropout(dropout),
        nn.Linear(DENSE, outputs),
    )
