"""Cutouts and attribution maps as pixels: grey VIS on a logarithmic stretch, H-J-Y colour, blue-white-red maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.display import SignedScale
from lensaudit.figures import svg_bytes

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


LENS = "#0072b2"
NON_LENS = "#c04f00"  # vermillion, darkened to 4.5:1 on white
TREATED = "#a8467c"  # reddish purple, darkened likewise
UNLABELLED = "#5c6670"
INK = "#1d2733"
FAINT = "#8a94a0"
GRID = "#e3e7ec"

FULL_WIDTH_IN = 9.4
HALF_WIDTH_IN = 4.6

_RC: Any = {
    "svg.fonttype": "path",  # letters as outlines: the same on every machine, no font is asked for
    "svg.hashsalt": "lensaudit",  # the same numbers give the same bytes
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the look while figures are made and saved."""
    with matplotlib.rc_context(_RC):
        yield


def new_figure(width: float = HALF_WIDTH_IN, height: float = 2.9, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` × `height` inches and its row of axes; never touches pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, list(axes)


def light_grid(axes: Axes, axis: Any = "both") -> None:
    """Faint grid lines behind the data."""
    axes.grid(True, axis=axis, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
