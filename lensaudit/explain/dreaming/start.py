"""Where an optimisation begins: noise, or a cutout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lensaudit.errors import DataError
from lensaudit.finders import Finder
from lensaudit.finders.resize import resized

NOISE_SIZE = 66
"""Pixels along a side of the noise in Wilde et al. 2022; for OU-200 it is scaled up to 200."""


def noise_start(finder: Finder, seed: int) -> torch.Tensor:
    """Uniform noise in [0, 1], the same in every band: float32 (bands, size, size) on the finder's device.

    It is drawn on 66×66 pixels and scaled up with scikit-image's ``resize`` for finders of more; for those of fewer
    it is drawn on their own grid.
    """
    size = finder.recipe.size
    drawn = min(size, NOISE_SIZE)
    generator = torch.Generator().manual_seed(seed)
    noise = resized(torch.rand((1, drawn, drawn), generator=generator), size)
    return noise.expand(len(finder.recipe.bands), size, size).to(finder.device)


def cutout_start(finder: Finder, cutout: Mapping[str, np.ndarray], name: str = "") -> torch.Tensor:
    """One cutout as the finder sees it: float32 (bands, size, size) in [0, 1] on the finder's device.

    Parameters
    ----------
    finder
        The finder.
    cutout
        Band → native image (h, w) or (1, h, w).
    name
        Of the cutout, for messages.

    Raises
    ------
    DataError
        A band is missing, constant or not finite, or there are several images.
    """
    single = {band: np.asarray(image) for band, image in cutout.items()}
    single = {band: image[None] if image.ndim == 2 else image for band, image in single.items()}
    several = next((band for band, image in single.items() if len(image) != 1), None)
    if several is not None:
        raise DataError(f"band {several} has {len(single[several])} images; give the cutouts of one")
    return finder.preprocess(single, [name] if name else None)[0]
