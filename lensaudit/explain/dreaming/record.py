"""What is kept of an optimisation as it goes: curves, and the image every so often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.explain.dreaming.objective import Reading
from lensaudit.finders import Finder

FRAMES = 16
"""Images kept of a path; close together at first, where most happens."""


SCORES = 4
"""Of these, images scored where the objective does not run the whole finder."""


def spaced_steps(steps: int, most: int) -> NDArray[np.int64]:
    """0, `steps`, and geometrically spaced ones between, each once: `most` at most."""
    between = np.geomspace(1, steps, most - 1).round().astype(np.int64)
    return np.unique(np.concatenate([[0], between, [steps]]))


class Record:
    """Curves and path of n images.

    Attributes
    ----------
    values
        Objective before each step and at the end (steps + 1, n); NaN where not yet read.
    path_steps, path
        Steps and images, clipped to [0, 1] and times 255: uint8 (frames, n, bands, h, w).
    """

    def __init__(self, finder: Finder, steps: int, images: int, batch: int) -> None:
        """`finder` reads p(lens) where the objective does not, at most `batch` images at a time."""
        self._finder, self._batch = finder, batch
        size = finder.recipe.size
        self.values = np.full((steps + 1, images), np.nan)
        self.path_steps = spaced_steps(steps, FRAMES)
        self._scored = spaced_steps(steps, SCORES)
        self.path = np.zeros((len(self.path_steps), images, len(finder.recipe.bands), size, size), np.uint8)
        self._logits = np.full((steps + 1, images), np.nan)
        self._known = np.zeros(steps + 1, dtype=bool)

    @property
    def p_steps(self) -> NDArray[np.int64]:
        """Steps after which the score was read."""
        return np.flatnonzero(self._known)

    @property
    def logits(self) -> NDArray[np.float64]:
        """Log-odds of "lens" after `p_steps` (steps read, n)."""
        return self._logits[self._known]

    def look(self, step: int, images: torch.Tensor) -> None:
        """Keep the images (n, bands, h, w) if `step` is one of `path_steps`; now and then score them."""
        (frame,) = np.nonzero(self.path_steps == step)
        if frame.size:
            self.path[frame[0]] = (images.nan_to_num().clamp(0, 1) * 255).round().byte().cpu().numpy()
        if step in self._scored:
            different = images[:1] if step == 0 else images  # all begin alike
            self._keep(step, torch.cat([self._finder.logit(piece) for piece in different.split(self._batch)]))

    def note(self, step: int, reading: Reading) -> None:
        """Keep a reading of the images as they stand after `step`, their scores where they came with it."""
        self.values[step] = reading.values.double().cpu().numpy()
        if reading.logits is not None:
            self._keep(step, reading.logits)

    def _keep(self, step: int, logits: torch.Tensor) -> None:
        self._logits[step], self._known[step] = logits.double().cpu().numpy(), True

    def state(self) -> dict[str, np.ndarray]:
        """All that was kept so far, as arrays."""
        return {
            "record.values": self.values,
            "record.path": self.path,
            "record.logits": self._logits,
            "record.known": self._known,
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a `state`."""
        self.values, self.path = state["record.values"], state["record.path"]
        self._logits, self._known = state["record.logits"], state["record.known"]
