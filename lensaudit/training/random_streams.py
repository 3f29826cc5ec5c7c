"""Where every random number of a training comes from: (seed, purpose, epoch, step), never from what ran before.

So a training that was killed goes on with the numbers it would have had.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; the values are part of the results and are never re-used."""

    WEIGHTS = 1
    SPLIT = 2
    ORDER = 3
    AUGMENT = 4
    DROPOUT = 5


def stream(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """Generator of (seed, purpose, epoch, step); SFC64, the quickest of numpy's."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, int(purpose), *where])))


def torch_seed(seed: int, purpose: Purpose, *where: int) -> int:
    """A 63-bit seed for a ``torch.Generator``."""
    return int(stream(seed, purpose, *where).integers(2**63 - 1))
