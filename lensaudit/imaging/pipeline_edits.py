"""Edits of images as another pipeline would make them: zero point, JPEG, levels, resampling, a clipped range.

As `lensaudit.imaging.image_edits`: ``edit(images, strength, rng) -> images`` of all bands together.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray


def through_jpeg(levels: NDArray[np.uint8], quality: int, subsampling: str = "4:2:0") -> NDArray[Any]:
    """Levels (h, w) or (h, w, 3) after Pillow has written them as JPEG and read them again."""
    from PIL import Image as Pillow

    stream = io.BytesIO()
    colour = {"subsampling": subsampling} if levels.ndim == 3 else {}
    Pillow.fromarray(levels).save(stream, "JPEG", quality=quality, **colour)
    return np.asarray(Pillow.open(stream))
