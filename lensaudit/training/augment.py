"""Augmentations: images of a batch are turned, mirrored or warped, by default lenses and non-lenses alike.

Turning one class only lets a network read the class from the orientation of Euclid's three-fold PSF (Wilde et al.
2022); with both classes turned, the PSF's orientation says nothing about the class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lensaudit.errors import DataError
from lensaudit.finders.layers import DIHEDRAL, oriented

_MARGIN = 3  # pixels that the cubic kernel and the rounding reach beyond a wrapped edge


class Warp(NamedTuple):
    """One warp per image.

    Attributes
    ----------
    turn_rad
        Rotation (n,), counter-clockwise as the image is shown with its first row on top.
    zoom
        Size of the content afterwards over before (n,).
    shear_rad
        Angle by which the vertical axis leans (n,).
    """

    turn_rad: torch.Tensor
    zoom: torch.Tensor
    shear_rad: torch.Tensor


def warped(images: torch.Tensor, warp: Warp) -> torch.Tensor:
    """Warp square images (n, channels, size, size); beyond the edges the image is repeated, as Lanusse et al. 2018 do.

    Interpolation is torch's cubic convolution (Keys 1981, a = −0.75), which runs on any device, where the paper has a
    spline; on structure 2 pixels wide the two differ by up to 7 % of the image's own spread.
    """
    size = images.shape[-1]
    rows = _sampled(warp).to(images)
    reach = size // 2 + _MARGIN  # a corner turned by 45° and shrunk by 0.9 needs 0.28 of the size, shear a little more
    padded = functional.pad(images, (reach, reach, reach, reach), mode="circular")
    wide = padded.shape[-1]
    grid = functional.affine_grid(rows, [len(images), 1, size, size], align_corners=False) * (size / wide)
    return functional.grid_sample(padded, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _sampled(warp: Warp) -> torch.Tensor:
    """Matrix (n, 2, 3) from a place in the new image to the place in the old one that is shown there."""
    cos, sin = torch.cos(warp.turn_rad), torch.sin(warp.turn_rad)
    lean = torch.tan(warp.shear_rad)
    zero = torch.zeros_like(cos)
    first = torch.stack([cos, lean * cos - sin, zero], dim=-1)
    second = torch.stack([sin, lean * sin + cos, zero], dim=-1)
    return torch.stack([first, second], dim=1) / warp.zoom[:, None, None]


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
`lensaudit.finders.layers.oriented`).

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


def class_weights(labels: NDArray[np.integer], scheme: str) -> tuple[float, float]:
    """Weights (non-lens, lens): n / (2 n_class), so that their mean over the set is 1; or (1, 1) for ``none``.

    Parameters
    ----------
    labels
        0 and 1 (n,).
    scheme
        ``inverse-frequency`` or ``none``.

    Raises
    ------
    DataError
        A class has no examples.
    """
    counts = [int(np.sum(labels == value)) for value in (0, 1)]
    for name, count in zip(("non-lenses", "lenses"), counts, strict=True):
        if count == 0:
            raise DataError(f"the training set has no {name} among its {len(labels)} images; both classes are needed")
    if scheme == "none":
        return 1.0, 1.0
    total = sum(counts)
    return total / (2 * counts[0]), total / (2 * counts[1])


def weighted_losses(logit: torch.Tensor, is_lens: torch.Tensor, weights: tuple[float, float]) -> torch.Tensor:
    """Weighted cross-entropy of each image (n,), from the log-odds of "lens".

    With two outputs, −log softmax is the softplus of ∓(z_lens − z_other), which is this form; with one output it is
    the binary cross-entropy. The mean over images, not over weights, makes an epoch's loss independent of its batches.

    Parameters
    ----------
    logit
        Log-odds (n,).
    is_lens
        0.0 or 1.0 (n,).
    weights
        For non-lenses and lenses.
    """
    plain = functional.binary_cross_entropy_with_logits(logit, is_lens, reduction="none")
    return plain * torch.where(is_lens > 0.5, weights[1], weights[0])


_WARM_UP = 0.3  # fraction of the steps in which one-cycle rises; Smith & Topin 2018 use a third to a half
_START = 1 / 25  # one-cycle begins at this part of the peak rate
_END = 1e-4  # and ends at this one


def _constant(done: float) -> float:
    return 1.0


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _one_cycle(done: float) -> float:
    if done < _WARM_UP:
        return _between(_START, 1.0, done / _WARM_UP)
    return _between(1.0, _END, (done - _WARM_UP) / (1 - _WARM_UP))


def _between(first: float, last: float, done: float) -> float:
    return last + (first - last) * _cosine(done)


def _steps(done: float) -> float:
    return 10.0 ** -min(int(3 * done), 2)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "steps": _steps,
    "plateau": _constant,
}
"""Name → factor on the learning rate, from the fraction of all steps done, in [0, 1).

``constant``
    Wilde et al. 2022.
``cosine``
    Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, without restarts).
``one-cycle``
    Rises from 1/25 to 1 in the first 30 %, then falls to 1e-4, both along cosines (Smith & Topin 2018).
``steps``
    Divided by 10 after each third: every 40 of the 120 epochs of Lanusse et al. 2018.
``plateau``
    Divided by 10 at each of two plateaus of the validation loss (Forero Sanchez et al. 2019): see `plateaus`.
"""

PLATEAU = "plateau"
DROPS = 2
USUAL_PATIENCE = 5
"""Epochs that make a plateau where a recipe with ``schedule: plateau`` gives no `patience`; the paper gives none."""


def plateaus(losses: Sequence[float], patience: int) -> int:
    """How many plateaus the validation losses of the epochs so far show: runs of `patience` epochs without a new low.

    A function of the history alone, so that a resumed training goes on alike.
    """
    lowest, waited, found = math.inf, 0, 0
    for loss in losses:
        if loss < lowest:
            lowest, waited = loss, 0
            continue
        waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found


def patience_of(schedule: str, patience: int | None) -> int | None:
    """Epochs that make a plateau; None: there are none."""
    return USUAL_PATIENCE if schedule == PLATEAU and patience is None else patience


def has_ended(schedule: str, patience: int | None, losses: Sequence[float]) -> bool:
    """Whether early stopping ends the training after these epochs: one plateau, or one more than the rate's drops."""
    wait = patience_of(schedule, patience)
    return wait is not None and plateaus(losses, wait) > (DROPS if schedule == PLATEAU else 0)


def learning_rate(schedule: str, peak: float, step: int, steps: int) -> float:
    """Rate of optimisation step `step` (from 0) out of `steps`."""
    return peak * SCHEDULES[schedule](step / max(steps, 1))
