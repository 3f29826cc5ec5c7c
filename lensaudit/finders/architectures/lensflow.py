"""LensFlow (Pourrahmani et al. 2018) as Akhazhanov (2018), Table 3-1, gives it."""

from __future__ import annotations

from torch import nn

SIZE = 100


def build(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 100, 100) → (n, outputs) logits; 8 754 532 parameters with one band, most in the first dense layer."""
    return nn.Sequential(
        *_block(bands, 30),
        *_block(30, 60),
        *_block(60, 90),
        nn.Flatten(),
        nn.Linear(90 * 9 * 9, 1000),
        nn.ReLU(inplace=False),
        nn.Linear(1000, 800),
        nn.ReLU(inplace=False),
        nn.Linear(800, 600),
        nn.ReLU(inplace=False),
        nn.Linear(600, outputs),
    )


def _block(inputs: int, kernels: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, kernels, 5), nn.Tanh(), nn.MaxPool2d(2)]
