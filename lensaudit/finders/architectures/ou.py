"""The networks of Wilde et al. 2022: OU-66 (Table 3), OU-200 (Table 4), and our OU-66 of group convolutions.

ReLU is never in place, so that recorded activations stay true.
"""

from __future__ import annotations

from torch import nn

from lensaudit.finders.layers import GroupPool, P4MConv, P4MLift

DROPOUT = 0.2


def ou66(bands: int, outputs: int = 2) -> nn.Sequential:
    """Nine 3×3 convolutions: (n, bands, 66, 66) → (n, outputs) logits; 203 192 parameters with 4 bands and 2 outputs.

    The table prints the pools' stride as (1, 1); the shapes it lists need stride 2, as does the published state
    dict. Convolutions sit at indices 0, 4, 7, 10, 13, 17, 20, 23, 26: "[layer 13 kernel 4]" of the paper counts so.
    """
    return nn.Sequential(
        *_block(nn.Conv2d(bands, 50, 3), pool=True),
        *_block(nn.Conv2d(50, 50, 3)),
        *_block(nn.Conv2d(50, 50, 3)),
        *_block(nn.Conv2d(50, 50, 3)),
        *_block(nn.Conv2d(50, 40, 3), pool=True),
        *_block(nn.Conv2d(40, 40, 3)),
        *_block(nn.Conv2d(40, 40, 3)),
        *_block(nn.Conv2d(40, 40, 3)),
        *_block(nn.Conv2d(40, 30, 3), pool=True),
        nn.Flatten(),
        nn.Linear(120, 500),
        nn.ReLU(inplace=False),
        nn.Linear(500, outputs),
    )


def ou200(bands: int, outputs: int = 2) -> nn.Sequential:
    """Two 5×5 and four 3×3 convolutions: (n, bands, 200, 200) → (n, outputs) logits; 331 632 parameters with 4 bands
    and 2 outputs. Convolutions sit at indices 0, 4, 8, 12, 16, 19."""
    return nn.Sequential(
        *_block(nn.Conv2d(bands, 50, 5), pool=True),
        *_block(nn.Conv2d(50, 40, 5), pool=True),
        *_block(nn.Conv2d(40, 30, 3), pool=True),
        *_block(nn.Conv2d(30, 20, 3), pool=True),
        *_block(nn.Conv2d(20, 20, 3)),
        *_block(nn.Conv2d(20, 20, 3)),
        nn.Flatten(),
        nn.Linear(720, 350),
        nn.ReLU(inplace=False),
        nn.Linear(350, outputs),
    )


def ou66_p4m(bands: int, outputs: int = 2) -> nn.Sequential:
    """The layers of OU-66's body, invariant under rotations by 90° and mirrors: (n, bands, 66, 66) → (n, outputs)
    logits; 32 500 parameters with 4 bands and 2 outputs.

    Eight kernels in eight orientations are 64 maps where OU-66 has 50, so that an image costs about as much. Where
    OU-66 flattens its last 2×2 maps, this one takes the highest orientation and the mean of the map, which no turn
    changes.
    """
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
    """Convolution, ReLU, (pool,) dropout."""
    return [convolution, nn.ReLU(inplace=False), *([nn.MaxPool2d(2)] if pool else []), nn.Dropout(DROPOUT)]
