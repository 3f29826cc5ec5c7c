"""A small network on the middle 66×66 of 200×200 pixels: at VIS's 0.1″ the 6.6″ around the lens, unresized.

It trains in minutes on one core and sees what resizing to 0.3″ takes away, such as the shape of the PSF. With group
convolutions it is invariant under rotations by 90° and mirrors, at about four times the cost.
"""

from __future__ import annotations

from torch import nn

from lensaudit.finders.layers import GroupPool, P4MConv, P4MLift

SIZE = 200
MIDDLE = 66


def core(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 200, 200) → (n, outputs) logits; 58 002 parameters with 1 band and 2 outputs."""
    return nn.Sequential(
        _middle(),
        *_block(nn.Conv2d(bands, 16, 3), pool=True),
        *_block(nn.Conv2d(16, 24, 3)),
        *_block(nn.Conv2d(24, 24, 3), pool=True),
        *_block(nn.Conv2d(24, 32, 3), pool=True),
        *_block(nn.Conv2d(32, 32, 3)),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(inplace=False),
        nn.Linear(64, outputs),
    )


def core_p4m(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 200, 200) → (n, outputs) logits; 13 158 parameters with 1 band and 2 outputs."""
    return nn.Sequential(
        _middle(),
        *_block(P4MLift(bands, 4, 3), pool=True),
        *_block(P4MConv(4, 6, 3)),
        *_block(P4MConv(6, 6, 3), pool=True),
        *_block(P4MConv(6, 8, 3), pool=True),
        *_block(P4MConv(8, 8, 3)),
        GroupPool(),
        nn.Linear(8, 64),
        nn.ReLU(inplace=False),
        nn.Linear(64, outputs),
    )


def _middle() -> nn.Module:
    """The layer that cuts the middle out: zero padding of a negative width."""
    return nn.ZeroPad2d(-(SIZE - MIDDLE) // 2)


def _block(convolution: nn.Module, *, pool: bool = False) -> list[nn.Module]:
    """Convolution, ReLU and pool; ReLU is not in place, so that recorded activations stay true."""
    return [convolution, nn.ReLU(inplace=False), *([nn.MaxPool2d(2)] if pool else [])]
