"""The path of a dream as an animated GIF: colour beside the grey band."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.explain.dreaming.colours import grey_band, prepared_rgb
from lensaudit.explain.dreaming.dream import Dream

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 1_000_000

SIDE = 200
"""Pixels along a side of one picture, at least; smaller images are enlarged by a whole number."""

FRAME_MS, LAST_MS = 250, 2000


def path_gif(dream: Dream, brighten: float = 0.0) -> bytes:
    """The kept images one after the other, the last one longer, below 1 MB.

    Colours, and then frames, are given up until it is small enough.
    """
    frames = [_frame(image, dream, brighten) for image in dream.path]
    for colours, every in ((128, 1), (48, 1), (48, 2), (16, 2), (16, 4), (8, 8)):
        kept = frames[::-1][::every][::-1]  # the last one always
        content = _written(kept, colours)
        if len(content) < MOST_BYTES:
            break
    return content


def _frame(image: np.ndarray, dream: Dream, brighten: float) -> np.ndarray:
    """One image as bytes (h, w, 3), the first row at the bottom."""
    planes = image / 255
    pictures = [prepared_rgb(planes, dream.bands, brighten)]
    if len(dream.bands) > 1:
        pictures.append(np.repeat(planes[grey_band(dream.bands)][..., None], 3, axis=2))
    times = -(-SIDE // image.shape[-1])
    joined = np.concatenate(pictures, axis=1)[::-1]
    return (joined * 255).round().astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)


def _written(frames: list[np.ndarray], colours: int) -> bytes:
    from PIL import Image

    def palette(frame: np.ndarray) -> Image:
        return Image.fromarray(frame).quantize(colours, dither=Image.Dither.NONE)

    pictures = [palette(frame) for frame in frames]
    stream = BytesIO()
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_MS]
    pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return stream.getvalue()
