"""Which of any number of scored images to look at: a few of each stratum of the score, each with its weight.

Two passes over the scores. The first counts them on a fine grid of log-odds and places the edges of the strata, so that
their order and the files they lie in do not matter; the second counts each stratum and keeps the images whose number
(of their row and the seed alone) is the smallest. Memory does not grow with the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.display.numbers import count, significant
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation.scored_rows import FURTHEST, Rows, ScoredRows, lowest_called
from lensaudit.provenance import Provenance
from lensaudit.records import Number, Record
from lensaudit.statistics.stratified import allocated

Array = NDArray[np.float64]
Allocation = Literal["optimum", "neyman", "proportional"]

_STEPS = 1 << 17
_GRID = np.linspace(-FURTHEST, FURTHEST, _STEPS + 1)
_TRUSTED, _SATURATED = 1e-3, 5.0
"""The smallest p of a stratum that an allocation believes; log-odds from which on p tells strata no more apart."""
_SAMPLE = 100_000
"""Images that tell the edges of the further column."""


@dataclass(frozen=True)
class PlanSettings:
    """What is asked for.

    Attributes
    ----------
    budget
        Images to look at.
    strata
        Of the log-odds, about; one more edge is the threshold.
    by, classes
        A further column of the scores, and into how many classes of equal size each stratum is divided by it.
    allocation
        ``proportional`` to the images of a stratum; ``neyman``: times the standard deviation of the label there, for
        the number of lenses; ``optimum``: for precision and recall, whose relative variances add up to the least.
    least
        Images of every stratum at least, where the budget has so many.
    threshold
        On p; None: the finder's.
    """

    budget: int = 1000
    strata: int = 12
    by: str = ""
    classes: int = 3
    allocation: Allocation = "optimum"
    least: int = 10
    threshold: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("budget", 2), ("strata", 1), ("classes", 2), ("least", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)} is too few; give {least} or more")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold:g} is no p of a lens; give a number between 0 and 1")


@dataclass(frozen=True)
class PlanStratum(Record):
    """One stratum: log-odds in (low, high], of the further column too if there is one.

    Attributes
    ----------
    by_low, by_high
        Of the further column; NaN without one, and where the images have no value.
    images, planned
        In the scores, and to be looked at.
    mean_p
        Of its images, by the best probability that the scores have.
    called
        Whether its images are called lenses.
    """

    low: float
    high: float
    by_low: Number
    by_high: Number
    images: int
    planned: int
    mean_p: Number
    called: bool

    @property
    def weight(self) -> float:
        """How many images each one of the sample stands for."""
        return self.images / self.planned if self.planned else math.nan

    @property
    def words(self) -> str:
        """Its range of p, or of log-odds where p is nearly 1."""
        low, high = (significant(float(expit(one))) for one in (self.low, self.high))
        ends = f"p {low if self.low > -FURTHEST else 0} to {high if self.high < FURTHEST else 1}"
        ends = f"log-odds {self.low:.3g} to {self.high:.3g}" if self.low > _SATURATED else ends
        if math.isnan(self.by_low) and math.isnan(self.by_high):
            return ends
        return f"{ends}, {significant(self.by_low)} to {significant(self.by_high)}"


@dataclass(frozen=True)
class AuditPlan(Record):
    """Which images are looked at, and what each stands for.

    Attributes
    ----------
    scores, finder
        Where the scores lie, and whose they are; empty where they do not say.
    threshold
        On p, at which lenses are called.
    predicted_by
        Column of the probability that the allocation rests on.
    images, unscored
        With a score, and those without, which are in no stratum.
    expected
        Sum of that probability: lenses that the finder expects.
    """

    ALSO = ("planned",)

    scores: str
    finder: str
    threshold: float
    allocation: str
    predicted_by: str
    by: str
    images: int
    unscored: int
    expected: Number
    strata: tuple[PlanStratum, ...]
    seed: int
    provenance: Provenance

    @property
    def planned(self) -> int:
        """Images to look at."""
        return sum(one.planned for one in self.strata)


@dataclass(frozen=True, eq=False)
class PlannedImages:
    """The images of a plan, in the order in which they are to be looked at (n,).

    Attributes
    ----------
    stratum
        Number of each one's, from 0.
    more
        Further columns of the scores.
    """

    ids: tuple[str, ...]
    row: NDArray[np.int64]
    stratum: NDArray[np.int64]
    logit: Array
    probability: Array
    more: dict[str, Array] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """Columns id, row, stratum, logit, probability, weight and the further ones."""
        columns = {"id": self.ids, "row": self.row, "stratum": self.stratum, "logit": self.logit}
        return pa.table({**columns, "probability": self.probability, "weight": 1 / self.probability, **self.more})


def audit_plan(scores: ScoredRows, settings: PlanSettings) -> tuple[AuditPlan, PlannedImages]:
    """Plan which images to look at.

    Raises
    ------
    UsageError
        The budget is too small for so many strata.
    DataError
        No image has a score, or the scores are torn.
    """
    by = scores.column(settings.by) if settings.by else ""
    carried = tuple(name for name in ("ra", "dec") if name in scores.names)
    more = tuple(dict.fromkeys((*((by,) if by else ()), *carried)))
    p = settings.threshold or scores.threshold or 0.5
    census = _counted(scores, by, settings)
    if not census.counts.sum():
        raise DataError(f"{scores.path}: no image has a score, so there is nothing to plan")
    edge = float(np.nextafter(lowest_called(p), -np.inf))  # strata are (low, high]
    edges = _edges(census.counts, settings, edge)
    kept = _Kept(edges, _by_edges(census.sample, settings), settings)
    for rows in scores.pieces(more):
        kept.take(rows, by)
    called = np.repeat(edges[:-1] >= edge, kept.classes)
    sizes, mean = kept.images, kept.expected / np.maximum(kept.images, 1)
    there = np.flatnonzero(sizes)
    planned = np.zeros(len(sizes), np.int64)
    share = _shares(sizes[there], mean[there], called[there], settings.allocation)
    least = min(settings.least, settings.budget // len(there))  # a small budget is spread thinner
    if least < 2:
        raise UsageError(f"--budget {settings.budget} is less than two images of each of {len(there)} strata; give a "
                         f"larger one, or fewer --strata")  # fmt: skip
    planned[there] = allocated(sizes[there].tolist(), share, settings.budget, least)
    strata = [
        PlanStratum(*kept.ends(s), int(sizes[s]), int(planned[s]), float(mean[s]), bool(called[s]))
        for s in there.tolist()
    ]
    plan = AuditPlan(
        scores=str(scores.path),
        finder=scores.finder,
        threshold=p,
        allocation=settings.allocation,
        predicted_by=scores.best_p,
        by=by,
        images=int(sizes.sum()),
        unscored=census.unscored,
        expected=float(kept.expected.sum()),
        strata=tuple(strata),
        seed=settings.seed,
        provenance=Provenance.here(seed=settings.seed, inputs=scores.inputs),
    )
    return plan, kept.images_of(there, planned[there])


@dataclass(frozen=True)
class _Census:
    """Images in each step of the grid of log-odds, those without a score, some values of the further column."""

    counts: NDArray[np.int64]
    unscored: int
    sample: Array


def _counted(scores: ScoredRows, by: str, settings: PlanSettings) -> _Census:
    counts, unscored, kept = np.zeros(_STEPS, np.int64), 0, (np.empty(0, np.uint64), np.empty(0))
    for rows in scores.pieces((by,) if by else ()):
        known = np.isfinite(rows.logit)
        unscored += int((~known).sum())
        counts += np.bincount(_step(rows.logit[known]), minlength=_STEPS)
        if by:
            value = rows.more[by]
            good = known & np.isfinite(value)
            keys = np.r_[kept[0], numbers_of(np.arange(rows.first, rows.first + len(known)), settings.seed)[good]]
            values = np.r_[kept[1], value[good]]
            if len(keys) > _SAMPLE:
                first = np.argpartition(keys, _SAMPLE)[:_SAMPLE]
                keys, values = keys[first], values[first]
            kept = (keys, values)
    return _Census(counts, unscored, kept[1])


def _step(log_odds: Array) -> NDArray[np.intp]:
    """Step (low, high] of the grid in which each one lies."""
    return np.clip(np.searchsorted(_GRID, log_odds, side="left") - 1, 0, _STEPS - 1)


def _edges(counts: NDArray[np.int64], settings: PlanSettings, edge: float) -> Array:
    """Edges of the strata: the fraction of images above them falls from one to the next by one factor.

    The top stratum holds as many images as its part of the budget, or the highest millionth; the threshold, which need
    not lie on the grid, takes the place of the nearest edge or comes in between.
    """
    n = int(counts.sum())
    above = np.r_[np.cumsum(counts[::-1])[::-1], 0]  # of each point of the grid
    top = min(max(settings.budget / settings.strata, n * 1e-6), n / 2)
    wanted = np.geomspace(n, top, settings.strata)[1:]
    places = [_STEPS - int(np.searchsorted(above[::-1], one, side="left")) for one in wanted]
    inner = sorted({place for place in places if 0 < above[place] < n})
    return np.unique(np.r_[-np.inf, [_GRID[place] for place in inner], edge, np.inf])


def _by_edges(sample: Array, settings: PlanSettings) -> Array:
    """Inner edges of the classes of the further column; images without a value are a class of their own."""
    if not settings.by or not len(sample):
        return np.empty(0)
    return np.unique(np.quantile(sample, np.linspace(0, 1, settings.classes + 1)[1:-1]))


def numbers_of(rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A number for each row, as good as random, of (seed, row) alone: SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64((seed * 0xD1342543DE82EF95 + 0x2545F4914F6CDD1D) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


class _Kept:
    """Counts of each stratum, and its images with the smallest numbers, no more than the budget."""

    def __init__(self, edges: Array, by_edges: Array, settings: PlanSettings) -> None:
        self.edges, self.by_edges, self.settings = edges, by_edges, settings
        self.classes = len(by_edges) + 2 if settings.by else 1
        n = (len(edges) - 1) * self.classes
        self.images, self.expected = np.zeros(n, np.int64), np.zeros(n)
        self._limit = np.full(n, np.iinfo(np.uint64).max, np.uint64)
        self._found: list[pa.Table] = [pa.table({}) for _ in range(n)]

    def take(self, rows: Rows, by: str) -> None:
        """Look at the next rows."""
        known = np.isfinite(rows.logit)
        stratum = np.clip(np.searchsorted(self.edges, rows.logit, side="left") - 1, 0, len(self.edges) - 2)
        if by:
            value = rows.more[by]
            kind = np.where(np.isfinite(value), np.searchsorted(self.by_edges, value, side="left"), self.classes - 1)
            stratum = stratum * self.classes + kind
        self.images += np.bincount(stratum[known], minlength=len(self.images))
        self.expected += np.bincount(stratum[known], np.nan_to_num(rows.p[known]), minlength=len(self.images))
        numbers = numbers_of(np.arange(rows.first, rows.first + len(known)), self.settings.seed)
        chosen = np.flatnonzero(known & (numbers <= self._limit[np.where(known, stratum, 0)]))
        for place in np.unique(stratum[chosen]).tolist():
            self._add(place, chosen[stratum[chosen] == place], rows, numbers)

    def _add(self, place: int, chosen: NDArray[np.intp], rows: Rows, numbers: NDArray[np.uint64]) -> None:
        columns = {"number": numbers[chosen], "id": rows.ids.take(pa.array(chosen)), "row": rows.first + chosen}
        columns |= {"logit": rows.logit[chosen], **{name: values[chosen] for name, values in rows.more.items()}}
        new = pa.table(columns)
        found = new if not self._found[place].num_columns else pa.concat_tables([self._found[place], new])
        if len(found) > self.settings.budget:
            keys = found.column("number").to_numpy()
            first = np.argpartition(keys, self.settings.budget)[: self.settings.budget]
            found = found.take(pa.array(first)).combine_chunks()
            self._limit[place] = found.column("number").to_numpy().max()
        self._found[place] = found

    def ends(self, place: int) -> tuple[float, float, float, float]:
        """Edges of a stratum: of the log-odds, and of the further column."""
        of_score, of_class = divmod(place, self.classes)
        low, high = np.clip(self.edges[[of_score, of_score + 1]], -FURTHEST, FURTHEST).tolist()
        if self.classes == 1 or of_class == self.classes - 1:
            return low, high, math.nan, math.nan
        ends = np.r_[-np.inf, self.by_edges, np.inf][[of_class, of_class + 1]]
        return low, high, *(float(np.clip(one, -1e300, 1e300)) for one in ends)

    def images_of(self, places: NDArray[np.intp], planned: NDArray[np.int64]) -> PlannedImages:
        """So many of each stratum, mixed so that whoever stops after some has as large a part of every stratum."""
        parts, stratum, turn = [], [], []
        for number, (place, n) in enumerate(zip(places.tolist(), planned.tolist(), strict=True)):
            found = self._found[place]
            parts.append(found.take(pa.array(np.argsort(found.column("number").to_numpy(), kind="stable")[:n])))
            stratum.append(np.full(n, number))
            turn.append((np.arange(n) + 0.5) / max(n, 1))
        of, whole = np.concatenate(stratum), pa.concat_tables(parts)
        order = np.lexsort((whole.column("number").to_numpy(), np.concatenate(turn)))
        table, of = whole.take(pa.array(order)), of[order]
        chance = planned[of] / self.images[places][of]
        more = {n: table.column(n).to_numpy() for n in table.column_names if n not in ("number", "id", "row", "logit")}
        row, odds = (table.column(name).to_numpy() for name in ("row", "logit"))
        return PlannedImages(tuple(table.column("id").to_pylist()), row, of.astype(np.int64), odds, chance, more)


def _shares(sizes: NDArray[np.int64], p: Array, called: NDArray[np.bool_], allocation: Allocation) -> Array:
    """What part of the budget each stratum asks for, up to one factor.

    With the predicted p of each stratum the variance of a sum of lenses is Σ N² p (1 − p) / n, least for a given Σ n
    where n is in proportion to N √(p (1 − p)) (Neyman 1934). Precision is A / N_called and recall A / (A + B), with A
    lenses called and B lost: relative variances are linear in those of A and B, so n is in proportion to the same times
    √(1 / A² + (B / (A (A + B)))²) where lenses are called and 1 / (A + B) elsewhere. Finders are surer than
    they should be: p counts as ½ above it, and as 0.001 below that, or nobody would look where most images are.
    """
    if allocation == "proportional":
        return sizes.astype(float)
    safe = np.clip(p, 1 / np.maximum(sizes, 2), 1 - 1 / np.maximum(sizes, 2))
    held = np.clip(p, _TRUSTED, 0.5)
    neyman = sizes * np.sqrt(held * (1 - held))
    if allocation == "neyman":
        return np.asarray(neyman)
    found, lost = (float((sizes * safe)[side].sum()) for side in (called, ~called))
    if not found or not lost:
        return np.asarray(neyman)
    both = found + lost
    return np.asarray(neyman * np.where(called, math.hypot(1 / found, lost / (found * both)), 1 / both))


def stratum_rows(strata: Sequence[PlanStratum]) -> list[tuple[str, ...]]:
    """Rows of a table of strata, the highest first: p, images, planned, weight, predicted fraction of lenses."""
    return [
        (
            one.words, count(one.images), count(one.planned), significant(one.weight, 4), significant(one.mean_p),
            "yes" if one.called else "",
        )
        for one in reversed(strata)
    ]  # fmt: skip


STRATUM_HEAD = ("stratum", "images", "to look at", "each stands for", "mean p", "called")
