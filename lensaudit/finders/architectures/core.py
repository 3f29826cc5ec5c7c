"""A small network on the middle 66×66 of 200×200 pixels: at VIS's 0.1″ the 6.6″ around the lens, unresized.

It trains in minutes on one core and sees what resizing to 0.3″ takes away, such as the shape of the PSF.
"""

from __future__ import annotations

from torch import nn

SIZE = 200
MIDDLE = 66


def build(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 200, 200) → (n, outputs) logits; 58 002 parameters with 1 band and 2 outputs."""
    return nn.Sequential(
        middle(),
        *_block(bands, 16, pool=True),
        *_block(16, 24),
        *_block(24, 24, pool=True),
        *_block(24, 32, pool=True),
        *_block(32, 32),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(inplace=False),
        nn.Linear(64, outputs),
    )


def middle() -> nn.Module:
    """The layer that cuts the middle out: zero padding of a negative width."""
    return nn.ZeroPad2d(-(SIZE - MIDDLE) // 2)


def _block(inputs: int, kernels: int, *, pool: bool = False) -> list[nn.Module]:
    """Convolution, ReLU and pool; ReLU is not in place, so that recorded activations stay true."""
    return [nn.Conv2d(inputs, kernels, 3), nn.ReLU(inplace=False), *([nn.MaxPool2d(2)] if pool else [])]
