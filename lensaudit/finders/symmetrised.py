"""Any module made invariant under the eight orientations of the image, by averaging over them."""

from __future__ import annotations

import torch
from torch import nn

from lensaudit.finders.orientation import DIHEDRAL, oriented


class Symmetrised(nn.Module):
    """Mean of the logits of `body` over the eight rotations and mirrors of the image; eight times its cost.

    What the orientation of the PSF says within these eight is averaged away, in training as in scoring. Turns by
    other angles still show.

    Parameters
    ----------
    body
        Maps (n, channels, size, size) to logits.
    angles
        Number of angles among the last channels; see `lensaudit.finders.orientation.oriented`.
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
