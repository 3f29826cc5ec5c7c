"""A t-SNE map of score vectors: where a new vector falls, and the share of lenses there (Wilde et al. 2022, 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEIGHBOURS = 25
PERPLEXITY = 5
EXAGGERATION = 1.5
MOMENTUM = 0.8
LARGEST_GRADIENT = 0.25
"""What openTSNE's ``transform`` takes by default (Poličar et al. 2024)."""

DESCENT = ((1.0, 200), (0.1, 100))
"""Learning rate and steps of the two stages of a placement.

openTSNE 1.0.4 sets the gains of all points inside its grid to zero in every step (it means those outside), so that its
own 250 steps at 0.1 leave nearly one point in five short of the minimum. These stages reach it within half a unit of a
plain exact descent for 19 points in 20; most of the others end in another minimum.
"""


@dataclass(frozen=True, eq=False)
class LensMap:
    """Reference vectors on a map, and the lens fraction of each of its cells.

    Attributes
    ----------
    vectors
        Score vectors of the reference images (n, members), float64.
    positions
        Where these lie on the map (n, 2), float64; t-SNE's axes have no unit.
    fraction
        Lens fraction of each cell (cells, cells), the first axis along the second coordinate.
    """

    vectors: Floats
    positions: Floats
    fraction: Floats

    def place(self, vectors: Floats) -> Floats:
        """Positions (m, 2) of score vectors (m, members), each found without regard to the others."""
        if not len(vectors):
            return np.empty((0, 2))
        partial = self._embedding.prepare_partial(
            np.asarray(vectors, np.float64), initialization="median", k=NEIGHBOURS, perplexity=self._perplexity
        )
        for rate, steps in DESCENT:
            partial.optimize(
                steps,
                inplace=True,
                learning_rate=rate,
                exaggeration=EXAGGERATION,
                momentum=MOMENTUM,
                max_grad_norm=LARGEST_GRADIENT,
                max_step_norm=None,
            )
        return np.asarray(partial, dtype=np.float64) + self._middle

    def p_lens(self, positions: Floats) -> Floats:
        """Lens fraction (m,) of the cells that positions (m, 2) fall into; beyond the edge, of the nearest cell."""
        column, row = cells_of(positions, self.positions, len(self.fraction))
        found: Floats = self.fraction[row, column]
        return found

    @property
    def _perplexity(self) -> float:
        """PERPLEXITY, or what fewer reference images than three times that allow."""
        return min(PERPLEXITY, (len(self.vectors) - 1) / 3)

    @property
    def _middle(self) -> Floats:
        """Of the bounding box: openTSNE's own coordinates begin there."""
        middle: Floats = (self.positions.max(axis=0) + self.positions.min(axis=0)) / 2
        return middle

    @cached_property
    def _embedding(self) -> Any:
        """openTSNE's object, built anew from the reference; nothing in it is random."""
        from openTSNE import TSNEEmbedding, affinity

        known = affinity.PerplexityBasedNN(self.vectors, perplexity=self._perplexity, method="exact", n_jobs=1)
        centred = self.positions - self._middle
        embedding = TSNEEmbedding(centred, known, negative_gradient_method="fft", n_jobs=1, random_state=0)
        embedding.prepare_interpolation_grid()
        return embedding


def cells_of(positions: Floats, reference: Floats, cells: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Column and row (m,) of positions (m, 2) in a grid of `cells` × `cells` over the bounding box of `reference`.

    A position beyond the edge is in the cell nearest to it.
    """
    low, high = reference.min(axis=0), reference.max(axis=0)
    share = (positions - low) / np.where(high > low, high - low, 1.0)
    index = np.clip(np.floor(share * cells), 0, cells - 1).astype(np.intp)
    return index[:, 0], index[:, 1]
