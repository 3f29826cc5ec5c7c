"""The path of a dream as an animated GIF: colour beside the grey band."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from lensaudit.explain.dreaming.colours import grey_band, prepared_rgb
from lensaudit.explain.dreaming.dream import Dream

MOST_BYTES = 1_000_000

SIDE = 200
"""Pixels along a side of one picture, at least; smaller images are enlarged by a whole number."""

FRAME_MS, LAST_MS = 250, 2000

_TRIES = ((5, 64, 1), (4, 16, 1), (4, 16, 2), (3, 8, 2), (3, 8, 4), (2, 4, 4), (2, 4, 16))
"""Levels of each colour, levels of grey, and which frames: the first that is small enough is taken."""


def path_gif(dream: Dream, brighten: float = 0.0) -> bytes:
    """The kept images one after the other, the last one longer, below 1 MB.

    The palette is fixed, some levels of red, green and blue and some of grey; levels, and then frames, are given up
    until it is small enough.
    """
    content = b""
    for levels, greys, every in _TRIES:
        kept = dream.path[::-1][::every][::-1]  # the last one always
        content = _written([_indices(image, dream, brighten, levels, greys) for image in kept], levels, greys)
        if len(content) < MOST_BYTES:
            break
    return content


def _indices(image: np.ndarray, dream: Dream, brighten: float, levels: int, greys: int) -> NDArray[np.uint8]:
    """Indices into the palette of one frame, the first row at the bottom: colour, and the grey band beside."""
    planes = image / 255
    if len(dream.bands) == 1:
        joined = _grey(planes[0], levels, greys)
    else:
        steps = (prepared_rgb(planes, dream.bands, brighten) * (levels - 1)).round().astype(np.uint8)
        colour = (steps[..., 0] * levels + steps[..., 1]) * levels + steps[..., 2]
        joined = np.concatenate([colour, _grey(planes[grey_band(dream.bands)], levels, greys)], axis=1)
    times = -(-SIDE // image.shape[-1])
    return joined[::-1].repeat(times, axis=0).repeat(times, axis=1)


def _grey(plane: np.ndarray, levels: int, greys: int) -> NDArray[np.uint8]:
    return (plane * (greys - 1)).round().astype(np.uint8) + np.uint8(levels**3)


def _palette(levels: int, greys: int) -> NDArray[np.uint8]:
    """Colours (levels³ + greys, 3)."""
    cube = np.stack(np.meshgrid(*[np.linspace(0, 255, levels)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.concatenate([cube, np.linspace(0, 255, greys)[:, None].repeat(3, axis=1)]).round().astype(np.uint8)


def _written(frames: list[NDArray[np.uint8]], levels: int, greys: int) -> bytes:
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in frames]
    for picture in pictures:
        picture.putpalette(_palette(levels, greys).tobytes())
    stream = BytesIO()
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_MS]
    options = {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0, "optimize": False}
    pictures[0].save(stream, "GIF", **options)
    return stream.getvalue()
