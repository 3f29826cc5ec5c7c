"""Jitter, total variation and the Fourier parametrisation, each as plain mathematics on images (n, bands, h, w)."""

from __future__ import annotations

import numpy as np
import torch

EDGE = 1e-3
"""Smaller differences of neighbouring pixels count as smooth, so that the total variation has a gradient everywhere."""


def jitter_shift(seed: int, step: int, most: int) -> tuple[int, int]:
    """Pixels to roll by, down and to the right, each in −`most` … `most`; of (seed, step) alone."""
    drawn = np.random.default_rng((seed, step)).integers(-most, most + 1, size=2)
    return int(drawn[0]), int(drawn[1])


def rolled(images: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """The images moved by `shift`; what leaves on one side comes in on the other."""
    return images if shift == (0, 0) else images.roll(shift, dims=(-2, -1))


def total_variation(images: torch.Tensor) -> torch.Tensor:
    """Mean over bands and pixels of the length of the step to the next pixel, below and to the right: (n,).

    That of a flat image is 0, of uniform noise in [0, 1] about 0.5.
    """
    length = _steps(images)[2] - EDGE
    return length.mean(dim=(1, 2, 3))


def variation_gradient(images: torch.Tensor) -> torch.Tensor:
    """Gradient of the total variation's sum over bands and pixels, with respect to the images."""
    down, right, length = _steps(images)
    down, right = down / length, right / length
    gradient = -(down + right)
    gradient[..., 1:, :] += down[..., :-1, :]
    gradient[..., :, 1:] += right[..., :, :-1]
    return gradient


def _steps(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Differences to the next pixel below and to the right, 0 at the last, and the smoothed length of both."""
    down = torch.zeros_like(images)
    right = torch.zeros_like(images)
    down[..., :-1, :] = images[..., 1:, :] - images[..., :-1, :]
    right[..., :, :-1] = images[..., :, 1:] - images[..., :, :-1]
    return down, right, (down.square() + right.square() + EDGE**2).sqrt()


class Pixels:
    """The image is its own parameters."""

    def image(self, parameters: torch.Tensor) -> torch.Tensor:
        """Image of these parameters."""
        return parameters

    def parameters(self, images: torch.Tensor) -> torch.Tensor:
        """Parameters of this image."""
        return images

    def slope(self, gradient: torch.Tensor) -> torch.Tensor:
        """Gradient with respect to the parameters, from that with respect to the image."""
        return gradient


class Spectrum:
    """The image as sum of waves whose parameters are weighed by 1 / frequency, so that steps favour broad features.

    The waves are those of the Hartley transform, cos + sin: real, orthonormal, and its own inverse. Weights are
    scaled to a mean square of 1, so that a rate means about the same as with pixels.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
        weight = 1 / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
        weight /= np.sqrt((weight**2).mean())
        self._weight = torch.from_numpy(weight).float().to(device)

    def image(self, parameters: torch.Tensor) -> torch.Tensor:
        """Image of these parameters."""
        return hartley(parameters * self._weight)

    def parameters(self, images: torch.Tensor) -> torch.Tensor:
        """Parameters of this image."""
        return hartley(images) / self._weight

    def slope(self, gradient: torch.Tensor) -> torch.Tensor:
        """Gradient with respect to the parameters, from that with respect to the image."""
        return hartley(gradient) * self._weight


def hartley(images: torch.Tensor) -> torch.Tensor:
    """Orthonormal Hartley transform of the last two axes; applied twice it gives the images back."""
    spectrum = torch.fft.fft2(images, norm="ortho")
    return spectrum.real - spectrum.imag
