"""Cutouts and attribution maps as pixels: grey VIS on a logarithmic stretch, H-J-Y colour, blue-white-red maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lensaudit.display import SignedScale

NISP_RGB = ("H", "J", "Y")
LARGEST_RATIO = 1000.0
"""Range of the logarithmic stretch at most, for images with hardly any noise."""

MAX_SIDE = 200
"""Longest side of a panel in pixels; larger cutouts are averaged down to keep the page small."""


def main_band(bands: list[str]) -> str:
    """The band shown in grey: ``VIS`` where there is one, otherwise the first."""
    return "VIS" if "VIS" in bands else bands[0]


def grey(image: np.ndarray) -> np.ndarray:
    """Logarithmic grey picture, dark sky: uint8 (h, w, 3); see :func:`log_stretch`."""
    return _to_bytes(np.repeat(log_stretch(image)[..., None], 3, axis=2))


def colour(images: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """NISP picture with R, G, B = H, J, Y, each stretched alone; ``None`` where a band is missing.

    Bands of other pixel scales are shown in the pixels of the finest.
    """
    if any(band not in images for band in NISP_RGB):
        return None
    finest = max((images[band].shape for band in NISP_RGB), key=np.prod)
    planes = [_nearest(log_stretch(images[band]), finest) for band in NISP_RGB]
    return _to_bytes(np.stack(planes, axis=2))


def heat(values: np.ndarray, scale: SignedScale) -> np.ndarray:
    """Blue-white-red picture of attribution: uint8 (h, w, 3), blue where it is positive, red where negative."""
    return _to_bytes(scale.colours(values))


def overlay(values: np.ndarray, image: np.ndarray, scale: SignedScale) -> np.ndarray:
    """The map over the negative logarithmic image: uint8 (h, w, 3), as large as the image.

    The image keeps 60 % of its contrast, so that the colour stays readable on the brightest pixels.
    """
    backdrop = 1 - 0.6 * log_stretch(image)
    tint = scale.colours(_nearest(values, image.shape))
    return _to_bytes(backdrop[..., None] * tint)


def ramp(scale: SignedScale) -> np.ndarray:
    """The colour bar: uint8 (1, steps, 3), red on the left."""
    return _to_bytes(scale.ramp(101)[None])


def log_stretch(image: np.ndarray) -> np.ndarray:
    """Scale to [0, 1] by log(1 + x / 2σ), x running from one robust σ below the median to the 99.9 % percentile.

    Softened by the noise σ, the sky stays calm and dark while a faint arc and a bright core are both seen. Pixels
    that are not finite are shown as the faintest; a constant image is 0 everywhere.
    """
    image = shrink(np.asarray(image, dtype=float))
    finite = np.isfinite(image)
    if not finite.any():
        return np.zeros(image.shape)
    sixteenth, median, high = np.percentile(image[finite], [15.87, 50, 99.9])
    low = sixteenth if sixteenth < high else median
    if high <= low:
        return np.zeros(image.shape)
    softening = max(2 * (median - sixteenth), (high - low) / LARGEST_RATIO)
    x = np.clip(np.where(finite, image, low) - low, 0, high - low)
    return np.asarray(np.log1p(x / softening) / np.log1p((high - low) / softening))


def shrink(image: np.ndarray, side: int = MAX_SIDE) -> np.ndarray:
    """Average blocks of pixels until no side is longer than `side`; NaN only where a whole block is NaN."""
    factor = -(-max(image.shape) // side)
    if factor <= 1:
        return image
    h, w = (length // factor * factor for length in image.shape)
    blocks = image[:h, :w].reshape(h // factor, factor, w // factor, factor)
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    number = known.sum(axis=(1, 3))
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _nearest(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    h, w = shrink(np.empty(shape)).shape
    rows = (np.arange(h) + 0.5) * values.shape[0] // h
    columns = (np.arange(w) + 0.5) * values.shape[1] // w
    return np.asarray(values)[rows.astype(int)[:, None], columns.astype(int)[None, :]]


def _to_bytes(unit: np.ndarray) -> np.ndarray:
    """Bytes with the first row at the bottom, as DS9 shows FITS images."""
    return np.round(255 * np.clip(unit, 0, 1)).astype(np.uint8)[::-1]
