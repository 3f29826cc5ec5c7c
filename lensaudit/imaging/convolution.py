"""Convolution with a point-spread function by Fourier transform, on no more of the frame than holds light."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float64]


def convolve(image: Array, psf_kernel: Array) -> Array:
    """Convolve `image` (h, w) with an odd kernel (k, k), zero outside the frame; same shape out."""
    filled = np.zeros_like(image)
    light = image != 0.0
    rows, columns = np.flatnonzero(light.any(axis=1)), np.flatnonzero(light.any(axis=0))
    if not rows.size:
        return filled
    half = psf_kernel.shape[0] // 2
    window = tuple(
        slice(max(int(index[0]) - half, 0), min(int(index[-1]) + half + 1, side))
        for index, side in zip((rows, columns), image.shape, strict=True)
    )
    piece = image[window]
    # Padding by half a kernel is enough: what wraps around lands in the rows and columns that are cut off.
    shape = (fft.next_fast_len(piece.shape[0] + half, real=True), fft.next_fast_len(piece.shape[1] + half, real=True))
    product = fft.rfft2(piece, shape) * _transfer(psf_kernel.tobytes(), psf_kernel.shape[0], shape)
    filled[window] = fft.irfft2(product, shape)[half : half + piece.shape[0], half : half + piece.shape[1]]
    return filled


@lru_cache(maxsize=256)
def _transfer(kernel_bytes: bytes, size: int, shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Fourier transform of a kernel, kept because a set's images share few kernels and shapes."""
    return np.asarray(fft.rfft2(np.frombuffer(kernel_bytes).reshape(size, size), shape))
