"""What the clusters hold, and what they therefore say of a lens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.evaluation import CONFIDENCE
from lensaudit.statistics import wilson_interval

LENS_RICH = 0.6
"""Lens fraction from which Cheng et al. 2020 count a cluster among those of lenses."""


@dataclass(frozen=True)
class Share:
    """`k` of `n` with a 95 % Wilson interval; NaN where n is 0."""

    k: int
    n: int

    @property
    def value(self) -> float:
        """The share."""
        return self.k / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Its interval."""
        return wilson_interval(self.k, self.n, CONFIDENCE)

    def as_json(self) -> dict[str, Any]:
        """Plain values; what does not exist is None."""
        low, high = self.interval
        numbers = {"value": self.value, "low": low, "high": high}
        return {**asdict(self), **{name: x if math.isfinite(x) else None for name, x in numbers.items()}}

    def __str__(self) -> str:
        if not self.n:
            return "–"
        low, high = self.interval
        return f"{self.value:.3f} ({low:.3f}–{high:.3f})"


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes
    ----------
    number
        From 0.
    n
        Images whose most likely cluster it is.
    lenses
        Lenses among those of them with a label.
    mark
        A person's 0, 0.5 or 1; None where nobody has marked it.
    """

    number: int
    n: int
    lenses: Share
    mark: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no image is in it."""
        return self.n == 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"number": self.number, "n": self.n, "lenses": self.lenses.as_json(), "mark": self.mark}


def clusters_of(
    assigned: ArrayLike, labels: ArrayLike, components: int, marks: dict[int, float] | None = None
) -> tuple[Cluster, ...]:
    """Count the images of each cluster.

    Parameters
    ----------
    assigned
        Most likely cluster of each image (n,).
    labels
        1 lens, 0 non-lens, −1 unknown (n,).
    components
        Number of clusters.
    marks
        Number → mark.
    """
    cluster, label = np.asarray(assigned), np.asarray(labels)
    found = []
    for number in range(components):
        inside = label[cluster == number]
        lenses = Share(int((inside == 1).sum()), int((inside >= 0).sum()))
        found.append(Cluster(number, len(inside), lenses, (marks or {}).get(number)))
    return tuple(found)


def known_fractions(clusters: Sequence[Cluster]) -> NDArray[np.float64]:
    """Lens probability of each cluster by its lens fraction (K,).

    A cluster without a labelled image has none of its own: it gets that of all clusters together, and 0.5 where nothing
    is labelled.
    """
    k, n = sum(one.lenses.k for one in clusters), sum(one.lenses.n for one in clusters)
    overall = k / n if n else 0.5
    return np.array([one.lenses.value if one.lenses.n else overall for one in clusters])


def lenses_in_rich_clusters(
    fractions: ArrayLike, assigned: ArrayLike, labels: ArrayLike, least: float = LENS_RICH
) -> Share:
    """Share of the lenses whose most likely cluster has a lens fraction of at least `least`.

    Parameters
    ----------
    fractions
        Lens fraction of each cluster (K,), by the images that made the clusters.
    assigned, labels
        Of the images that are counted (n,).
    """
    rich = np.asarray(fractions) >= least
    lenses = np.asarray(assigned)[np.asarray(labels) == 1]
    return Share(int(rich[lenses].sum()), len(lenses))
