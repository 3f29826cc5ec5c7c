"""Which images to label next: those whose labels are expected to teach a finder most, spread out, and some at random.

**Expected gain.** A label removes the uncertainty that more labels can remove. Of a committee that is the mutual
information of the label and of which member is right, I = H(mean p) − mean H(p), in nats (Houlsby et al. 2011, BALD):
where all members say one half it is 0, for no label teaches which of them is right. Of one finder alone it is the
entropy of its p, which is highest near one half and counts what no label can remove, too.

**Spread.** The highest gains lie together. Of a pool of the highest, images are taken one after the other: the next is
the one with the largest gain times its distance to the nearest taken (a weighted k-centre; Gonzalez 1985), in the
members' log-odds or in an embedding, each number in units of its standard deviation in the pool.

**At random.** A fraction is drawn from all others with equal chances. What was chosen for its gain stands for itself
alone, and each random one for the others over the number drawn: with these weights, sums over the labelled images are
unbiased for all images (Horvitz & Thompson 1952), as the choice rests on scores and not on labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.audit_plan import numbers_of
from lensaudit.evaluation.scored_rows import Rows, ScoredRows
from lensaudit.evaluation.vectors import vectors_of
from lensaudit.provenance import Provenance
from lensaudit.records import Record
from lensaudit.statistics import entropy

Array = NDArray[np.float64]

POOL = 20
"""Candidates for each image that is chosen for its gain: the spread is over these."""
LEAST_POOL = 1000
FARTHEST_LOGIT = 12.0
"""Log-odds beyond which members are not told apart, so that no single one spreads the pool."""

INFORMATION, ENTROPY = "information", "entropy"
GAIN_WORDS = {
    INFORMATION: "mutual information of label and member (BALD), in nats",
    ENTROPY: "entropy of p, in nats",
}
RANDOM = "drawn at random"


@dataclass(frozen=True)
class LabelSettings:
    """What is asked for.

    Attributes
    ----------
    n
        Images to label.
    random
        Fraction of them that is drawn at random.
    seed
        Of the random ones.
    gain
        ``information`` or ``entropy``; empty: information where the scores are of a committee.
    """

    n: int = 100
    random: float = 0.2
    seed: int = 0
    gain: Literal["", "information", "entropy"] = ""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"--n {self.n}: at least 1 is needed")
        if self.gain not in ("", *GAIN_WORDS):
            raise UsageError(f"--gain {self.gain}: is not known; give {' or '.join(GAIN_WORDS)}")
        if not 0 <= self.random <= 1:
            raise UsageError(f"--random {self.random:g}: is no fraction; give a number from 0 to 1")

    @property
    def drawn(self) -> int:
        """Images that are drawn at random."""
        return round(self.random * self.n)


@dataclass(frozen=True)
class LabelPlan(Record):
    """What was chosen, and from what.

    Attributes
    ----------
    images, unscored, left_out
        Scored images that were chosen from, those without a score, and those that have a label already.
    by_gain, at_random
        Images chosen for their gain and drawn at random.
    gain, spread
        What the gain is, and in what distances are measured.
    weight
        How many images each random one stands for; 0 without any.
    """

    images: int
    unscored: int
    left_out: int
    by_gain: int
    at_random: int
    gain: str
    spread: str
    weight: float
    provenance: Provenance


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Some images: row of the scores, id, gain, members' log-odds (m, members), p, and what a committee says."""

    row: NDArray[np.int64]
    ids: NDArray[np.object_]
    gain: Array
    logits: Array
    p: Array
    more: dict[str, Array]

    def taken(self, rows: NDArray[np.intp]) -> _Candidates:
        """Those of `rows`, in that order."""
        more = {name: values[rows] for name, values in self.more.items()}
        return _Candidates(self.row[rows], self.ids[rows], self.gain[rows], self.logits[rows], self.p[rows], more)

    def and_(self, other: _Candidates) -> _Candidates:
        """These and the others."""
        more = {name: np.concatenate([values, other.more[name]]) for name, values in self.more.items()}
        row, ids = np.concatenate([self.row, other.row]), np.concatenate([self.ids, other.ids])
        gain, p = np.concatenate([self.gain, other.gain]), np.concatenate([self.p, other.p])
        return _Candidates(row, ids, gain, np.concatenate([self.logits, other.logits]), p, more)


def to_label(
    scores: Sequence[ScoredRows],
    settings: LabelSettings,
    known: frozenset[str] = frozenset(),
    embedding: Path | None = None,
) -> tuple[LabelPlan, pa.Table]:
    """Choose which of any number of scored images to label.

    One pass over the scores; memory grows with `n`, not with the images.

    Parameters
    ----------
    scores
        Of one finder or committee, or of several finders on the same images in the same order: its members.
    known
        Ids that have a label already.
    embedding
        Vectors of the images, in which they are spread out: see `lensaudit.evaluation.vectors.vectors_of`.

    Returns
    -------
    plan, table
        The table has ``order``, ``id``, ``reason``, ``gain``, ``p_lens``, ``logit``, what a committee says of the
        image, ``probability`` of being chosen and ``weight``. Random ones are spread evenly over the order, so that
        whoever stops half way has labelled half of each.

    Raises
    ------
    UsageError
        A gain is asked for that these scores do not have, or fewer images are left than asked for.
    DataError
        Scores are torn, or not of the same images; vectors are missing.
    """
    gain = _gain_of(scores, settings)
    by_gain, drawn = settings.n - settings.drawn, settings.drawn
    size = max(POOL * by_gain, LEAST_POOL) if by_gain else 0
    pool, random, counts = None, None, np.zeros(3, np.int64)
    for candidates, keys, counted in _candidates(scores, gain, settings.seed, known):
        counts += counted
        pool = _highest(candidates.gain, candidates, pool, size)
        random = _highest(-keys.astype(float), candidates, random, settings.n)
    images = int(counts[0])
    if pool is None or random is None or images < settings.n:
        raise UsageError(f"--n {settings.n}: only {images} images have a score and no label yet; ask for fewer")
    space = "the members' log-odds" if embedding is None else f"the vectors of {embedding.name}"
    vectors = np.clip(pool[1].logits, -FARTHEST_LOGIT, FARTHEST_LOGIT) if embedding is None else None
    if vectors is None:
        assert embedding is not None
        vectors = vectors_of(embedding, pool[1].ids.tolist(), pool[1].row)
    chosen = pool[1].taken(spread_out(pool[1].gain, vectors, by_gain))
    free = np.flatnonzero(~np.isin(random[1].row, chosen.row))[:drawn]
    others = random[1].taken(free)
    weight = (images - by_gain) / drawn if drawn else 0.0
    plan = LabelPlan(
        images, int(counts[1]), int(counts[2]), by_gain, drawn, GAIN_WORDS[gain], space, weight,
        Provenance.here(seed=settings.seed, inputs=_inputs(scores)),
    )  # fmt: skip
    return plan, _table(chosen, others, gain, weight)


def spread_out(gain: Array, vectors: Array, n: int) -> NDArray[np.intp]:
    """Rows of the `n` images chosen one after the other by gain times distance to the nearest chosen.

    Parameters
    ----------
    gain
        Not negative (m,); ties go to the first.
    vectors
        (m, d); numbers of no spread are left out.
    """
    if not len(gain):
        return np.empty(0, np.intp)
    spread = vectors.std(axis=0)
    scaled = (vectors - vectors.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    nearest, chosen = np.full(len(gain), np.inf), np.empty(min(n, len(gain)), np.intp)
    free = np.ones(len(gain), bool)
    for place in range(len(chosen)):
        worth = gain if place == 0 else gain * nearest
        best = worth[free].max()
        ties = free & (worth >= best)
        chosen[place] = np.flatnonzero(ties)[np.argmax(gain[ties])]
        free[chosen[place]] = False
        nearest = np.minimum(nearest, np.sqrt(((scaled - scaled[chosen[place]]) ** 2).sum(axis=1)))
    return chosen


def _gain_of(scores: Sequence[ScoredRows], settings: LabelSettings) -> str:
    """Which gain is meant, and that these scores have it."""
    if not scores:
        raise UsageError("no scores are given; write them with lensaudit score")
    committee = len(scores) > 1 or INFORMATION in scores[0].names
    if settings.gain == INFORMATION and not committee:
        raise UsageError(
            f"--gain {INFORMATION}: {scores[0].path} is of one finder; give the scores of several, or of a committee"
        )
    return settings.gain or (INFORMATION if committee else ENTROPY)


def _candidates(
    scores: Sequence[ScoredRows], gain: str, seed: int, known: frozenset[str]
) -> Iterator[tuple[_Candidates, NDArray[np.uint64], NDArray[np.int64]]]:
    """Images to choose from, with their random numbers, and how many there are, have no score, have a label."""
    there = scores[0].names if len(scores) == 1 else ()
    more = tuple(name for name in ("disagreement", "votes", INFORMATION) if name in there)
    for pieces in _together(scores, more):
        first, logits = pieces[0], np.column_stack([one.logit for one in pieces])
        ids = np.asarray(first.ids.to_pylist(), object)
        scored = np.isfinite(logits).all(axis=1)
        labelled = np.array([name in known for name in ids], bool) if known else np.zeros(len(ids), bool)
        kept = np.flatnonzero(scored & ~labelled)
        numbers = first.first + kept
        counted = np.array([len(kept), int((~scored).sum()), int((scored & labelled).sum())])
        p = np.column_stack([one.p for one in pieces])[kept]
        told = {name: first.more[name][kept] for name in more} | _told_by(logits[kept], p)
        value = told[INFORMATION] if gain == INFORMATION else entropy(p.mean(axis=1))
        found = _Candidates(numbers, ids[kept], np.nan_to_num(value), logits[kept], p.mean(axis=1), told)
        yield found, numbers_of(numbers, seed), counted


def _told_by(logits: Array, p: Array) -> dict[str, Array]:
    """What several finders say of the images as a committee; nothing of one."""
    if logits.shape[1] == 1:
        return {}
    information = entropy(p.mean(axis=1)) - entropy(p).mean(axis=1)
    return {"disagreement": logits.std(axis=1), INFORMATION: np.maximum(information, 0.0)}


def _together(scores: Sequence[ScoredRows], more: tuple[str, ...]) -> Iterator[list[Rows]]:
    """The same rows of all the scores, whatever pieces each is read in.

    Raises
    ------
    DataError
        They are not of the same images in the same order.
    """
    readers = [one.pieces(more) for one in scores]
    waiting: list[Rows | None] = [None] * len(scores)
    while True:
        waiting = [next(reader, None) if rows is None else rows for reader, rows in zip(readers, waiting, strict=True)]
        there = [rows for rows in waiting if rows is not None and len(rows.logit)]
        if not any(rows is not None for rows in waiting):
            return
        if len(there) < len(scores):
            short = scores[next(at for at, rows in enumerate(waiting) if rows is None or not len(rows.logit))]
            raise DataError(f"{short.path}: has fewer images than {scores[0].path}; give scores of the same images")
        size = min(len(rows.logit) for rows in there)
        heads = [_part(rows, 0, size) for rows in there]
        for one, head in zip(scores[1:], heads[1:], strict=True):
            if not head.ids.equals(heads[0].ids):
                other = zip(head.ids.to_pylist(), heads[0].ids.to_pylist(), strict=True)
                at, (a, b) = next((at, pair) for at, pair in enumerate(other) if pair[0] != pair[1])
                raise DataError(
                    f"{one.path}: row {head.first + at + 1} is image {a}, in {scores[0].path} it is {b}; give scores "
                    f"of the same images in the same order"
                )
        yield heads
        waiting = [None if len(rows.logit) == size else _part(rows, size, len(rows.logit)) for rows in there]


def _part(rows: Rows, first: int, end: int) -> Rows:
    span = slice(first, end)
    more = {name: values[span] for name, values in rows.more.items()}
    return Rows(rows.first + first, rows.ids.slice(first, end - first), rows.logit[span], rows.p[span], more)


_Kept = tuple[Array, _Candidates]


def _highest(worth: Array, new: _Candidates, kept: _Kept | None, most: int) -> _Kept:
    """The `most` images with the highest worth so far, the highest first; ties in the order of the rows."""
    both = new if kept is None else kept[1].and_(new)
    values = worth if kept is None else np.concatenate([kept[0], worth])
    order = np.lexsort((both.row, -values))[:most]
    return values[order], both.taken(order)


def _table(chosen: _Candidates, others: _Candidates, gain: str, weight: float) -> pa.Table:
    """Both, evenly mixed, as a table."""
    n, drawn = len(chosen.row) + len(others.row), len(others.row)
    places = np.floor((np.arange(drawn) + 0.5) * n / max(drawn, 1)).astype(int)
    random = np.zeros(n, bool)
    random[places] = True
    source = np.empty(n, np.intp)
    source[~random], source[random] = np.arange(n - drawn), n - drawn + np.arange(drawn)
    both = chosen.and_(others).taken(source)
    why = [RANDOM if one else f"high {GAIN_WORDS[gain].split(',')[0]}" for one in random]
    columns: dict[str, object] = {"order": np.arange(1, n + 1), "id": both.ids.tolist(), "reason": why}
    columns |= {"gain": both.gain, "p_lens": both.p, "logit": both.logits.mean(axis=1), **both.more}
    columns |= {
        "probability": np.where(random, 1 / weight if weight else 0.0, 1.0),
        "weight": np.where(random, weight, 1.0),
    }
    return pa.table(columns)


def _inputs(scores: Sequence[ScoredRows]) -> dict[str, str]:
    if len(scores) == 1:
        return scores[0].inputs
    return {f"{name} {place}": value for place, one in enumerate(scores, 1) for name, value in one.inputs.items()}
