"""LASTRO (Forero Sanchez et al. 2019, after Schaefer et al. 2018): pairs of convolutions, doubled filter by filter."""

from __future__ import annotations

from torch import nn

SIZE = None
FILTERS = (16, 32, 64, 128)
DENSE = 128
"""Width of the hidden dense layer: its dropout is in the text, its width is not."""
DROPOUT = 0.2


def build(
    bands: int, outputs: int = 1, *, size: int = 200, spatial_dropout: bool = True, dropout: float = DROPOUT
) -> nn.Sequential:
    """(n, bands, size, size) → (n, outputs) logits; 81 pixels or more.

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
