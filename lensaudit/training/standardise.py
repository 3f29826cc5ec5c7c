"""Training on standardised inputs, for a finder that eats plain ones.

Images scaled to [0, 1] by their own extremes are mostly near zero: at He-normal weights the first convolution sees
little but a constant, and the loss may stay at its start for many epochs. Subtracting each band's mean and dividing by
its deviation mends that; afterwards the same is done by the first convolution's weights, so the declaration stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.p4m import P4MLift
from lensaudit.training.prepared import PreparedSet, decoded
from lensaudit.training.split import Rows

INPUTS = ("as-is", "standardised")
"""What ``--inputs`` may say; ``as-is`` is Wilde et al. 2022."""

_IMAGES = 1000
_PIECE = 50


@dataclass(frozen=True)
class Standard:
    """Mean and standard deviation of the pixels of each channel, float32 (channels,); 0 and 1 for an angle's planes."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Standardise images (n, bands, h, w) on their device."""
        mean, deviation = (part.to(images.device)[:, None, None] for part in (self.mean, self.deviation))
        return (images - mean) / deviation

    def fold(self, module: nn.Module) -> None:
        """Change the first convolution in place, so that `module` on plain images is what it was on standardised ones.

        Raises
        ------
        UsageError
            The first layer is no convolution without padding: a padded edge is 0 in both, and cannot be folded.
        """
        weight = foldable(module).weight.detach().double() / self.deviation.double()[:, None, None]
        _change_first(module, weight, -self._shift(weight))

    def unfold(self, module: nn.Module) -> None:
        """The inverse of `fold`: `module` on standardised images becomes what it was on plain ones."""
        weight = foldable(module).weight.detach().double()
        _change_first(module, weight * self.deviation.double()[:, None, None], self._shift(weight))

    def _shift(self, weight: torch.Tensor) -> torch.Tensor:
        """What the weights on plain images make of the mean image (kernels,)."""
        return (weight * self.mean.double()[:, None, None]).sum(dim=(1, 2, 3))


def _change_first(module: nn.Module, weight: torch.Tensor, shift: torch.Tensor) -> None:
    first = foldable(module)
    assert first.bias is not None
    with torch.no_grad():
        first.bias.copy_(first.bias.double() + shift)
        first.weight.copy_(weight)


def standard_of(prepared: PreparedSet, rows: Rows) -> Standard:
    """Mean and standard deviation per band over up to 1000 of the images `rows`, evenly spread."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _IMAGES)).round().astype(int))]
    total = torch.zeros(prepared.shape[0], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for start in range(0, len(chosen), _PIECE):
        images = decoded(*prepared.read(chosen[start : start + _PIECE])).double()
        total += images.sum(dim=(0, 2, 3))
        squares += images.square().sum(dim=(0, 2, 3))
    pixels = len(chosen) * prepared.shape[1] * prepared.shape[2]
    mean = total / pixels
    deviation = (squares / pixels - mean**2).sqrt()
    planes = 2 * prepared.angles
    if planes:  # an angle follows the turns of the image only while cosine and sine keep their zero and their scale
        mean[-planes:], deviation[-planes:] = 0.0, 1.0
    return Standard(mean.float(), deviation.float())


def foldable(module: nn.Module) -> nn.Conv2d | P4MLift:
    """The first layer with weights, if standardising can be folded into it; UsageError if not."""
    layers = (layer for layer in module.modules() if not list(layer.children()))
    first = next((layer for layer in layers if not _cuts(layer)), None)
    if isinstance(first, P4MLift):
        return first
    plain = isinstance(first, nn.Conv2d) and first.padding in ((0, 0), "valid") and first.groups == 1
    if not plain or first.bias is None:  # type: ignore[union-attr]
        raise UsageError("--inputs standardised needs a first layer that is a convolution without padding; use as-is")
    assert isinstance(first, nn.Conv2d)
    return first


def _cuts(layer: nn.Module) -> bool:
    """Whether a layer does nothing but cut the edges off, which goes with any change of the pixels."""
    return isinstance(layer, nn.ZeroPad2d) and max(layer.padding) <= 0
