"""How far to believe clusters: rare lenses, turned images, and the lensed light alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.clustering.embed import embedded, fit_mixture, logits, responsibilities
from lensaudit.errors import DataError
from lensaudit.evaluation import CONFIDENCE
from lensaudit.finders import Finder
from lensaudit.finders.architectures.cae_bgm import CaeBgm
from lensaudit.finders.layers import MixtureHead
from lensaudit.records import Number, Record
from lensaudit.statistics import Proportion, auroc, auroc_interval, bootstrap_interval, wilson_interval
from lensaudit.training.prepared import Advance

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet


RATIOS = (1, 2, 20, 50, 100, 1000, 10_000)
"""Non-lenses per lens, Table 1 of Cheng et al. 2020."""

DRAWS = 20_000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Between(Record):
    """A number with its 95 % interval."""

    value: Number
    low: Number
    high: Number

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g}–{self.high:.3g})"


@dataclass(frozen=True)
class AtRatio(Record):
    """Metrics of one finder where there are `ratio` non-lenses to each lens; recall and AUROC do not depend on it."""

    ratio: float
    auroc: Between
    recall: Between
    precision: Between
    f1: Between
    accuracy: Between


def at_ratios(
    labels: ArrayLike,
    logits: ArrayLike,
    threshold_logit: float = 0.0,
    ratios: Sequence[float] = RATIOS,
    seed: int = 0,
) -> tuple[AtRatio, ...]:
    """Metrics at each of `ratios`.

    Intervals of precision, F1 and accuracy come from draws of recall and false-positive rate out of their Jeffreys
    posteriors (Brown, Cai & DasGupta 2001), which leave room for false positives where none was seen; that of the
    AUROC is DeLong's.

    Parameters
    ----------
    labels, logits
        1 lens, 0 non-lens, others left out, and log-odds (n,).
    threshold_logit
        An image is called a lens from here on.

    Raises
    ------
    DataError
        A class is missing.
    """
    label, score = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    lenses, others = score[label == 1], score[label == 0]
    if not (len(lenses) and len(others)):
        raise DataError("class ratios need lenses and non-lenses with labels; give a set with both as --test")
    generator = np.random.default_rng([seed, 1])
    counts = [(int((part >= threshold_logit).sum()), len(part)) for part in (lenses, others)]
    rates = [k / n for k, n in counts]
    drawn = [generator.beta(k + 0.5, n - k + 0.5, DRAWS) for k, n in counts]
    area = Between(auroc(lenses, others), *auroc_interval(lenses, others, CONFIDENCE))
    found = []
    for ratio in ratios:
        points = _metrics(np.array(rates[0]), np.array(rates[1]), ratio)
        spread = _metrics(drawn[0], drawn[1], ratio)
        found.append(AtRatio(ratio, area, *(_between(*pair) for pair in zip(points, spread, strict=True))))
    return tuple(found)


def _metrics(recall: Array, false_positive_rate: Array, ratio: float) -> tuple[Array, Array, Array, Array]:
    """Recall, precision, F1 and accuracy; a precision without a call counts as 0."""
    called = recall + ratio * false_positive_rate
    precision = np.divide(recall, called, out=np.zeros_like(called), where=called > 0)
    accuracy = (recall + ratio * (1 - false_positive_rate)) / (1 + ratio)
    return recall, precision, 2 * recall / (1 + called), accuracy


def _between(value: Array, drawn: Array) -> Between:
    low, high = np.quantile(drawn, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Between(float(value), min(float(low), float(value)), max(float(high), float(value)))


@dataclass(frozen=True)
class Splitting(Record):
    """What the eight rotations and mirrors of the images do.

    Attributes
    ----------
    n
        Images.
    by_one
        Fraction of the seven other orientations in which the most likely cluster is another one; interval over images.
    ever
        Images that change their cluster in at least one of the seven.
    by_chance
        Fraction of pairs of different images that are in different clusters: what `by_one` would be if the cluster had
        nothing to do with the image.
    call
        Images whose call at p = 0.5 changes in at least one of the seven.
    """

    n: int
    by_one: Between
    ever: Proportion
    by_chance: float
    call: Proportion


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
        Proportion.of(int(changed.any(axis=1).sum()), n),
        _different(clusters[:, 0]),
        Proportion.of(int((called[:, 1:] != called[:, :1]).any(axis=1).sum()), n),
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


_CHUNK = 32


@dataclass(frozen=True)
class SourceOnly(Record):
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
        Fraction of the variance of the Einstein radius, and of the arc's place (cosine and sine of its position angle),
        between clusters, among the lenses; adjusted for the number of clusters, so that 0 is chance.
    """

    n_lenses: int
    n_empty: int
    clusters: int
    pure: Proportion
    radius: Between
    angle: Between


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
        Proportion.of(pure, len(clusters)),
        _explained(radius[lit, None], clusters[lit], seed),
        _explained(np.stack([np.cos(turn), np.sin(turn)], axis=1)[lit], clusters[lit], seed),
    )


def explained(values: NDArray[np.float64], groups: NDArray[np.intp]) -> float:
    """Fraction of the variance of values (n, d) between groups (n,), adjusted (ε² of Kelley 1935): 0 by chance."""
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
