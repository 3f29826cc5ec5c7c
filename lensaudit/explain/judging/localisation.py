"""Does a map fall on the lensed light? Three scores of one map against one mask, each with its chance level.

Chance is what a map of independent random pixels gets on average: exactly the share of the area, for all three. Ties
are settled without favour, by the value expected over all ways to break them; a constant map scores exactly chance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

POINTING_TOLERANCE_ARCSEC = 0.3
"""A hit this near the mask still counts: one NISP pixel, about half the width of its point-spread function. Zhang et
al. 2018 allow 15 of some 300 pixels on photographs, which here would be a whole Einstein radius."""


def positive_share(attribution: ArrayLike, mask: ArrayLike) -> float:
    """Share of the positive attribution that lies in the mask; negative values count for nothing.

    Parameters
    ----------
    attribution
        Map (h, w); positive speaks for a lens.
    mask
        Truth (h, w), bool.

    Returns
    -------
    float
        In [0, 1]; NaN where nothing is positive. Chance: `area_share`.
    """
    values, inside = _checked(attribution, mask)
    positive = np.maximum(values, 0.0)
    total = float(positive.sum())
    return min(float(positive[inside].sum()) / total, 1.0) if total > 0 else math.nan


def rank_accuracy(attribution: ArrayLike, mask: ArrayLike) -> float:
    """Share of the K highest pixels that lie in the mask, K being its size (Arras et al. 2022).

    Where pixels tie for the last of the K places, each gets an equal part of what is left.

    Returns
    -------
    float
        In [0, 1]; NaN where the mask is empty. Chance: `area_share`.
    """
    values, inside = _checked(attribution, mask)
    places = int(inside.sum())
    if places == 0:
        return math.nan
    last = np.partition(values, values.size - places)[values.size - places]
    above, tied = values > last, values == last
    left = places - int(above.sum())
    hits = float((above & inside).sum()) + left * float((tied & inside).sum()) / float(tied.sum())
    return hits / places


def pointing_game(attribution: ArrayLike, mask: ArrayLike, tolerance: int = 0) -> float:
    """Whether the highest pixel lies in the mask, or within `tolerance` pixels of it (Zhang et al. 2018).

    Returns
    -------
    float
        1 or 0; where several pixels share the maximum, the share of them that hits; NaN where the mask is empty.
        Chance: `area_share` of the mask widened by the tolerance.
    """
    values, inside = _checked(attribution, widened(mask, tolerance))
    if not inside.any():
        return math.nan
    return float(inside[values == values.max()].mean())


def area_share(mask: ArrayLike) -> float:
    """Share of the pixels that lie in the mask."""
    return float(np.asarray(mask, dtype=bool).mean())


def widened(mask: ArrayLike, tolerance: int) -> NDArray[np.bool_]:
    """`mask` (h, w) with every pixel at most `tolerance` pixels, centre to centre, away from it."""
    inside = np.asarray(mask, dtype=bool)
    if tolerance < 0:
        raise ValueError(f"a tolerance of {tolerance} pixels: 0 or more is needed")
    if tolerance == 0 or not inside.any():
        return inside
    nearest: NDArray[np.float64] = ndimage.distance_transform_edt(~inside)
    return nearest <= tolerance


def pointing_tolerance(size: int, field_arcsec: float) -> int:
    """`POINTING_TOLERANCE_ARCSEC` in pixels of a grid of `size` pixels over the field: 1 for OU-66, 3 for OU-200."""
    return round(POINTING_TOLERANCE_ARCSEC * size / field_arcsec)


def _checked(attribution: ArrayLike, mask: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Both as flat arrays."""
    values, inside = np.asarray(attribution, dtype=np.float64), np.asarray(mask, dtype=bool)
    if values.shape != inside.shape or values.ndim != 2:
        raise ValueError(f"map {values.shape} and mask {inside.shape}: two equal (h, w) are needed")
    if not np.isfinite(values).all():
        raise ValueError("the map holds values that are no numbers")
    return values.ravel(), inside.ravel()
