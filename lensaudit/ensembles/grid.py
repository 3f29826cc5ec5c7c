"""The grid over a map: the lens fraction of each cell (Wilde et al. 2022, Section 3.3), and how fine it should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lensaudit.finders.lens_map import cells_of

Floats = NDArray[np.float64]
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
    """Share of lenses in each cell; an empty one has the mean of its defined neighbours, of eight.

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
