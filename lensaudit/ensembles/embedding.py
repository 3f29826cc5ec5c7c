"""The map: t-SNE of score vectors, and the lens fraction of each cell (Wilde et al. 2022, Section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lensaudit.finders.lens_map import cells_of

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


def counted(positions: Floats, labels: NDArray[np.int64], cells: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lenses and images in each cell of the bounding box of `positions`: two (cells, cells), rows along the second
    coordinate."""
    column, row = cells_of(positions, positions, cells)
    everyone, lenses = np.zeros((cells, cells), np.intp), np.zeros((cells, cells), np.intp)
    np.add.at(everyone, (row, column), 1)
    np.add.at(lenses, (row[labels == 1], column[labels == 1]), 1)
    return lenses, everyone


def lens_fraction(lenses: NDArray[np.intp], everyone: NDArray[np.intp]) -> Floats:
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
