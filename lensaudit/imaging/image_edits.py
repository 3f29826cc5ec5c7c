"""Edits of images, for cutouts that have no scene: ``edit(images, strength, rng) -> images`` of all bands together.

Images are one float32 (h, w) per band, in the order of the bands, the finest first; all cover the same field. What an
edit does to the noise in them is said with it, since here light and noise cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError

Image = NDArray[np.float32]
Images = dict[str, Image]

ORIENTATIONS = 8
FIXED_BAND = "VIS"
MAD_TO_SIGMA = 1.4826
MAX_SHIFT_PIXELS = 8.0


def orientation(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Turn and mirror all bands alike; pixels, noise included, only change places.

    Parameters
    ----------
    images
        Square images.
    strength
        A whole number of the dihedral group: 0–3 quarter turns (0 changes nothing), 4–7 the same after a mirror
        that swaps left and right.
    rng
        Not used.

    Raises
    ------
    UsageError
        The strength is no whole number from 0 to 7.
    """
    demand("orientation", strength in range(ORIENTATIONS), f"a whole number from 0 to {ORIENTATIONS - 1}", strength)
    turns, mirrored = int(strength) % 4, strength >= 4
    return {
        band: np.ascontiguousarray(np.rot90(np.fliplr(image) if mirrored else image, turns))
        for band, image in images.items()
    }


def sub_pixel_shift(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Shift all bands by the same angle on the sky, by Fourier phases on the mirrored image.

    Fourier phases leave the noise its strength and keep white noise white, where a spline would smooth it and a
    finder might answer to that instead. The price: a source sharper than two pixels rings, and the outermost pixels
    are filled from the mirror image.

    Parameters
    ----------
    images
        Images that cover one field; a band of half as many pixels is shifted by half as many.
    strength
        Length of the shift in pixels of the first band, 0 (no change) to 8.
    rng
        Draws the direction, which does not depend on the strength.

    Raises
    ------
    UsageError
        The strength lies outside [0, 8].
    """
    if not 0 <= strength <= MAX_SHIFT_PIXELS:
        raise UsageError(f"sub_pixel_shift: the shift must lie in [0, {MAX_SHIFT_PIXELS:g}] pixels, not {strength}")
    angle = rng.uniform(0.0, 2 * np.pi)
    if strength == 0:
        return dict(images)
    finest = next(iter(images.values())).shape
    shifted = {}
    for band, image in images.items():
        rows = strength * np.sin(angle) * image.shape[0] / finest[0]
        columns = strength * np.cos(angle) * image.shape[1] / finest[1]
        shifted[band] = _shifted(image, float(rows), float(columns))
    return shifted


def _shifted(image: Image, rows: float, columns: float) -> Image:
    """The image moved by so many rows and columns; mirrored at its edges, so that its period has no seam."""
    height, width = image.shape
    whole = np.pad(image.astype(np.float64), ((0, height), (0, width)), mode="symmetric")
    phase = np.outer(
        np.exp(-2j * np.pi * rows * np.fft.fftfreq(2 * height)),
        np.exp(-2j * np.pi * columns * np.fft.rfftfreq(2 * width)),
    )
    moved = np.fft.irfft2(np.fft.rfft2(whole) * phase, whole.shape)
    return np.ascontiguousarray(moved[:height, :width], dtype=np.float32)


def band_swap(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Reverse the order of the bands other than VIS (Y, J, H become H, J, Y), each with its own noise.

    Parameters
    ----------
    images
        Images with at least two bands besides VIS, of one shape.
    strength, rng
        Not used.

    Raises
    ------
    UsageError
        There are not two such bands, or their shapes differ.
    """
    names = [band for band in images if band != FIXED_BAND]
    if len(names) < 2:
        raise UsageError(f"band_swap: two bands besides {FIXED_BAND} are needed, there are {', '.join(images)}")
    if len({images[band].shape for band in names}) > 1:
        raise UsageError(f"band_swap: {', '.join(names)} differ in shape and cannot stand for each other")
    source = dict(zip(names, reversed(names), strict=True))
    return {band: images[source.get(band, band)] for band in images}


def band_duplicate(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Give every band the first band's image, so that all colours vanish and noise is the same in all.

    Where a band has fewer or more pixels, each gets the flux that falls on its area, so the total flux stays. Summing
    fine pixels makes the noise of a coarse one smaller in relation to light, as a real telescope's larger pixels do.

    Parameters
    ----------
    images
        Images that cover one field.
    strength, rng
        Not used.
    """
    first = next(iter(images.values()))
    return {band: first if image.shape == first.shape else _on_pixels(first, image) for band, image in images.items()}


def _on_pixels(image: Image, like: Image) -> Image:
    rows, columns = (_overlap(old, new) for old, new in zip(image.shape, like.shape, strict=True))
    return np.ascontiguousarray(rows @ image.astype(np.float64) @ columns.T, dtype=np.float32)


def _overlap(old: int, new: int) -> NDArray[np.float64]:
    """Fraction of each of `old` pixels on each of `new` ones over the same length: (new, old), columns sum to 1."""
    overlaps = np.zeros((new, old))
    step = old / new
    for index in range(new):
        low, high = index * step, (index + 1) * step
        for pixel in range(floor(low), min(ceil(high), old)):
            overlaps[index, pixel] = max(min(high, pixel + 1) - max(low, pixel), 0.0)
    return overlaps


def recolour(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Brighten the last band, and those between in proportion to their place; the first stays.

    Everything in the image, noise too, is multiplied: all of its objects become redder, and its S/N stays.

    Parameters
    ----------
    images
        Two bands or more, bluest first.
    strength
        Magnitudes by which the last band gets brighter; negative ones make it fainter, 0 changes nothing.
    rng
        Not used.

    Raises
    ------
    UsageError
        There is one band only, or the strength is not finite.
    """
    demand_finite("recolour", strength)
    if len(images) < 2:
        raise UsageError(f"recolour: two bands or more are needed, there is {', '.join(images)}")
    if strength == 0:
        return dict(images)
    last = len(images) - 1
    return {
        band: image * np.float32(10.0 ** (0.4 * strength * index / last)) if index else image
        for index, (band, image) in enumerate(images.items())
    }


def added_noise(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Add white Gaussian noise to every band; the noise it has grows by the root of 1 + strength².

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        Standard deviation in units of each image's own background σ (1.4826 MAD), at least 0 (no change).
    rng
        Draws the unit field of each band in turn; generators in one state give one field at all strengths.

    Raises
    ------
    UsageError
        The strength is negative.
    DataError
        An image has no background noise to measure.
    """
    demand_finite("added_noise", strength)
    if strength < 0:
        raise UsageError(f"added_noise: the noise in units of σ must be at least 0, not {strength}")
    if strength == 0:
        return dict(images)
    noisy = {}
    for band, image in images.items():
        unit = rng.standard_normal(image.shape, dtype=np.float32)
        noisy[band] = image + np.float32(strength * _background_sigma(band, image)) * unit
    return noisy


def background_offset(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Add a constant to every band, as a sky badly subtracted does; noise stays.

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        The constant in units of each image's own background σ (1.4826 MAD), of either sign; 0 changes nothing.
    rng
        Not used.

    Raises
    ------
    UsageError
        The strength is not finite.
    DataError
        An image has no background noise to measure.
    """
    demand_finite("background_offset", strength)
    if strength == 0:
        return dict(images)
    return {band: image + np.float32(strength * _background_sigma(band, image)) for band, image in images.items()}


def demand(edit: str, fine: bool, needed: str, strength: float) -> None:
    """Raise UsageError, which says what is needed, where a strength is not `fine`."""
    if not fine:
        raise UsageError(f"{edit}: {needed} is needed, not {strength:g}")


def demand_finite(edit: str, strength: float) -> None:
    if not np.isfinite(strength):
        raise UsageError(f"{edit}: the strength must be a finite number, not {strength}")


def _background_sigma(band: str, image: Image) -> float:
    """Standard deviation of the background by the median absolute deviation, which few bright pixels hardly move."""
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(image - np.median(image))))
    if not sigma > 0:
        raise DataError(f"band {band}: half of its pixels are equal or NaN, so its background noise is unknown")
    return sigma
