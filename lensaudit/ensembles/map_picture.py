"""The map drawn: points of both classes, lens fractions of its cells, and cutouts of regions (Figs 9 and 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lensaudit.ensembles.regions import Region
from lensaudit.finders.lens_map import LensMap

LENS, OTHER, UNKNOWN = "#4477aa", "#ee6677", "0.6"
"""Blue lenses, red non-lenses, as in the paper's Figure 9."""

CUTOUTS = 6
SOFTENING = 3.0
"""Sky sigmas over which the cutouts' logarithm turns linear."""


@dataclass(frozen=True)
class Shown:
    """A cutout of a region.

    Attributes
    ----------
    image
        Native pixels (h, w) of one band.
    title
        Name, class and p.
    width_arcsec
        Of the field.
    """

    image: NDArray[np.float32]
    title: str
    width_arcsec: float


def map_figure(found: LensMap, positions: NDArray[np.float64], labels: NDArray[np.int64], title: str) -> Figure:
    """Images of a set on the map beside the lens fraction of its cells."""
    figure = Figure(figsize=(12.5, 5.6), layout="constrained")
    points, cells = figure.subplots(1, 2, sharex=True, sharey=True)
    for value, colour, words in ((0, OTHER, "non-lenses"), (1, LENS, "lenses"), (-1, UNKNOWN, "unlabelled")):
        here = positions[labels == value]
        if len(here):
            points.scatter(
                *here.T,
                s=4 if len(positions) > 1000 else 10,
                color=colour,
                alpha=0.6,
                linewidths=0,
                label=f"{len(here)} {words}",
            )
    points.legend(frameon=False, markerscale=3, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    points.set_title(f"{len(positions)} images of the set", fontsize=10)
    low, high = found.positions.min(axis=0), found.positions.max(axis=0)
    image = cells.imshow(
        found.fraction,
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        vmin=0,
        vmax=1,
        cmap="RdBu",
        aspect="auto",
        interpolation="nearest",
    )
    sides = len(found.fraction)
    cells.set_title(f"{sides}×{sides} cells from {len(found.positions)} reference images", fontsize=10)
    figure.colorbar(image, ax=cells, label="lens fraction of the cell; empty cells from their neighbours")
    for axes in (points, cells):
        axes.set_xlabel("first coordinate of the map (t-SNE, no unit)")
    points.set_ylabel("second coordinate of the map (t-SNE, no unit)")
    figure.suptitle(title)
    return figure


def mark_regions(figure: Figure, regions: Sequence[Region]) -> None:
    """Draw the numbered rectangles of `regions` on the panel of points."""
    axes = figure.axes[0]
    for number, region in enumerate(regions, start=1):
        corner = (region.x[0], region.y[0])
        axes.add_patch(
            Rectangle(corner, region.x[1] - region.x[0], region.y[1] - region.y[0], fill=False, edgecolor="k")
        )
        axes.annotate(str(number), (region.x[0], region.y[1]), fontsize=11, weight="bold", va="bottom")


def regions_figure(rows: Sequence[tuple[str, Sequence[Shown]]], band: str) -> Figure:
    """One row of cutouts per region, log-scaled, with the width of the field."""
    figure = Figure(figsize=(1.9 * CUTOUTS + 1.6, 2.35 * len(rows) + 0.4), layout="constrained")
    grid = figure.subplots(len(rows), CUTOUTS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for line, (words, cutouts) in zip(grid, rows, strict=True):
        for axes, one in zip(line, cutouts, strict=False):
            _draw(axes, one)
        line[0].text(-0.12, 0.5, words, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    figure.suptitle(f"{band}, logarithm of the light above the sky; each cutout on its own scale", fontsize=9)
    return figure


def _draw(axes: Axes, one: Shown) -> None:
    axes.imshow(_log(one.image), origin="lower", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(one.title, fontsize=7)
    axes.text(0.03, 0.03, f"{one.width_arcsec:.3g}″ wide", transform=axes.transAxes, color="w", fontsize=6)


def _log(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """log(1 + x / 3) of the light in sky sigmas above the median, to [0, 1]; NaN is 0."""
    finite = image[np.isfinite(image)].astype(float)
    if not finite.size or finite.max() <= finite.min():
        return np.zeros(image.shape)
    faint, median, bright = np.percentile(finite, [15.87, 50, 99.9])
    sigma = max(median - faint, 1e-6 * (finite.max() - median))
    level = np.maximum(np.nan_to_num(image, nan=median) - median, 0) / sigma
    top = max((bright - median) / sigma, 1.0)
    return np.clip(np.log1p(level / SOFTENING) / np.log1p(top / SOFTENING), 0, 1)
