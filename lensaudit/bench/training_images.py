"""Training images of the bench: rendered from traits, prepared as the finder sees them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.bench.small_finder import BANDS, small_finder
from lensaudit.bench.traits import plant_named, training_scene
from lensaudit.imaging import EUCLID, render
from lensaudit.lensset.spread import spread

CHUNK = 100


@dataclass(frozen=True)
class MakeImages:
    """Renders and prepares `CHUNK` images of the training set of a plant; picklable."""

    plant: str
    seed: int

    def __call__(self, chunk: int) -> tuple[int, NDArray[np.float16]]:
        """Chunk number and images (CHUNK, 4, 100, 100) in [0, 1]."""
        plant = plant_named(self.plant)
        made = []
        for index in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            made.append(render(training_scene(plant, self.seed, index)[0], EUCLID).images)
        torch.set_num_threads(1)
        prepared = small_finder("bench").preprocess({band: np.stack([one[band] for one in made]) for band in BANDS})
        return chunk, prepared.numpy().astype(np.float16)


def training_images(
    plant: str, seed: int, n: int, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Images (n, 4, 100, 100) and labels (n,), half of them lenses; n a multiple of `CHUNK`."""
    chunks = range(n // CHUNK)
    found: dict[int, NDArray[np.float16]] = {}
    with closing(spread(MakeImages(plant, seed), chunks, workers)) as ended:
        for chunk, images in ended:
            found[chunk] = images
            if progress is not None:
                progress(len(found) * CHUNK, n)
    return np.concatenate([found[chunk] for chunk in chunks]), np.tile(np.array([1, 0]), n // 2)
