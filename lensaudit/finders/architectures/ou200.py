"""OU-200 of Wilde et al. 2022 (Table 4): two 5×5 and four 3×3 convolutions on 200×200 pixels."""

from __future__ import annotations

from torch import nn

SIZE = 200
DROPOUT = 0.2


def build(bands: int, outputs: int = 2) -> nn.Sequential:
    """OU-200 body: (n, bands, 200, 200) → (n, outputs) logits; 331 632 parameters with 4 bands and 2 outputs.

    Convolutions sit at indices 0, 4, 8, 12, 16, 19.
    """
    return nn.Sequential(
        *_block(bands, 50, 5, pool=True),
        *_block(50, 40, 5, pool=True),
        *_block(40, 30, 3, pool=True),
        *_block(30, 20, 3, pool=True),
        *_block(20, 20, 3),
        *_block(20, 20, 3),
        nn.Flatten(),
        nn.Linear(720, 350),
        nn.ReLU(inplace=False),
        nn.Linear(350, outputs),
    )


def _block(inputs: int, kernels: int, width: int, *, pool: bool = False) -> list[nn.Module]:
    """Convolution, ReLU, (pool,) dropout; ReLU is not in place, so that recorded activations stay true."""
    return [
        nn.Conv2d(inputs, kernels, width),
        nn.ReLU(inplace=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.Dropout(DROPOUT),
    ]
