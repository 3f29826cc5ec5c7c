"""Which images train and which choose the epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError

Rows = NDArray[np.int64]


def labelled(labels: NDArray[np.integer]) -> Rows:
    """Positions of the images with a known label (0 or 1)."""
    return np.flatnonzero((labels == 0) | (labels == 1)).astype(np.int64)


def stratified_split(labels: NDArray[np.integer], fraction: float, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Split positions into (training, validation), the same share of each class; sorted.

    Parameters
    ----------
    labels
        0 and 1 (n,).
    fraction
        Share of each class for validation, rounded; each class keeps at least one image on either side.

    Raises
    ------
    DataError
        A class has fewer than two images, so that one side would have none.
    """
    training, validation = [], []
    for value, name in ((0, "non-lenses"), (1, "lenses")):
        rows = generator.permutation(np.flatnonzero(labels == value))
        if len(rows) < 2:
            raise DataError(f"the set has {len(rows)} {name}; training and validation need at least one each")
        kept = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        validation.append(rows[:kept])
        training.append(rows[kept:])
    return np.sort(np.concatenate(training)), np.sort(np.concatenate(validation))
