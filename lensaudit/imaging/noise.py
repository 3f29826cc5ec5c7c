"""Noise: sky, read-out and photon noise in the Gaussian limit, from unit normals that belong to the scene.

A pair of scenes with one seed shares the unit normals, so pixels that an edit does not touch are equal bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lensaudit.imaging.instruments import Band


def unit_noise(seed: int, band_index: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Unit-normal field of one band of a scene."""
    return np.random.default_rng([seed, band_index]).standard_normal(shape, dtype=np.float32)


def add_noise(
    noiseless: NDArray[np.float32], unit: NDArray[np.float32], band: Band, background_scale: float = 1.0
) -> NDArray[np.float32]:
    """Add background noise, times `background_scale`, and photon noise to a noiseless image in electron/s."""
    variance = (background_scale * band.background_sigma) ** 2 + np.maximum(noiseless, 0.0) / band.total_exposure_s
    return np.asarray(noiseless + unit * np.sqrt(variance, dtype=np.float32), dtype=np.float32)
