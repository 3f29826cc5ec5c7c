"""Deletion and insertion the obvious way: pixel by pixel, one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def plain_curves(
    p_lens: Callable[[np.ndarray], float], image: np.ndarray, order: Sequence[int], fractions: Sequence[float]
) -> tuple[list[float], list[float]]:
    """p(lens) with the first pixels of `order` set to 0, and with only those kept; `image` is (bands, h, w)."""
    _, height, width = image.shape
    deletion, insertion = [], []
    for fraction in fractions:
        removed, kept = image.copy(), np.zeros_like(image)
        for pixel in list(order)[: round(fraction * height * width)]:
            row, column = divmod(int(pixel), width)
            removed[:, row, column] = 0
            kept[:, row, column] = image[:, row, column]
        deletion.append(p_lens(removed))
        insertion.append(p_lens(kept))
    return deletion, insertion
