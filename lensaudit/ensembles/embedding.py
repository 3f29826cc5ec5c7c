"""The map: t-SNE of score vectors (Wilde et al. 2022, Section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
