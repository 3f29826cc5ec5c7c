"""Clusters of the lensed light alone: Appendix A of Cheng et al. 2020, images without lens galaxy and noise.

As there, the autoencoder is the one trained on whole images, the mixture is fitted anew, and a non-lens is an empty
image. That the two classes part is then no finding: an empty image has nothing to be taken for a lens. What the
test tells is which properties of the arcs the embedding keeps.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.clustering.embed import embedded
from lensaudit.clustering.mixture import fit_mixture, responsibilities
from lensaudit.clustering.ratios import Between
from lensaudit.clustering.stage import Advance
from lensaudit.clustering.table import Share
from lensaudit.errors import DataError
from lensaudit.evaluation import CONFIDENCE
from lensaudit.finders import Finder
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.statistics import bootstrap_interval

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet

_CHUNK = 32


@dataclass(frozen=True)
class SourceOnly:
    """What the clusters of the lensed light know.

    Attributes
    ----------
    n_lenses, n_empty
        Images with lensed light, and empty ones.
    clusters
        Clusters with an image.
    pure
        Images of the class that has the majority in their cluster.
    radius, angle
        Share of the variance of the Einstein radius, and of the arc's place (cosine and sine of its position angle),
        between clusters, among the lenses; adjusted for the number of clusters, so that 0 is chance.
    """

    n_lenses: int
    n_empty: int
    clusters: int
    pure: Share
    radius: Between
    angle: Between

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n_lenses": self.n_lenses,
            "n_empty": self.n_empty,
            "clusters": self.clusters,
            "pure": self.pure.as_json(),
            "radius": self.radius.as_json(),
            "angle": self.angle.as_json(),
        }


def source_only(finder: Finder, lens_set: LensSet, seed: int = 0, advance: Advance | None = None) -> SourceOnly:
    """Cluster the noiseless lensed light of a simulated set with the finder's autoencoder.

    Raises
    ------
    DataError
        The set has no truth.
    """
    if not lens_set.has_truth:
        raise DataError(f"{lens_set.path}: has no lensed light of its own; give a simulated set as --test")
    assert isinstance(finder.module, CaeBgm)
    points, lit = _embedded_light(finder, lens_set, advance)
    head = copy.deepcopy(finder.module.head)
    fit_mixture(head, points, seed)
    clusters = responsibilities(head, points).argmax(1)
    members = [lit[clusters == number] for number in set(clusters.tolist())]
    pure = sum(int(max(inside.sum(), (~inside).sum())) for inside in members)
    radius = np.asarray(lens_set.column("theta_e_arcsec"), dtype=np.float64)
    turn = np.asarray(lens_set.column("arc_angle_rad"), dtype=np.float64)
    return SourceOnly(
        int(lit.sum()),
        int((~lit).sum()),
        len(members),
        Share(pure, len(clusters)),
        _explained(radius[lit, None], clusters[lit], seed),
        _explained(np.stack([np.cos(turn), np.sin(turn)], axis=1)[lit], clusters[lit], seed),
    )


def explained(values: NDArray[np.float64], groups: NDArray[np.intp]) -> float:
    """Share of the variance of values (n, d) between groups (n,), adjusted (ε² of Kelley 1935): 0 by chance."""
    _, group = np.unique(groups, return_inverse=True)
    n, k = len(values), int(group.max()) + 1
    counts = np.bincount(group)[:, None]
    means = np.stack([np.bincount(group, column) for column in values.T], axis=1) / counts
    within = float(((values - means[group]) ** 2).sum())
    total = float(((values - values.mean(0)) ** 2).sum())
    return 1 - (within / total) * (n - 1) / (n - k) if n > k and total > 0 else float("nan")


def _explained(values: NDArray[np.float64], groups: NDArray[np.intp], seed: int) -> Between:
    there = np.isfinite(values).all(axis=1)
    values, groups = values[there], groups[there]

    def statistic(rows: NDArray[np.float64]) -> float:
        which = rows.astype(np.intp)
        return explained(values[which], groups[which])

    rows = np.arange(len(values), dtype=np.float64)
    draws = np.random.default_rng([seed, 3])
    return Between(statistic(rows), *bootstrap_interval([rows], statistic, draws, confidence=CONFIDENCE))


def _embedded_light(
    finder: Finder, lens_set: LensSet, advance: Advance | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Embeddings (n, features) of the lensed light, and where there is any (n,); an empty image is zeros."""
    points, lit = [], []
    for first in range(0, len(lens_set), _CHUNK):
        span = slice(first, min(first + _CHUNK, len(lens_set)))
        light = {band: lens_set.source_light(band, span) for band in finder.recipe.bands}
        images, good = finder.prepare(light)
        there = good.all(dim=1)
        images[~there] = 0.0
        assert isinstance(finder.module, CaeBgm)
        points.append(embedded(finder.module, images))
        lit.append(there.cpu().numpy())
        if advance is not None:
            advance(span.stop, len(lens_set))
    return np.concatenate(points), np.concatenate(lit)
