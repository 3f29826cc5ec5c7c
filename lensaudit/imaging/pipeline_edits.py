"""Edits of images as another pipeline would make them: zero point, JPEG, levels, resampling, a clipped range.

As `lensaudit.imaging.image_edits`: ``edit(images, strength, rng) -> images`` of all bands together. None of them draws
anything, so that arms share their noise.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.imaging.image_edits import Image, Images, demand

MAX_MAG = 30.0
MAX_BITS = 16
KINDS = {0: "NEAREST", 1: "BILINEAR", 3: "BICUBIC"}
"""Order of an interpolation → what Pillow calls it."""
SCALES = (0.5, 2.0)
RESAMPLED = 0.98
"""Side of a new pixel over the old one where the kind of resampling is asked about."""


def through_jpeg(levels: NDArray[np.uint8], quality: int, subsampling: str = "4:2:0") -> NDArray[Any]:
    """Levels (h, w) or (h, w, 3) after Pillow has written them as JPEG and read them again."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    colour = {"subsampling": subsampling} if levels.ndim == 3 else {}
    Pillow.fromarray(levels).save(stream, "JPEG", quality=quality, **colour)
    return np.asarray(Pillow.open(stream))


def zero_point(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Multiply all bands as if their zero point were another: the unit of a pixel is taken for one it is not.

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        Magnitudes by which the zero point is too high: pixels are 10^(0.4 strength) times what they should be, so
        that 2.5 is a factor of ten. 0 changes nothing.
    rng
        Not used.

    Raises
    ------
    UsageError
        The strength lies outside ±30 mag.
    """
    demand("zero_point", abs(strength) <= MAX_MAG, f"at most ±{MAX_MAG:g} mag", strength)
    if strength == 0:
        return dict(images)
    return {band: image * np.float32(10.0 ** (0.4 * strength)) for band, image in images.items()}


def eight_bit(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Round every band to whole levels between its own minimum and maximum, and back to its unit.

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        Bits, 1 to 16: 8 are 256 levels.
    rng
        Not used.

    Raises
    ------
    UsageError
        The strength is no whole number of bits.
    """
    demand("eight_bit", strength in range(1, MAX_BITS + 1), f"a whole number of bits, 1 to {MAX_BITS}", strength)
    return {band: _by_levels(image, 2 ** int(strength) - 1, lambda levels: levels) for band, image in images.items()}


def jpeg(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Store every band as a grey JPEG and read it again.

    Float pixels become 8 bit as in a pipeline that stores JPEG: linearly between the minimum and the maximum of the
    band in the cutout, rounded to the nearest of 256 levels; what is read goes back to the unit by the same two
    numbers. Each band is a file of its own, so that no colour is subsampled.

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        Quality as Pillow and libjpeg count it, 1 to 100; their default is 75.
    rng
        Not used.

    Raises
    ------
    UsageError
        The strength is no whole number from 1 to 100.
    """
    demand("jpeg", strength in range(1, 101), "a whole number from 1 to 100", strength)

    def stored(levels: NDArray[np.float64]) -> NDArray[Any]:
        return through_jpeg(levels.astype(np.uint8), int(strength))

    return {band: _by_levels(image, 255, stored) for band, image in images.items()}


def resampled(
    images: Mapping[str, Image], strength: float, rng: np.random.Generator, *, scale: float = RESAMPLED
) -> Images:
    """Resample every band once onto a grid with pixels of `scale` times the size, about the same centre.

    Beyond the edges the image is mirrored. What interpolation does to light and noise depends on its kind: the nearest
    pixel keeps the noise and moves edges, linear interpolation smooths both, cubic one less.

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        Order of the interpolation, as Pillow's kinds: 0 nearest, 1 bilinear, 3 bicubic.
    rng
        Not used.
    scale
        Of the new pixels, 0.5 to 2.

    Raises
    ------
    UsageError
        Order or scale are none of these.
    """
    demand("resampled", strength in KINDS, "0 (nearest), 1 (bilinear) or 3 (bicubic)", strength)
    demand("resampled", SCALES[0] <= scale <= SCALES[1], f"a scale in [{SCALES[0]:g}, {SCALES[1]:g}]", scale)
    return {band: _on_grid(image, scale, KINDS[int(strength)]) for band, image in images.items()}


def pixel_scale(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Magnify or shrink all bands about their centre, as where pixels have another size than they are said to have.

    Pillow's bicubic interpolation, whose own effect `resampled` tells.

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        True over stated size of a pixel, 0.5 to 2: at 0.98 all that is seen is 2 % larger. 1 changes nothing.
    rng
        Not used.

    Raises
    ------
    UsageError
        The strength lies outside [0.5, 2].
    """
    demand("pixel_scale", SCALES[0] <= strength <= SCALES[1], f"a ratio in [{SCALES[0]:g}, {SCALES[1]:g}]", strength)
    if strength == 1:
        return dict(images)
    return {band: _on_grid(image, strength, KINDS[3]) for band, image in images.items()}


def clipped_range(images: Mapping[str, Image], strength: float, rng: np.random.Generator) -> Images:
    """Cut every band off at a percentile of its own pixels, as a display limit or a saturated detector does.

    Parameters
    ----------
    images
        Images of any shapes.
    strength
        Percentile, above 0 to 100; brighter pixels become it. 100 changes nothing.
    rng
        Not used.

    Raises
    ------
    UsageError
        The strength is no percentile.
    """
    demand("clipped_range", 0 < strength <= 100, "a percentile above 0, up to 100", strength)
    if strength == 100:
        return dict(images)
    return {
        band: np.minimum(image, np.nanpercentile(image, strength).astype(np.float32)) for band, image in images.items()
    }


def _by_levels(image: Image, highest: int, stored: Callable[[NDArray[np.float64]], NDArray[Any]]) -> Image:
    """The image through whole levels 0 … `highest` of its own range, and through what is `stored` of them.

    Pixels that are no number stay so, and a constant image stays as it is.
    """
    there = np.isfinite(image)
    low, high = (float(end) for end in (image[there].min(), image[there].max())) if there.any() else (0.0, 0.0)
    if not high > low:
        return image
    levels = np.round((np.where(there, image, low).astype(np.float64) - low) / (high - low) * highest)
    back = low + stored(levels).astype(np.float64) * ((high - low) / highest)
    return np.where(there, back, image).astype(np.float32)


def _on_grid(image: Image, scale: float, kind: str) -> Image:
    """The image on as many pixels, each `scale` times as large, about the same centre."""
    from PIL import Image as Pillow

    height, width = image.shape
    margin = max(2, int(np.ceil(max(height, width) * max(scale - 1.0, 0.0) / 2)) + 2)
    wide = np.pad(image, min(margin, height, width), mode="symmetric")
    middle = [side / 2 for side in wide.shape[::-1]]
    reach = [side * scale / 2 for side in (width, height)]
    box = (*(m - r for m, r in zip(middle, reach, strict=True)), *(m + r for m, r in zip(middle, reach, strict=True)))
    found = Pillow.fromarray(wide).resize((width, height), Pillow.Resampling[kind], box=box)
    return np.array(found, np.float32)  # Pillow's own cannot be written to
