"""Augmentations: images of a batch are turned, mirrored or warped, by default lenses and non-lenses alike.

Turning one class only lets a network read the class from the orientation of Euclid's three-fold PSF (Wilde et al.
2022); with both classes turned, the PSF's orientation says nothing about the class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from lensaudit.finders.orientation import DIHEDRAL, oriented
from lensaudit.training.warp import Warp, warped

FAULTY = "non-lenses"
"""The balancing that Wilde et al. 2022 found at fault: in the set, and so in the images that choose the epoch too."""

FLIPS = (0, 2, 4, 6)
"""Of the eight orientations, those without a quarter turn: both mirrors, and a half turn, which is the two of them."""

UNIFORMS = 6
"""Numbers drawn per image beside its orientation."""


class Draws(NamedTuple):
    """What chance decided about the images of a batch.

    Attributes
    ----------
    orientation
        Integers in [0, 8) (n,).
    uniform
        Numbers in [0, 1) (n, `UNIFORMS`).
    is_lens
        1.0 for each lens (n,).
    """

    orientation: torch.Tensor
    uniform: torch.Tensor
    is_lens: torch.Tensor


Augmentation = Callable[[torch.Tensor, Draws, int], torch.Tensor]


def _unchanged(images: torch.Tensor, draws: Draws, angles: int) -> torch.Tensor:
    return images


def _turned(images: torch.Tensor, orientation: torch.Tensor, angles: int) -> torch.Tensor:
    turned = torch.empty_like(images)
    for which in range(DIHEDRAL):
        rows = (orientation == which).nonzero().flatten()
        turned[rows] = oriented(images[rows], which, angles)
    return turned


def _dihedral_each(images: torch.Tensor, draws: Draws, angles: int) -> torch.Tensor:
    return _turned(images, draws.orientation, angles)


def _flips(images: torch.Tensor, draws: Draws, angles: int) -> torch.Tensor:
    return _turned(images, torch.tensor(FLIPS, device=images.device)[draws.orientation // 2], angles)


def _dihedral_non_lenses(images: torch.Tensor, draws: Draws, angles: int) -> torch.Tensor:
    return _turned(images, torch.where(draws.is_lens > 0.5, 0, draws.orientation), angles)


@dataclass(frozen=True)
class _Warped:
    """Rotation within ± `turn_deg`, zoom in `zoom`, shear within ± `shear_deg`, then mirrors."""

    turn_deg: float
    zoom: tuple[float, float]
    shear_deg: float = 0.0

    def __call__(self, images: torch.Tensor, draws: Draws, angles: int) -> torch.Tensor:
        flipped = _flips(images, draws, angles)
        drawn = draws.uniform
        return warped(
            flipped,
            Warp(
                turn_rad=math.radians(self.turn_deg) * (2 * drawn[:, 0] - 1),
                zoom=self.zoom[0] + (self.zoom[1] - self.zoom[0]) * drawn[:, 1],
                shear_rad=math.radians(self.shear_deg) * (2 * drawn[:, 2] - 1),
            ),
        )


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": _unchanged,
    "flips": _flips,
    "dihedral": _dihedral_each,
    "deeplens": _Warped(90.0, (0.9, 1.0)),
    "transfer": _Warped(45.0, (0.9, 1.0), 15.0),
    FAULTY: _dihedral_non_lenses,
}
"""Name → function of images (n, channels, h, w), `Draws`, and the number of angles among the last channels (see
`lensaudit.finders.orientation.oriented`).

``none``
    Wilde et al. 2022.
``flips``
    Both mirrors (Forero Sanchez et al. 2019).
``dihedral``
    One of the 8 rotations by quarter turns and mirrors.
``deeplens``
    Rotation in ±90° and zoom in [0.9, 1] with wrapping, and both mirrors (Lanusse et al. 2018).
``transfer``
    Rotation in ±45°, zoom in [0.9, 1], shear in ±15° with wrapping, and both mirrors (Akhazhanov 2018).
``non-lenses``
    The eight, for non-lenses alone, to show what it does: `FAULTY`.
"""

TURNS_AN_ANGLE = frozenset({"deeplens", "transfer"})
"""Augmentations by any angle: an angle given as an extra input does not follow them."""
