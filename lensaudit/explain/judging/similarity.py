"""How alike two sets of maps are: rank correlation of every pair, and structural similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]

CLIPPED_AT = 99.0
"""Percentile of |map| that counts as full contrast; a few hot pixels would else leave nothing to compare."""


def rank_correlations(first: ArrayLike, second: ArrayLike) -> Array:
    """Spearman's correlation of every map of `first` (n, h, w) with every one of `second` (m, h, w): (n, m).

    0 with a constant map.
    """
    ranks = [_standard_ranks(np.asarray(maps, dtype=np.float64)) for maps in (first, second)]
    correlation: Array = ranks[0] @ ranks[1].T
    return np.clip(correlation, -1.0, 1.0)


def structural_similarity(first: ArrayLike, second: ArrayLike) -> float:
    """SSIM (Wang et al. 2004) of |map| of two maps (h, w), each scaled to [0, 1] by its own 99 % percentile."""
    from skimage.metrics import structural_similarity as ssim

    scaled = [_scaled(np.abs(np.asarray(one, dtype=np.float64))) for one in (first, second)]
    window = min(7, *(side - 1 + side % 2 for side in scaled[0].shape))
    return float(ssim(*scaled, data_range=1.0, win_size=window))


def _standard_ranks(maps: Array) -> Array:
    """Ranks of each map as a vector (n, pixels) of mean 0 and length 1; all 0 where the map is constant."""
    ranks = np.stack([rankdata(one) for one in maps.reshape(len(maps), -1)]) if len(maps) else maps.reshape(0, 1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)


def _scaled(values: Array) -> Array:
    top = float(np.percentile(values, CLIPPED_AT)) or float(values.max())
    return np.minimum(values / top, 1.0) if top > 0 else values
