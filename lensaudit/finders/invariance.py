"""The eight orientations of a square image, and modules that are invariant under them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

DIHEDRAL = 8

ANGLE_SYMMETRY = 3
"""Fold of Euclid's PSF: angles 120° apart are the same pattern."""


def dihedral(images: torch.Tensor, which: int) -> torch.Tensor:
    """One of the 8 symmetries of the square on (..., h, w): `which` % 4 quarter turns, mirrored from 4 on."""
    turned = torch.rot90(images, which % 4, dims=(-2, -1))
    return turned.flip(-1) if which >= 4 else turned


def oriented(images: torch.Tensor, which: int, angles: int = 0) -> torch.Tensor:
    """`dihedral` of images (n, channels, h, w) whose last 2 × `angles` channels are planes of `angle_planes`."""
    if angles == 0:
        return dihedral(images, which)
    split = images.shape[1] - 2 * angles
    planes = [_angle_after(images[:, first : first + 2], which) for first in range(split, images.shape[1], 2)]
    return torch.cat([dihedral(images[:, :split], which), *planes], dim=1)


def angle_planes(angles_deg: torch.Tensor, size: int) -> torch.Tensor:
    """Cosine and sine of three times angles (n,) as constant planes (n, 2, size, size), float32."""
    phase = torch.deg2rad(ANGLE_SYMMETRY * angles_deg.double())
    values = torch.stack([phase.cos(), phase.sin()], dim=1).float()
    return values[:, :, None, None].expand(-1, -1, size, size)


def _angle_after(planes: torch.Tensor, which: int) -> torch.Tensor:
    """(cos 3θ, sin 3θ) of the turned image.

    Rows count up the sky, so that ``torch.rot90`` takes θ to θ − 90° and 3θ to 3θ + 90° (a whole turn away). At θ = 0
    the pattern is its own mirror image, left and right changed, so that the mirror takes θ to −θ.
    """
    cosine, sine = planes[:, :1], planes[:, 1:]
    for _ in range(which % 4):
        cosine, sine = -sine, cosine
    return torch.cat([cosine, -sine if which >= 4 else sine], dim=1)


class Symmetrised(nn.Module):
    """Mean of the logits of `body` over the eight rotations and mirrors of the image; eight times its cost.

    What the orientation of the PSF says within these eight is averaged away, in training as in scoring. Turns by
    other angles still show.

    Parameters
    ----------
    body
        Maps (n, channels, size, size) to logits.
    angles
        Number of angles among the last channels; see `lensaudit.finders.invariance.oriented`.
    """

    def __init__(self, body: nn.Module, angles: int = 0) -> None:
        super().__init__()
        self.body = body
        self.differentiable = getattr(body, "differentiable", True)
        self.angles = angles

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images (n, channels, size, size)."""
        total: torch.Tensor = self.body(images.clone())  # a foreign body may write into what it is given
        for which in range(1, DIHEDRAL):
            total = total + self.body(oriented(images, which, self.angles))
        return total / DIHEDRAL


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
