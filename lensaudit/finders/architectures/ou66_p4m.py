"""OU-66 with group convolutions: the layers of its body, invariant under rotations by 90° and mirrors.

Eight kernels in eight orientations are 64 maps where OU-66 has 50, so that an image costs about as much. Where OU-66
flattens its last 2×2 maps, this one takes the highest orientation and the mean of the map, which no turn changes.
"""

from __future__ import annotations

from torch import nn

from lensaudit.finders.layers import GroupPool, P4MConv, P4MLift

SIZE = 66
DROPOUT = 0.2


def build(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 66, 66) → (n, outputs) logits; 32 500 parameters with 4 bands and 2 outputs."""
    return nn.Sequential(
        *_block(P4MLift(bands, 8, 3), pool=True),
        *_block(P4MConv(8, 8, 3)),
        *_block(P4MConv(8, 8, 3)),
        *_block(P4MConv(8, 8, 3)),
        *_block(P4MConv(8, 6, 3), pool=True),
        *_block(P4MConv(6, 6, 3)),
        *_block(P4MConv(6, 6, 3)),
        *_block(P4MConv(6, 6, 3)),
        *_block(P4MConv(6, 6, 3), pool=True),
        GroupPool(),
        nn.Linear(6, 500),
        nn.ReLU(inplace=False),
        nn.Linear(500, outputs),
    )


def _block(convolution: nn.Module, *, pool: bool = False) -> list[nn.Module]:
    """Convolution, ReLU, (pool,) dropout; ReLU is not in place, so that recorded activations stay true."""
    return [convolution, nn.ReLU(inplace=False), *([nn.MaxPool2d(2)] if pool else []), nn.Dropout(DROPOUT)]
