"""How much of the image an edit changes, so that no effect is not mistaken for nothing to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lensaudit.probes.pairs import PairSets

CHANGE_SIGMA = 0.5
VISIBLE_PIXELS = 20
"""An edit counts as visible beyond so many changed pixels, as an arc does in the label rule of Wilde et al. 2022."""

BLOCK = 64


def changed_pixels(pairs: PairSets) -> NDArray[np.int64]:
    """Pixels (n,) of the first band that differ between the arms by more than 0.5 σ of the control's background.

    σ is 1.4826 times the median absolute deviation of the control image.
    """
    band = pairs.control.bands[0]
    counts = []
    for first in range(0, pairs.plan.n, BLOCK):
        span = slice(first, first + BLOCK)
        control, treated = pairs.control.images(band, span), pairs.treated.images(band, span)
        middle = np.median(control, axis=(1, 2), keepdims=True)
        sigma = 1.4826 * np.median(np.abs(control - middle), axis=(1, 2), keepdims=True)
        counts.append((np.abs(treated - control) > CHANGE_SIGMA * sigma).sum(axis=(1, 2)))
    return np.concatenate(counts).astype(np.int64)
