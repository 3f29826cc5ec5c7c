"""Who lies near the images a finder is wrong about: exact neighbours in the embedding, and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensaudit.embedding.result import Error, Neighbour, Neighbourhood, Neighbours
from lensaudit.embedding.vectors import Vectors
from lensaudit.statistics import bootstrap_interval

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = ("cosine", "euclidean")

OUTCOMES = ("false negatives", "lenses found", "false positives", "non-lenses refused")

MOST = 2000
"""Images of an outcome that are looked at, the worst errors first, of what is right evenly spread."""

FEW = 5
"""Fewer images have no interval: a resample of one is always itself."""

KEPT = 12
"""Errors of each kind in the record; all that were looked at stand in the table."""

Distances = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What neighbours are asked for.

    Attributes
    ----------
    metric
        ``cosine`` (1 − cosine of the angle) or ``euclidean``.
    k
        How many; fewer where there are fewer images.
    """

    metric: str = "cosine"
    k: int = 10


def nearest(
    queries: NDArray[np.float32],
    among: NDArray[np.float32],
    asked: Asked,
    own: NDArray[np.intp] | None = None,
) -> tuple[Distances, NDArray[np.intp]]:
    """Distances and places (q, k) in `among` of the nearest, the nearest first; exact.

    Parameters
    ----------
    queries, among
        (q, d) and (m, d), all finite.
    own
        Place of each query in `among`, which is left out (q,); None where it is not there.
    """
    from sklearn.neighbors import NearestNeighbors

    own_too = own is not None
    k = max(0, min(asked.k, len(among) - own_too))
    if not k or not len(queries):
        return np.empty((len(queries), k)), np.empty((len(queries), k), np.intp)
    finder = NearestNeighbors(n_neighbors=k + own_too, metric=asked.metric, algorithm="brute", n_jobs=1)
    distance, place = finder.fit(among.astype(np.float64)).kneighbors(queries.astype(np.float64))
    if own is None:
        return distance, place
    itself = place == own[:, None]
    itself[~itself.any(axis=1), -1] = True  # one of many doubles: as many other images lie as near
    rest = ~itself
    return distance[rest].reshape(-1, k), place[rest].reshape(-1, k)


def outcomes(vectors: Vectors, threshold: float) -> dict[str, NDArray[np.intp]]:
    """Outcome → its places, errors the worst first."""
    called, lens, other = vectors.p >= threshold, vectors.labels == 1, vectors.labels == 0
    good, z = vectors.good, vectors.logit
    places = (np.flatnonzero(one & good) for one in (lens & ~called, lens & called, other & called, other & ~called))
    missed, found, false, refused = places
    return {
        OUTCOMES[0]: missed[np.argsort(z[missed], kind="stable")],
        OUTCOMES[1]: found,
        OUTCOMES[2]: false[np.argsort(-z[false], kind="stable")],
        OUTCOMES[3]: refused,
    }


def neighbours_of(
    vectors: Vectors,
    gallery: Vectors,
    threshold: float,
    asked: Asked,
    among: str,
    generator: np.random.Generator,
) -> tuple[Neighbours | None, pa.Table | None]:
    """Neighbours of every error and, to compare, of what is right; and a row for each error and neighbour.

    None where nothing has a label, and no row where nothing is wrong.

    Parameters
    ----------
    gallery
        Where neighbours are looked for; `vectors` themselves where it is the same set.
    among
        Name of the gallery's set.
    generator
        Of the bootstrap.
    """
    itself = gallery is vectors
    known = gallery.taken(gallery.good)
    place_of = np.full(len(gallery.rows), -1, np.intp)
    place_of[gallery.good] = np.arange(len(known.rows))
    by = outcomes(vectors, threshold)
    if not sum(map(len, by.values())) or len(known.rows) <= itself:
        return None, None
    groups, errors, rows = [], [], []
    for outcome, places in by.items():
        wrong = outcome in (OUTCOMES[0], OUTCOMES[2])
        some = places[:MOST] if wrong else places[np.linspace(0, len(places) - 1, min(MOST, len(places))).astype(int)]
        if not len(some):
            continue
        distance, near = nearest(vectors.values[some], known.values, asked, place_of[some] if itself else None)
        fraction = _non_lenses(known.labels[near])
        enough = fraction[np.isfinite(fraction)] if np.isfinite(fraction).sum() >= FEW else np.empty(0)
        low, high = bootstrap_interval([enough], np.mean, generator)
        mean = float(np.nanmean(fraction)) if np.isfinite(fraction).any() else float("nan")
        groups.append(Neighbourhood(outcome, len(some), mean, low, high, float(np.median(distance[:, 0]))))
        if wrong:
            made = [_error(vectors, known, *one) for one in zip(some, distance, near, fraction, strict=True)]
            errors += made[:KEPT]
            rows += made
    labelled = known.labels[known.labels >= 0]
    base = float(np.mean(labelled == 0)) if len(labelled) else float("nan")
    k = max(0, min(asked.k, len(known.rows) - itself))
    found = Neighbours(asked.metric, k, among, itself, len(known.rows), base, tuple(groups), tuple(errors))
    return found, table_of(rows) if rows else None


def _non_lenses(labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Fraction of non-lenses among the labelled of each row; NaN where there are none."""
    known = (labels >= 0).sum(axis=1)
    return np.where(known > 0, (labels == 0).sum(axis=1) / np.maximum(known, 1), np.nan)


def _error(
    vectors: Vectors, gallery: Vectors, place: int, distance: Distances, near: NDArray[np.intp], fraction: float
) -> Error:
    p = gallery.p[near]
    found = zip(near, distance, gallery.labels[near], p, strict=True)
    neighbours = tuple(Neighbour(gallery.ids[j], float(d), int(label), float(q)) for j, d, label, q in found)
    p_own, z = float(vectors.p[place]), float(vectors.logit[place])
    return Error(vectors.ids[place], int(vectors.labels[place]), p_own, z, float(fraction), neighbours)


def table_of(errors: list[Error]) -> pa.Table:
    """Columns ``id``, ``label``, ``p_lens``, ``rank``, ``neighbour``, ``distance``, ``neighbour_label``,
    ``neighbour_p_lens``."""
    import pyarrow as pa

    pairs = [(one, rank, other) for one in errors for rank, other in enumerate(one.neighbours, 1)]
    return pa.table(
        {
            "id": pa.array([one.id for one, _, _ in pairs], pa.string()),
            "label": pa.array([one.label for one, _, _ in pairs], pa.int8()),
            "p_lens": pa.array([one.p for one, _, _ in pairs], pa.float64()),
            "rank": pa.array([rank for _, rank, _ in pairs], pa.int32()),
            "neighbour": pa.array([other.id for _, _, other in pairs], pa.string()),
            "distance": pa.array([other.distance for _, _, other in pairs], pa.float64()),
            "neighbour_label": pa.array([other.label for _, _, other in pairs], pa.int8()),
            "neighbour_p_lens": pa.array([other.p for _, _, other in pairs], pa.float64()),
        }
    )
