"""How often turning an image puts it into another cluster: the weakness Cheng et al. 2020 name, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.clustering.mixture import logits, responsibilities
from lensaudit.clustering.ratios import Between
from lensaudit.clustering.table import Share
from lensaudit.errors import DataError
from lensaudit.evaluation import CONFIDENCE
from lensaudit.finders.mixture import MixtureHead
from lensaudit.statistics import bootstrap_interval, wilson_interval


@dataclass(frozen=True)
class Splitting:
    """What the eight rotations and mirrors of the images do.

    Attributes
    ----------
    n
        Images.
    by_one
        Share of the seven other orientations in which the most likely cluster is another one; interval over images.
    ever
        Images that change their cluster in at least one of the seven.
    by_chance
        Share of pairs of different images that are in different clusters: what `by_one` would be if the cluster had
        nothing to do with the image.
    call
        Images whose call at p = 0.5 changes in at least one of the seven.
    """

    n: int
    by_one: Between
    ever: Share
    by_chance: float
    call: Share

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n": self.n,
            "by_one": self.by_one.as_json(),
            "ever": self.ever.as_json(),
            "by_chance": self.by_chance,
            "call": self.call.as_json(),
        }


def splitting_of(head: MixtureHead, embeddings: NDArray[np.float32], seed: int = 0) -> Splitting:
    """Measure embeddings (n, 8, features) of images in their eight orientations.

    Raises
    ------
    DataError
        There is only one image, or none.
    """
    n, poses = embeddings.shape[:2]
    if n < 2:
        raise DataError(f"turning images needs two of them at least, there are {n}; give a larger --orientations")
    flat = embeddings.reshape(n * poses, -1)
    clusters = responsibilities(head, flat).argmax(1).reshape(n, poses)
    changed = clusters[:, 1:] != clusters[:, :1]
    called = (logits(head, flat) >= 0).reshape(n, poses)
    return Splitting(
        n,
        _mean(changed.mean(axis=1), seed),
        Share(int(changed.any(axis=1).sum()), n),
        _different(clusters[:, 0]),
        Share(int((called[:, 1:] != called[:, :1]).any(axis=1).sum()), n),
    )


def _mean(values: NDArray[np.float64], seed: int) -> Between:
    mean = float(values.mean())
    if mean in (0.0, 1.0):  # every resample would say the same; Wilson keeps what chance remains
        return Between(mean, *wilson_interval(round(mean * len(values)), len(values), CONFIDENCE))

    def statistic(resampled: NDArray[np.float64]) -> float:
        return float(resampled.mean())

    draws = np.random.default_rng([seed, 2])
    return Between(mean, *bootstrap_interval([values], statistic, draws, confidence=CONFIDENCE))


def _different(clusters: NDArray[np.intp]) -> float:
    counts = np.bincount(clusters).astype(float)
    n = counts.sum()
    return float(1 - (counts * (counts - 1)).sum() / (n * (n - 1)))
