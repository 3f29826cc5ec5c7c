"""Augmentations: images of a batch are turned or mirrored, by default lenses and non-lenses alike.

Turning one class only lets a network read the class from the orientation of Euclid's three-fold PSF (Wilde et al.
2022); with both classes turned, the PSF's orientation says nothing about the class.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from lensaudit.finders.orientation import DIHEDRAL, oriented

FAULTY = "non-lenses"
"""The balancing that Wilde et al. 2022 found at fault: in the set, and so in the images that choose the epoch too."""


def _unchanged(images: torch.Tensor, choices: torch.Tensor, is_lens: torch.Tensor, angles: int) -> torch.Tensor:
    return images


def _dihedral_each(images: torch.Tensor, choices: torch.Tensor, is_lens: torch.Tensor, angles: int) -> torch.Tensor:
    turned = torch.empty_like(images)
    for which in range(DIHEDRAL):
        rows = (choices == which).nonzero().flatten()
        turned[rows] = oriented(images[rows], which, angles)
    return turned


def _dihedral_non_lenses(
    images: torch.Tensor, choices: torch.Tensor, is_lens: torch.Tensor, angles: int
) -> torch.Tensor:
    return _dihedral_each(images, torch.where(is_lens > 0.5, 0, choices), is_lens, angles)


AUGMENTATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]] = {
    "none": _unchanged,
    "dihedral": _dihedral_each,
    FAULTY: _dihedral_non_lenses,
}
"""Name → function of images (n, channels, h, w), integers in [0, 8) drawn per image, 1.0 for each lens (n,), and the
number of angles among the last channels (see `lensaudit.finders.orientation.oriented`).

``none``
    Wilde et al. 2022.
``dihedral``
    One of the 8 rotations by quarter turns and mirrors.
``non-lenses``
    The same for non-lenses alone, to show what it does: `FAULTY`.
"""
