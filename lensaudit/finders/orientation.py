"""The eight orientations of a square image, and what the PSF's angle becomes under them.

An angle goes along as two constant planes, the cosine and the sine of three times it: a three-fold pattern repeats
every 120°. Turning or mirroring an image turns the pattern in it, so the planes have to follow.
"""

from __future__ import annotations

import torch

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
