"""Convolution with a point-spread function by Fourier transform, on no more of the frame than holds light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """Fourier transform of the part of an image that holds light, with room for a kernel of `half` pixels.

    Attributes
    ----------
    frame
        Shape (h, w) of the image.
    window
        Rows and columns that light reaches through such a kernel; None where there is no light.
    padded
        Shape of the transformed piece, zeros included.
    """

    frame: tuple[int, int]
    half: int
    window: tuple[slice, slice] | None
    padded: tuple[int, int]
    values: NDArray[np.complex128] | None


def spectrum(image: Array, half: int) -> Spectrum:
    """Transform `image` (h, w); what does not depend on the kernel, so that several kernels share it."""
    frame = (image.shape[0], image.shape[1])
    light = image != 0.0
    rows, columns = np.flatnonzero(light.any(axis=1)), np.flatnonzero(light.any(axis=0))
    if not rows.size:
        return Spectrum(frame, half, None, (0, 0), None)
    window = (
        slice(max(int(rows[0]) - half, 0), min(int(rows[-1]) + half + 1, frame[0])),
        slice(max(int(columns[0]) - half, 0), min(int(columns[-1]) + half + 1, frame[1])),
    )
    piece = image[window]
    # Padding by half a kernel is enough: what wraps around lands in the rows and columns that are cut off.
    padded = (fft.next_fast_len(piece.shape[0] + half, real=True), fft.next_fast_len(piece.shape[1] + half, real=True))
    return Spectrum(frame, half, window, padded, fft.rfft2(piece, padded))


def convolved(light: Spectrum, psf_kernel: Array) -> Array:
    """The image behind a spectrum convolved with an odd kernel (k, k) of its half width, zero outside the frame."""
    filled = np.zeros(light.frame)
    if light.window is not None and light.values is not None:
        rows, columns = (slice(light.half, light.half + span.stop - span.start) for span in light.window)
        product = light.values * _transfer(psf_kernel.tobytes(), psf_kernel.shape[0], light.padded)
        filled[light.window] = fft.irfft2(product, light.padded)[rows, columns]
    return filled


def convolve(image: Array, psf_kernel: Array) -> Array:
    """Convolve `image` (h, w) with an odd kernel (k, k), zero outside the frame; same shape out."""
    return convolved(spectrum(image, psf_kernel.shape[0] // 2), psf_kernel)


@lru_cache(maxsize=256)
def _transfer(kernel_bytes: bytes, size: int, shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Fourier transform of a kernel, kept because a set's images share few kernels and shapes."""
    return np.asarray(fft.rfft2(np.frombuffer(kernel_bytes).reshape(size, size), shape))
