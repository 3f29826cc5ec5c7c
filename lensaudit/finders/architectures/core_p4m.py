"""`core` with group convolutions: invariant under rotations by 90° and mirrors, at about four times its cost."""

from __future__ import annotations

from torch import nn

from lensaudit.finders.architectures.core import SIZE, middle
from lensaudit.finders.layers import GroupPool, P4MConv, P4MLift

__all__ = ["SIZE", "build"]


def build(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 200, 200) → (n, outputs) logits; 13 158 parameters with 1 band and 2 outputs."""
    return nn.Sequential(
        middle(),
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


def _block(convolution: nn.Module, *, pool: bool = False) -> list[nn.Module]:
    return [convolution, nn.ReLU(inplace=False), *([nn.MaxPool2d(2)] if pool else [])]
