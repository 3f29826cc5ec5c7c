"""The truth of a lens set on the pixels of a finder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.finders import Finder
from lensaudit.finders.resize import resized
from lensaudit.lensset import LensSet

HALF = 0.5


def truth_masks(finder: Finder, lens_set: LensSet, systems: Sequence[int]) -> NDArray[np.bool_]:
    """Where the finder is shown lensed light, in any of its bands: bool (n, size, size).

    Raises
    ------
    DataError
        The set has no truth.
    """
    index = np.asarray(systems, dtype=np.intp)
    return on_grid({band: lens_set.mask(band, index) for band in finder.recipe.bands}, finder.recipe.size)


def on_grid(masks: Mapping[str, NDArray[np.bool_]], size: int) -> NDArray[np.bool_]:
    """Native masks (n, h, w) of several bands → their union (n, size, size) on a finder's grid.

    A pixel is inside where at least half of the weight by which the finder's own resize composes it falls on inside
    pixels. So the mask follows what the finder is shown, whatever the ratio of pixel sizes; counting native pixels by
    area would blur differently from the image itself.
    """
    found: NDArray[np.bool_] | None = None
    for native in masks.values():
        weight = resized(torch.from_numpy(np.asarray(native, dtype=np.float32)), size).numpy()
        inside = weight >= HALF - 1e-6  # sums of float32 weights: exactly half must not depend on rounding
        found = inside if found is None else found | inside
    if found is None:
        raise ValueError("no band, so no mask")
    return found
