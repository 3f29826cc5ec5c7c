"""How much of the image an edit changes, so that no effect is not mistaken for nothing to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHANGE_SIGMA = 0.5
VISIBLE_PIXELS = 20
"""An edit counts as visible beyond so many changed pixels, as an arc does in the label rule of Wilde et al. 2022."""


def changed_pixels(images: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pixels (arms, m) of one band's images (arms, m, h, w) that differ from the control by more than 0.5 σ.

    The control is the first arm; σ is 1.4826 times the median absolute deviation of its image.
    """
    control = images[0]
    middle = np.median(control, axis=(1, 2), keepdims=True)
    sigma = 1.4826 * np.median(np.abs(control - middle), axis=(1, 2), keepdims=True)
    counts: NDArray[np.int64] = (np.abs(images - control) > CHANGE_SIGMA * sigma).sum(axis=(2, 3)).astype(np.int64)
    return counts
