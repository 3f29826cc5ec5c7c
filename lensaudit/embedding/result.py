"""What an embedding says, as it is written to ``embedding.json`` and shown on pages; imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lensaudit.display.numbers import count, decimal, percent, plural, with_interval
from lensaudit.provenance import Provenance
from lensaudit.records import Counts, Floats, Number, Record
from lensaudit.verdicts import SIGNIFICANCE

R_SQUARED, AUROC = "R²", "AUROC"


@dataclass(frozen=True)
class EmbeddedSet(Record):
    """A set whose images were embedded; `failed` of them the finder cannot score."""

    name: str
    content_hash: str
    n: int
    failed: int


@dataclass(frozen=True)
class Layer(Record):
    """Which numbers were taken.

    Attributes
    ----------
    name, side
        Dotted path in the module, and whether its ``input`` or its ``output`` is meant.
    features, wide
        Numbers of an image as they are kept, and in all: more than are kept are projected on random directions.
    pooled
        Whether they are means over the positions of an image.
    """

    name: str
    side: str
    features: int
    wide: int
    pooled: bool

    @property
    def words(self) -> str:
        """As ``input of layer 33, 500 numbers``."""
        more = ", averaged over the positions of an image" if self.pooled else ""
        if self.wide > self.features:
            more += f", {count(self.features)} random directions of them"
        return f"{self.side} of layer {self.name}, {count(self.wide)} numbers{more}"


@dataclass(frozen=True)
class Neighbour(Record):
    """An image near another: its label is 1 lens, 0 non-lens, −1 unknown, `p` its p(lens)."""

    id: str
    distance: Number
    label: int
    p: Number


@dataclass(frozen=True)
class Error(Record):
    """A false positive (label 0) or false negative (label 1) with its nearest neighbours, the nearest first.

    Attributes
    ----------
    non_lenses
        Fraction of non-lenses among its labelled neighbours; NaN where there are none.
    array
        File beside the audit that holds the pixels; empty for none.
    """

    id: str
    label: int
    p: Number
    logit: Number
    non_lenses: Number
    neighbours: tuple[Neighbour, ...]
    array: str = ""

    @property
    def kind(self) -> str:
        """``false negative`` or ``false positive``."""
        return "false negative" if self.label == 1 else "false positive"


@dataclass(frozen=True)
class Neighbourhood(Record):
    """Images of one outcome, and who lies near them.

    Attributes
    ----------
    outcome
        As ``false negatives``.
    n
        How many were looked at.
    non_lenses, low, high
        Mean fraction of non-lenses among the neighbours, and its 95 % bootstrap interval over images; none of few.
    nearest
        Median distance of the nearest neighbour.
    """

    outcome: str
    n: int
    non_lenses: Number
    low: Number
    high: Number
    nearest: Number


@dataclass(frozen=True)
class Neighbours(Record):
    """Neighbours of every false positive and false negative.

    Attributes
    ----------
    metric, k
        ``cosine`` or ``euclidean``, and how many neighbours.
    among
        The set they were looked for in; `itself` where it is the embedded one, an image then never its own neighbour.
    n_among, base
        Images there, and the fraction of non-lenses among its labelled ones.
    groups
        The four outcomes, those without an image left out.
    errors
        False negatives and false positives, the worst of each first, some of each.
    """

    metric: str
    k: int
    among: str
    itself: bool
    n_among: int
    base: Number
    groups: tuple[Neighbourhood, ...]
    errors: tuple[Error, ...]

    def group(self, outcome: str) -> Neighbourhood | None:
        """Of ``false negatives`` and the like; None where there are none."""
        return next((one for one in self.groups if one.outcome == outcome), None)

    @property
    def where(self) -> str:
        """What the neighbours are of."""
        return "the other images of the set" if self.itself else f"the training set {self.among}"

    @property
    def sentence(self) -> str:
        """What of a false negative's neighbours are non-lenses, beside those of the lenses that are found."""
        missed, found = self.group("false negatives"), self.group("lenses found")
        base = f"{percent(self.base)} of all there are"
        if missed is None:
            where = f"the {self.k} nearest of {self.where} ({self.metric} distance)"
            of = (
                ""
                if found is None
                else f"; of {where}, {percent(found.non_lenses)} are non-lenses where a lens is found"
            )
            return f"No lens is missed{of}; {base}."
        beside = "" if found is None else f"; of the lenses that are found {percent(found.non_lenses)}"
        known = math.isfinite(missed.low)
        ends = f"95 % interval {percent(missed.low)} to {percent(missed.high)}, " if known else ""
        return (
            f"Of the {self.k} nearest neighbours of a missed lens ({self.metric} distance, {self.where}), "
            f"{percent(missed.non_lenses)} are non-lenses ({ends}n = {count(missed.n)}){beside}; {base}."
        )


@dataclass(frozen=True)
class Readable(Record):
    """How well one column of the catalogue can be read linearly from the embedding.

    Attributes
    ----------
    column, unit
        Of the catalogue; a word of a column of words as ``kind = spiral``.
    measure
        ``R²`` of a quantity or ``AUROC`` of a yes or no, both out of fold.
    n, positive
        Images with a value, and how many of them are a yes; 0 for a quantity.
    value, low, high
        With its 95 % bootstrap interval over images, or over systems where several show one.
    permuted, permuted_high
        Mean and largest of the same with the column shuffled.
    statistics, statistics_low, statistics_high
        The same read from image statistics that need no finder.
    more, more_low, more_high
        By how much the embedding says more than they do, from the same resamples.
    """

    ALSO = ("known",)

    column: str
    unit: str
    measure: str
    n: int
    positive: int
    value: Number
    low: Number
    high: Number
    permuted: Number
    permuted_high: Number
    statistics: Number = math.nan
    statistics_low: Number = math.nan
    statistics_high: Number = math.nan
    more: Number = math.nan
    more_low: Number = math.nan
    more_high: Number = math.nan

    @property
    def known(self) -> bool:
        """Whether the whole interval lies above every shuffled column."""
        return self.low > self.permuted_high

    @property
    def beyond(self) -> bool:
        """Whether the network says significantly more than image statistics do."""
        return self.known and self.more_low > 0


@dataclass(frozen=True)
class Concept(Record):
    """Whether a concept moves the log-odds of lenses (TCAV, Kim et al. 2018).

    Attributes
    ----------
    name, meaning
        As ``arcs``, and which scenes have it and which do not.
    n
        Pairs of scenes, one with it and one without.
    auroc, auroc_low, auroc_high
        How well pairs that it was not fitted to are told apart along the vector: below about 0.7 it is no concept.
    n_images
        Lenses of the set whose gradient was taken.
    score, low, high
        TCAV score: fraction of them whose log-odds rise along the vector, interval over refits on resampled pairs.
    slope, slope_low, slope_high
        Mean change of the log-odds as an image moves from without to with by the pairs' mean distance along the vector.
    random_low, random_high
        Slopes along 95 % of random concepts, scenes without it divided by chance, over the same distance.
    p, p_holm
        Of a slope so far from 0 by chance, and after Holm's correction over the concepts.
    """

    ALSO = ("significant",)

    name: str
    meaning: str
    n: int
    auroc: Number
    auroc_low: Number
    auroc_high: Number
    n_images: int
    score: Number
    low: Number
    high: Number
    slope: Number
    slope_low: Number
    slope_high: Number
    random_low: Number
    random_high: Number
    n_random: int
    p: Number
    p_holm: Number

    @property
    def significant(self) -> bool:
        """Whether p < 0.05 after Holm's correction."""
        return self.p_holm < SIGNIFICANCE


@dataclass(frozen=True)
class Concepts(Record):
    """Concepts at one layer."""

    layer: Layer
    rows: tuple[Concept, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Map(Record):
    """Images on a t-SNE map.

    Attributes
    ----------
    positions
        (m, 2), no unit.
    p, labels
        p(lens), NaN where there is none, and 1 lens, 0 non-lens, −1 unknown (m,).
    n
        Images of the set in all; where m is less, those on the map are evenly spread over it.
    colours
        Further columns of the catalogue (m,), which a map is coloured by.
    perplexity, seed
        Of t-SNE.
    """

    positions: Floats
    p: Floats
    labels: Counts
    n: int
    perplexity: float
    seed: int
    colours: dict[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedding(Record):
    """What a finder's layer says of the images of a set.

    Attributes
    ----------
    threshold
        p of a lens.
    neighbours
        None without labels.
    readability
        The best read first.
    read_n, statistics_n
        Images the reading rests on, and numbers of each that the image statistics are.
    """

    finder: str
    set: EmbeddedSet
    training: EmbeddedSet | None
    layer: Layer
    threshold: float
    neighbours: Neighbours | None
    map: Map | None
    readability: tuple[Readable, ...]
    read_n: int
    statistics_n: int
    concepts: Concepts | None
    notes: tuple[str, ...]
    provenance: Provenance

    @property
    def sentences(self) -> tuple[str, ...]:
        """What it comes to."""
        said = [] if self.neighbours is None else [self.neighbours.sentence]
        if self.readability:
            said.append(self.reading)
        return tuple(said)

    @property
    def reading(self) -> str:
        """How many columns can be read, and the one that says most beyond image statistics."""
        known = [one for one in self.readability if one.known]
        words = f"{len(known)} of {plural(len(self.readability), 'column')} can be read linearly"
        beyond = [one for one in known if one.beyond]
        if not beyond:
            return f"{words}; none of them significantly better than from simple image statistics."
        best = max(beyond, key=lambda one: one.more)
        value = with_interval(best.value, best.low, best.high, 2)
        return (
            f"{words}; {len(beyond)} significantly better than from simple image statistics, most of all "
            f"{best.column}: "
            f"{best.measure} {value} against {decimal(best.statistics, 2)} (n = {count(best.n)})."
        )
