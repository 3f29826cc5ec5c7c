"""Augmentations: each image of a batch is turned or mirrored, lenses and non-lenses alike.

Turning one class only lets a network read the class from the orientation of Euclid's three-fold PSF (Wilde et al.
2022); with both classes turned, the PSF's orientation says nothing about the class.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

DIHEDRAL = 8


def dihedral(images: torch.Tensor, which: int) -> torch.Tensor:
    """One of the 8 symmetries of the square on (..., h, w): `which` % 4 quarter turns, mirrored from 4 on."""
    turned = torch.rot90(images, which % 4, dims=(-2, -1))
    return turned.flip(-1) if which >= 4 else turned


def _unchanged(images: torch.Tensor, choices: torch.Tensor) -> torch.Tensor:
    return images


def _dihedral_each(images: torch.Tensor, choices: torch.Tensor) -> torch.Tensor:
    turned = torch.empty_like(images)
    for which in range(DIHEDRAL):
        rows = (choices == which).nonzero().flatten()
        turned[rows] = dihedral(images[rows], which)
    return turned


AUGMENTATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "none": _unchanged,
    "dihedral": _dihedral_each,
}
"""Name → function of images (n, bands, h, w) and integers in [0, 8) drawn per image.

``none``
    Wilde et al. 2022.
``dihedral``
    One of the 8 rotations by quarter turns and mirrors.
"""
