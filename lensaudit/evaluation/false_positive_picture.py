"""Gallery of the worst false positives (Forero Sanchez et al. 2019, Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.visualization import AsinhStretch, ImageNormalize, PercentileInterval
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensaudit.figures import save_figure

COLUMNS = 6
_INCHES = 1.7


def plot_gallery(
    path: Path, images: Sequence[NDArray[np.float32]], captions: Sequence[str], arcsec: float, title: str
) -> None:
    """Write `path` as PNG: cutouts of one band, the worst first, asinh grey scale of each alone, dark sky.

    Parameters
    ----------
    images
        Native cutouts (h, w), not necessarily finite.
    captions
        One short line each.
    arcsec
        Width of a cutout on the sky, for the bar.
    """
    rows = math.ceil(len(images) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * _INCHES, rows * (_INCHES + 0.25) + 0.5), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    bar = 10.0 ** math.floor(math.log10(arcsec / 2))
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        shown = np.where(np.isfinite(image), image, np.nanmin(image))
        norm = ImageNormalize(shown, interval=PercentileInterval(99.8), stretch=AsinhStretch(0.05))
        axes.imshow(shown, origin="lower", cmap="gray", norm=norm, interpolation="nearest")
        axes.set_title(caption, fontsize=7)
        pixels = bar / arcsec * image.shape[1]
        axes.plot([2, 2 + pixels], [2, 2], color="w", linewidth=1.5, solid_capstyle="butt")
    figure.suptitle(f"{title}; bar {bar:g}″", fontsize=9)
    save_figure(path, figure, dpi=110)
