"""Maps that know nothing of any finder: what an explanation must be better than."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

BLOB_SIGMA_ARCSEC = 1.0
"""About the median Einstein radius of our single lenses (1.15″), which stand in the middle of their cutouts."""

EDGE_SIGMA_PIXELS = 1.0
"""The narrowest smoothing that does not only show the noise of single pixels."""


def centre_blob(size: int, field_arcsec: float) -> NDArray[np.float32]:
    """A round Gaussian of σ = 1″ in the middle of a grid (size, size) over the field; 1 at its highest."""
    axis = (np.arange(size) - (size - 1) / 2) * field_arcsec / size
    blob = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / BLOB_SIGMA_ARCSEC**2)
    return blob.astype(np.float32)


def edges(image: ArrayLike) -> NDArray[np.float32]:
    """Edge detector: length of the gradient of the mean over bands, smoothed by a Gaussian of one pixel.

    Parameters
    ----------
    image
        Prepared image (bands, h, w).
    """
    mean = np.asarray(image, dtype=np.float64).mean(axis=0)
    return ndimage.gaussian_gradient_magnitude(mean, EDGE_SIGMA_PIXELS).astype(np.float32)


def noise(size: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """A map of independent normal pixels (size, size): pixels in random order."""
    return generator.standard_normal((size, size), dtype=np.float32)
