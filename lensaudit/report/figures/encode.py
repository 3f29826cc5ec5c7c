"""Figures and pixels as ``data:`` URIs, small and the same bytes each time."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.figure import Figure

from lensaudit.figures import svg_bytes

COLOURS = 160
"""Colours of a panel's palette: a third of the bytes of true colour, and no step to be seen on noise."""


def svg_uri(figure: Figure) -> str:
    """Encode a line plot as an SVG ``data:`` URI; call it under :func:`style.house_style`."""
    return _uri("image/svg+xml", svg_bytes(figure))


def png_uri(rgb: np.ndarray) -> str:
    """Encode pixels as a PNG ``data:`` URI with a palette of its own.

    Parameters
    ----------
    rgb
        uint8, shape (h, w, 3), first row on top.
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(rgb, dtype=np.uint8), mode=None)
    stream = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(stream, format="PNG", optimize=True)
    return _uri("image/png", stream.getvalue())


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
