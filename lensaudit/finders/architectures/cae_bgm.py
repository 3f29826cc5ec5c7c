"""Convolutional autoencoder and Bayesian Gaussian mixture (Cheng et al. 2020), as one module from image to logit.

Trained without labels by `lensaudit cluster`; the autoencoder's decoder is not part of the finder.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.layers import DIHEDRAL, MixtureHead, convolutions, deconvolutions, dense_encoder, dihedral

SIZE = None
TRAINED_BY = "lensaudit cluster"


class CaeBgm(nn.Module):
    """Image → denoised image → embedding → responsibilities of the clusters → log-odds of a lens.

    Attributes
    ----------
    denoiser
        The autoencoder's convolutional part alone, whose output the features are extracted from; empty where they are
        extracted from the images themselves.
    encoder
        Five convolutions, three dense layers and the embedding.
    head
        The mixture.
    pose_free
        Average the embedding over the eight rotations and mirrors of the image; not in the paper.
    """

    def __init__(self, denoiser: nn.Sequential, encoder: nn.Sequential, head: MixtureHead, pose_free: bool) -> None:
        super().__init__()
        self.denoiser, self.encoder, self.head = denoiser, encoder, head
        self.pose_free = pose_free

    def embedding(self, images: torch.Tensor) -> torch.Tensor:
        """Embedding (n, features) of images (n, bands, size, size)."""
        if not self.pose_free:
            return self.posed(images)
        return torch.stack([self.posed(dihedral(images, which)) for which in range(DIHEDRAL)]).mean(0)

    def posed(self, images: torch.Tensor) -> torch.Tensor:
        """Embedding of the images as they lie."""
        found: torch.Tensor = self.encoder(self.denoiser(images))
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, outputs) of images (n, bands, size, size)."""
        found: torch.Tensor = self.head(self.embedding(images))
        return found


@dataclass(frozen=True)
class Switches:
    """What a recipe may turn on or off.

    Attributes
    ----------
    pose_free
        See `CaeBgm`.
    marked
        See `MixtureHead`.
    denoise
        False: no denoiser; not in the paper.
    """

    pose_free: bool = False
    marked: bool = False
    denoise: bool = True


OPTIONS = {"embedding": 24, "filters": 128, **asdict(Switches())}
"""What a recipe may say, and what it says by default."""


def build(
    bands: int, outputs: int = 1, *, size: int = 101, embedding: int = 24, filters: int = 128, **switches: bool
) -> CaeBgm:
    """(n, bands, size, size) → (n, outputs) logits.

    Parameters
    ----------
    embedding
        Features of an image, and as many clusters, as in the paper.
    filters
        Of the first convolution; the next ones have half as many each.
    switches
        See `Switches`.

    Raises
    ------
    UsageError
        More than two outputs.
    """
    if outputs > 2:
        raise UsageError(f"architecture cae-bgm has one or two outputs, not {outputs}; correct the recipe")
    on = Switches(**switches)
    denoiser = (
        [*convolutions(bands, filters), *deconvolutions(bands, filters, size), nn.Sigmoid()] if on.denoise else []
    )
    return CaeBgm(
        nn.Sequential(*denoiser),
        nn.Sequential(*convolutions(bands, filters), *dense_encoder(size, embedding)),
        MixtureHead(embedding, embedding, outputs, on.marked),
        on.pose_free,
    )
