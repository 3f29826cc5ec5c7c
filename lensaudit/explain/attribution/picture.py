"""Pictures of explanations: one panel a method beside the image, and the view of Wilde et al. 2022, Fig. 17."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.display import LEAST_LOG_ODDS, NEGATIVE, POSITIVE, SignedScale, signed, symmetric_scale
from lensaudit.explain.attribution.explain import Explanation
from lensaudit.explain.attribution.methods import METHODS
from lensaudit.explain.occluding.map_picture import draw_image, draw_signed, log_scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLIPPED_ABOVE = 99.8
"""Percentile of |value| from which colours are full: gradients have a few pixels far above the rest."""

LEGEND = (
    f"Blue: {POSITIVE}, raises the log-odds of lens. Red: {NEGATIVE}, lowers it. One scale a map, full "
    f"colour from the {CLIPPED_ABOVE:g}th percentile, for occlusion from the largest value."
)

WARNING = "#b2182b"

SHOWN_FROM = 0.05
"""Guided Grad-CAM of a pixel from which Wilde et al. 2022 show it."""

ACROSS = 5


def scale_of(result: Explanation) -> SignedScale:
    """Colours of one image's map: both sides alike, full from the `CLIPPED_ABOVE` percentile of |value|.

    Occlusion, which has no few pixels above the rest, is not clipped, and what no patch changes keeps pale.
    """
    if result.method == "occlusion":
        return symmetric_scale(result.maps[0], LEAST_LOG_ODDS)
    return symmetric_scale(result.maps[0], percentile=CLIPPED_ABOVE)


def explanations_figure(
    image: np.ndarray, results: Sequence[Explanation], *, title: str, band: str, pixel_scale_arcsec: float
) -> Figure:
    """The image and a panel for each explanation of it.

    Parameters
    ----------
    image
        Native image (h, w) of `band`.
    results
        Of this one image (each with one map).
    title
        What stands above.
    band
        Name of the band.
    pixel_scale_arcsec
        Of `image`.
    """
    from matplotlib.figure import Figure

    panels = 1 + len(results)
    across = min(panels, ACROSS)
    down = math.ceil(panels / across)
    height = 3.35 * down + 1.1
    figure = Figure(figsize=(2.7 * across, height), dpi=120)
    grid = figure.add_gridspec(
        down, across, wspace=0.04, hspace=0.36, left=0.01, right=0.99, bottom=0.95 / height, top=1 - 0.8 / height
    )
    axes = [figure.add_subplot(grid[i // across, i % across]) for i in range(panels)]
    draw_image(axes[0], image, pixel_scale_arcsec)
    axes[0].set_title(f"{band}, log scale", fontsize=9)
    for ax, result in zip(axes[1:], results, strict=True):
        draw_map(ax, image, result, pixel_scale_arcsec)
    figure.suptitle(title, fontsize=11)
    figure.text(0.01, 0.12 / height, LEGEND, fontsize=8)
    return figure


def draw_map(ax: Axes, image: np.ndarray, result: Explanation, pixel_scale_arcsec: float) -> None:
    """Draw one image's map over `image`, with its name above and its colour bar below."""
    scale = scale_of(result)
    draw_signed(ax, image, result.maps[0], scale, pixel_scale_arcsec)
    name_panel(ax, result)
    bar = ax.inset_axes((0.1, -0.07, 0.8, 0.035))
    bar.imshow(scale.ramp()[None], aspect="auto", extent=(-1, 1, 0, 1))
    bar.set_yticks([])
    bar.set_xticks([-1, 0, 1], [signed(-scale.negative), "0", signed(scale.positive)], fontsize=6.5)
    bar.tick_params(axis="x", length=2, pad=1)
    bar.set_xlabel(METHODS[result.method].quantity, fontsize=6.5, labelpad=1)


def gradcam_figure(
    image: np.ndarray,
    gradcam: Explanation,
    guided: Explanation,
    *,
    title: str,
    band: str,
    pixel_scale_arcsec: float,
    threshold: float = SHOWN_FROM,
) -> Figure:
    """Image, Grad-CAM, Guided Grad-CAM, and the image where Guided Grad-CAM reaches `threshold` in any band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.6, 4.2), dpi=120)
    grid = figure.add_gridspec(1, 4, wspace=0.04, left=0.01, right=0.99, bottom=0.17, top=0.82)
    axes = [figure.add_subplot(grid[i]) for i in range(4)]
    draw_image(axes[0], image, pixel_scale_arcsec)
    axes[0].set_title(f"{band}, log scale", fontsize=9)
    for ax, result in zip(axes[1:3], (gradcam, guided), strict=True):
        draw_map(ax, image, result, pixel_scale_arcsec)
    shown = reached(guided, threshold)
    _draw_where(axes[3], image, shown, pixel_scale_arcsec)
    axes[3].set_title(f"{band} where Guided Grad-CAM ≥ {threshold:g}\n{100 * shown.mean():.1f} % of pixels", fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.text(0.01, 0.02, LEGEND, fontsize=8)
    return figure


def reached(guided: Explanation, threshold: float) -> np.ndarray:
    """Where one image's Guided Grad-CAM is at least `threshold` in any band, bool (size, size)."""
    assert guided.attributions is not None
    where: np.ndarray = guided.attributions[0].max(axis=0) >= threshold
    return where


def name_panel(ax: Axes, result: Explanation) -> None:
    """Name of the method above its map, with what a reader must know of it in red."""
    method = METHODS[result.method]
    ax.set_title(result.title, fontsize=9, pad=15 if result.notes else None)
    if result.notes:
        word = "fails the randomisation check" if method.known_to_fail else "see the notes"
        ax.text(0.5, 1.015, word, transform=ax.transAxes, ha="center", va="bottom", fontsize=7.5, color=WARNING)
    if not np.any(result.maps[0]):
        ax.text(0.5, 0.9, "zero everywhere", transform=ax.transAxes, ha="center", fontsize=8, color=WARNING)


def _draw_where(ax: Axes, image: np.ndarray, shown: np.ndarray, pixel_scale_arcsec: float) -> None:
    draw_image(ax, image, pixel_scale_arcsec)
    rows, columns = (
        ((np.arange(side) + 0.5) * len(shown) / side).astype(int) for side in (image.shape[0], image.shape[1])
    )
    picture = np.where(shown[rows][:, columns], log_scaled(image), 0.0)
    ax.images[0].set_data(picture)
