"""The map drawn: points of both classes, lens fractions of its cells, and cutouts of regions (Figs 9 and 10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lensaudit.display.colour import INK, LENS, NON_LENS, UNLABELLED, lens_fraction_map
from lensaudit.display.figures import draw_pixels, new_figure, styled
from lensaudit.display.images import grey
from lensaudit.errors import UsageError
from lensaudit.finders.ou_tsne import LensMap, cells_of
from lensaudit.statistics import wilson_interval

Floats = NDArray[np.float64]


def embedded(vectors: Floats, perplexity: float, seed: int) -> Floats:
    """t-SNE positions (n, 2) of score vectors (n, members), the middle of their bounding box at 0.

    openTSNE on one thread with exact neighbours, all else its defaults: 250 steps of early exaggeration 12 and 500
    without, learning rate n / exaggeration, start from the principal components, repulsion by a Barnes–Hut tree below
    10 000 images and by interpolation above.
    """
    from openTSNE import TSNE

    maker = TSNE(perplexity=perplexity, random_state=seed, n_jobs=1, neighbors="exact")
    found = np.asarray(maker.fit(np.asarray(vectors, np.float64)), dtype=np.float64)
    middle = (found.max(axis=0) + found.min(axis=0)) / 2
    return (found - middle).astype(np.float32).astype(np.float64)  # as they are stored


Counts = NDArray[np.intp]

SIDES = (5, 7, 10, 14, 20, 30, 50, 70, 100)
"""Cells along a side that `brier_scores` tries, up to the paper's."""


def counted(positions: Floats, labels: NDArray[np.int64], cells: int) -> tuple[Counts, Counts]:
    """Lenses and images in each cell of the bounding box of `positions`: two (cells, cells), rows along the second
    coordinate."""
    column, row = cells_of(positions, positions, cells)
    everyone, lenses = np.zeros((cells, cells), np.intp), np.zeros((cells, cells), np.intp)
    np.add.at(everyone, (row, column), 1)
    np.add.at(lenses, (row[labels == 1], column[labels == 1]), 1)
    return lenses, everyone


def lens_fraction(lenses: Counts, everyone: Counts) -> Floats:
    """Fraction of lenses in each cell; an empty one has the mean of its defined neighbours, of eight.

    The paper stops there. Cells without a defined neighbour take theirs in a second round, from what the first
    defined, and so on until all have a value: rounds rather than an order, so that no direction is preferred.
    """
    if not everyone.any():
        raise ValueError("no image in any cell")
    found = np.full(everyone.shape, np.nan)
    np.divide(lenses, everyone, out=found, where=everyone > 0)
    while np.isnan(found).any():
        total, defined = _around(np.nan_to_num(found)), _around(np.isfinite(found).astype(float))
        new = np.isnan(found) & (defined > 0)
        found[new] = total[new] / defined[new]
    return found


def _around(grid: Floats) -> Floats:
    """Sum over the eight neighbours of each cell; beyond the edge there is nothing."""
    padded = np.pad(grid, 1)
    height, width = grid.shape
    shifts = [(row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
    return np.sum([padded[row : row + height, column : column + width] for row, column in shifts], axis=0)


def left_out(positions: Floats, labels: NDArray[np.int64], cells: int) -> Floats:
    """What each image of a map would be given if it were not on it itself: lens fractions (n,).

    The grid stays; an image alone in its cell gets what an empty cell gets.

    Parameters
    ----------
    positions
        (n, 2), two images or more.
    labels
        1 lens, 0 not (n,).
    """
    column, row = cells_of(positions, positions, cells)
    lenses, everyone = counted(positions, labels, cells)
    others = everyone[row, column] - 1
    found = (lenses[row, column] - (labels == 1)) / np.maximum(others, 1)
    for alone in np.flatnonzero(others == 0):
        cell = slice(max(row[alone] - 1, 0), row[alone] + 2), slice(max(column[alone] - 1, 0), column[alone] + 2)
        if np.count_nonzero(everyone[cell]) == 1:  # no neighbour either: it takes rounds over the whole grid
            cell = slice(None), slice(None)
        here = row[alone] - (cell[0].start or 0), column[alone] - (cell[1].start or 0)
        without = everyone[cell].copy()
        without[here] = 0
        found[alone] = lens_fraction(lenses[cell], without)[here]
    return found


def brier_scores(positions: Floats, labels: NDArray[np.int64]) -> dict[int, float]:
    """Cells along a side → mean squared error of the lens fractions with each image left out (Brier 1950).

    A grid too fine for its images has cells of one, whose label says little of the next image; one too coarse mixes
    what the map keeps apart. Both cost, and no other set is needed to see it.
    """
    return {side: float(np.mean((left_out(positions, labels, side) - labels) ** 2)) for side in SIDES}


TILES = 10
"""Squares along each side of the map among which the regions are chosen."""

LEAST = 8
"""Labelled images that make a square worth showing."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the map, in its own coordinates, both ends included.

    Attributes
    ----------
    name
        What it is called on the picture.
    x, y
        (from, to).
    """

    name: str
    x: tuple[float, float]
    y: tuple[float, float]

    def holds(self, positions: Floats) -> NDArray[np.bool_]:
        """Which of positions (n, 2) lie in it; NaN lies nowhere."""
        inside = [(low <= positions[:, axis]) & (positions[:, axis] <= high) for axis, (low, high) in self._sides]
        found: NDArray[np.bool_] = inside[0] & inside[1]
        return found

    @property
    def _sides(self) -> tuple[tuple[int, tuple[float, float]], ...]:
        return (0, self.x), (1, self.y)


def read_region(words: str, name: str) -> Region:
    """The region that a person wrote as ``x0,x1,y0,y1``.

    Raises
    ------
    UsageError
        Not four numbers, or from above to.
    """
    try:
        x0, x1, y0, y1 = (float(word) for word in words.split(","))
    except ValueError as wrong:
        raise UsageError(f"--region {words}: is not x0,x1,y0,y1; give four numbers off the map's axes") from wrong
    if not (x0 < x1 and y0 < y1):
        raise UsageError(f"--region {words}: its first x or y is not below its second; give x0,x1,y0,y1")
    return Region(name, (x0, x1), (y0, y1))


def telling_regions(positions: Floats, labels: NDArray[np.int64], edges: tuple[Floats, Floats]) -> list[Region]:
    """The most lens-like square of the map, the least lens-like, and the most mixed one.

    Of a tiling of the map in 10×10 squares, those with 8 labelled images or more are compared by the 95 % interval of
    their lens fraction: highest lower end, lowest upper end, and the end farther from one half nearest to it. A map
    with fewer such squares gives fewer regions.

    Parameters
    ----------
    positions, labels
        Of the images (n, 2) and (n,); 1 lens, 0 non-lens, −1 unknown.
    edges
        Lowest and highest (x, y) of the map.
    """
    low, high = edges
    steps = [np.linspace(low[axis], high[axis], TILES + 1) for axis in (0, 1)]
    counted = []
    for column in range(TILES):
        for row in range(TILES):
            square = Region(
                "", (steps[0][column], steps[0][column + 1]), (float(steps[1][row]), float(steps[1][row + 1]))
            )
            inside = labels[square.holds(positions) & (labels >= 0)]
            if len(inside) >= LEAST:
                counted.append((*wilson_interval(int((inside == 1).sum()), len(inside), 0.95), square))
    orders: dict[str, Callable[[tuple[float, float, Region]], float]] = {
        "most lens-like": lambda one: -one[0],
        "least lens-like": lambda one: one[1],
        "most mixed": lambda one: max(abs(one[0] - 0.5), abs(one[1] - 0.5)),
    }
    chosen: dict[Region, Region] = {}
    for name, order in orders.items():
        for _, _, square in sorted(counted, key=order)[:1]:
            chosen.setdefault(square, Region(name, square.x, square.y))
    return list(chosen.values())


CUTOUTS = 6


@dataclass(frozen=True)
class ShownCutout:
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


@styled
def map_figure(found: LensMap, positions: NDArray[np.float64], labels: NDArray[np.int64], title: str) -> Figure:
    """Images of a set on the map beside the lens fraction of its cells."""
    figure = new_figure(12.5, 5.6)
    points, cells = figure.subplots(1, 2, sharex=True, sharey=True)
    for value, colour, words in ((0, NON_LENS, "non-lenses"), (1, LENS, "lenses"), (-1, UNLABELLED, "unlabelled")):
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
    points.legend(markerscale=3, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    points.set_title(f"{len(positions)} images of the set", fontsize=10)
    low, high = found.positions.min(axis=0), found.positions.max(axis=0)
    image = cells.imshow(
        found.fraction,
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        vmin=0,
        vmax=1,
        cmap=lens_fraction_map(),
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
            Rectangle(corner, region.x[1] - region.x[0], region.y[1] - region.y[0], fill=False, edgecolor=INK)
        )
        axes.annotate(str(number), (region.x[0], region.y[1]), fontsize=11, weight="bold", va="bottom")


@styled
def regions_figure(rows: Sequence[tuple[str, Sequence[ShownCutout]]], band: str) -> Figure:
    """One row of cutouts per region, each on its own grey scale, with a scale bar."""
    figure = new_figure(1.9 * CUTOUTS + 1.6, 2.35 * len(rows) + 0.4)
    grid = figure.subplots(len(rows), CUTOUTS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for line, (words, cutouts) in zip(grid, rows, strict=True):
        for axes, one in zip(line, cutouts, strict=False):
            _draw(axes, one)
        line[0].text(-0.12, 0.5, words, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    figure.suptitle(f"{band}, asinh of the light above the sky; each cutout on its own scale", fontsize=9)
    return figure


def _draw(axes: Axes, one: ShownCutout) -> None:
    axes.axis("on")
    draw_pixels(axes, grey(one.image), one.width_arcsec)
    axes.set_title(one.title, fontsize=7)
