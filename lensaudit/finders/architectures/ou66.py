"""OU-66 of Wilde et al. 2022 (Table 3): nine 3×3 convolutions on 66×66 pixels."""

from __future__ import annotations

from torch import nn

SIZE = 66
DROPOUT = 0.2


def build(bands: int, outputs: int = 2) -> nn.Sequential:
    """OU-66 body: (n, bands, 66, 66) → (n, outputs) logits; 203 192 parameters with 4 bands and 2 outputs.

    The table prints the pools' stride as (1, 1); the shapes it lists need stride 2, as does the published state
    dict. Convolutions sit at indices 0, 4, 7, 10, 13, 17, 20, 23, 26: "[layer 13 kernel 4]" of the paper counts so.
    """
    return nn.Sequential(
        *_block(bands, 50, pool=True),
        *_block(50, 50),
        *_block(50, 50),
        *_block(50, 50),
        *_block(50, 40, pool=True),
        *_block(40, 40),
        *_block(40, 40),
        *_block(40, 40),
        *_block(40, 30, pool=True),
        nn.Flatten(),
        nn.Linear(120, 500),
        nn.ReLU(inplace=False),
        nn.Linear(500, outputs),
    )


def _block(inputs: int, kernels: int, *, pool: bool = False) -> list[nn.Module]:
    """Convolution, ReLU, (pool,) dropout; ReLU is not in place, so that recorded activations stay true."""
    return [
        nn.Conv2d(inputs, kernels, 3),
        nn.ReLU(inplace=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.Dropout(DROPOUT),
    ]
