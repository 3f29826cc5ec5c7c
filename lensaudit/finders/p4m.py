"""Group convolutions for the eight orientations of the square, p4m of Cohen & Welling 2016.

A feature of the group has a map per orientation; (n, kernels × 8, h, w) with the orientation running fastest, so that
ReLU, dropout and pooling of torch act on it as on any other. Turning the image turns every map and permutes the eight
of each kernel. Strides and pools keep that exactly where they cover the map: pool maps of even size only.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

from lensaudit.finders.orientation import DIHEDRAL, dihedral


@lru_cache(maxsize=1)
def quotients() -> tuple[tuple[int, ...], ...]:
    """``quotients()[g][h]``: which of the eight orientations g⁻¹h is, found by trying them on a figure."""
    figure = torch.arange(9).reshape(3, 3)
    seen = {tuple(dihedral(figure, which).flatten().tolist()): which for which in range(DIHEDRAL)}
    product = [
        [seen[tuple(dihedral(dihedral(figure, h), g).flatten().tolist())] for h in range(DIHEDRAL)]
        for g in range(DIHEDRAL)
    ]
    return tuple(tuple(product[g].index(h) for h in range(DIHEDRAL)) for g in range(DIHEDRAL))


class P4MLift(nn.Module):
    """Convolution of an image with the eight orientations of each kernel, no padding.

    (n, channels, h, w) → (n, kernels × 8, h − width + 1, w − width + 1).
    """

    def __init__(self, channels: int, kernels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(kernels, channels, width, width))
        self.bias = nn.Parameter(torch.empty(kernels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Feature maps of images (n, channels, h, w)."""
        bank = torch.stack([dihedral(self.weight, which) for which in range(DIHEDRAL)], dim=1)
        return functional.conv2d(images, bank.flatten(0, 1), self.bias.repeat_interleave(DIHEDRAL))


class P4MConv(nn.Module):
    """Convolution over place and orientation, no padding: (n, inputs × 8, h, w) → (n, kernels × 8, …).

    The map at orientation g sums over h the maps of the input at h, convolved with the kernel of g⁻¹h turned by g.
    """

    def __init__(self, inputs: int, kernels: int, width: int) -> None:
        super().__init__()
        # Inputs and orientations in one axis, as in the features: torch keeps four axes only with channels last.
        self.weight = nn.Parameter(torch.empty(kernels, inputs * DIHEDRAL, width, width))
        self.bias = nn.Parameter(torch.empty(kernels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Feature maps of features (n, inputs × 8, h, w)."""
        weight = self.weight.unflatten(1, (-1, DIHEDRAL))
        bank = torch.stack(
            [dihedral(weight[:, :, row], which) for which, row in enumerate(map(list, quotients()))], dim=1
        )
        return functional.conv2d(features, bank.flatten(2, 3).flatten(0, 1), self.bias.repeat_interleave(DIHEDRAL))


class GroupPool(nn.Module):
    """Highest of the eight orientations, then the mean over the map: (n, kernels × 8, h, w) → (n, kernels).

    What comes out does not change when the image is turned or mirrored.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Invariants (n, kernels)."""
        return features.unflatten(1, (-1, DIHEDRAL)).amax(dim=2).mean(dim=(-2, -1))
