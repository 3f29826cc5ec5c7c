"""The one schema of ``audit.json``: what each block holds, checked when it is written and when it is read.

Earlier audits are read too: `_modern` turns their names into today's, and what they did not say has a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from lensaudit.evaluation import Metric, RocBand
from lensaudit.evaluation.selection import SelectionFunction
from lensaudit.records import Json, Number, Record
from lensaudit.report.probe_block import ProbesBlock
from lensaudit.statistics import Confusion, Proportion

MIN_BIN = 20
"""Bins with fewer lenses are marked and left out of tests: at n = 20 a 95 % Wilson interval is up to 0.40 wide."""

Name = Annotated[str, Field(max_length=200)]


def renamed(words: Json, **old: str) -> Json:
    """`words` with the value of an old name under the new one: ``renamed(words, n_non_lenses="n_nonlenses")``."""
    return words | {new: words[name] for new, name in old.items() if new not in words and name in words}


@dataclass(frozen=True)
class Rate(Proportion):
    """A fraction of one group of systems; `few` where it is too small to be tested."""

    ALSO = ("value", "few")

    @property
    def few(self) -> bool:
        """Fewer than `MIN_BIN` systems."""
        return self.n < MIN_BIN


@dataclass(frozen=True)
class Bin(Rate):
    """Recall of the lenses whose property lies in [start, end)."""

    start: float = field(kw_only=True)
    end: float = field(kw_only=True)

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return renamed(words, start="from", end="to")


@dataclass(frozen=True)
class KindRate(Rate):
    """How many scenes of one kind are called a lens."""

    kind: str = field(kw_only=True)


@dataclass(frozen=True)
class Curve(Record):
    """Recall along one property; `p` is that of the permutation test that all bins share one recall."""

    column: str
    label: str
    unit: str
    phrase: str
    bins: tuple[Bin, ...]
    n: int
    n_missing: int
    p: float | None


@dataclass(frozen=True)
class Kinds(Record):
    """Rates by kind of scene, the most frequent kind first, and the p-value that all kinds share one."""

    rows: tuple[KindRate, ...]
    n: int
    p: float | None


@dataclass(frozen=True)
class Selection(Record):
    """Which lenses are found: along single properties, and by kind of scene."""

    curves: tuple[Curve, ...]
    absent: tuple[str, ...]
    lens_kinds: Kinds | None
    non_lens_kinds: Kinds | None


@dataclass(frozen=True)
class Training(Record):
    """Rows of ``history.csv``, what the finder was trained on, and where its weights come from."""

    history: tuple[dict[str, Number], ...] | None
    data: dict[str, Any]
    origin: str


@dataclass(frozen=True)
class AuditedFinder(Record):
    """The finder: recipe, hash of the weights, training."""

    name: Name
    origin: str
    weights_hash: str
    architecture: str
    parameters: int
    bands: tuple[str, ...]
    size: int | None
    stretch: str
    field_of_view_arcsec: float
    threshold: float
    given_field_arcsec: float | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    training: Training | None = None
    differentiable: bool = True


@dataclass(frozen=True)
class AuditedSet(Record):
    """The lens set: content, numbers, how it was made."""

    name: str
    content_hash: str
    instrument: str
    n: int
    n_lenses: int
    n_non_lenses: int
    n_unlabelled: int
    bands: tuple[str, ...]
    population: str | None
    seed: int | None
    simulated: bool
    has_truth: bool
    made_by: str = ""

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return renamed(words, n_non_lenses="n_nonlenses")


@dataclass(frozen=True)
class Unscored(Record):
    """An image without a score."""

    id: str
    why: str


@dataclass(frozen=True)
class LabelledMetric(Metric):
    """A metric under the name that the page shows."""

    label: str = ""


@dataclass(frozen=True)
class Histogram(Record):
    """Images per bin of p(lens)."""

    edges: tuple[float, ...]
    lenses: tuple[int, ...]
    non_lenses: tuple[int, ...]
    unlabelled: tuple[int, ...]

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return renamed(words, non_lenses="non-lenses")


@dataclass(frozen=True)
class Performance(Record):
    """Scores against labels; what needs a class the set does not have is None."""

    threshold: float
    n: int
    n_above: int
    n_lenses: int
    n_non_lenses: int
    unscored: tuple[Unscored, ...]
    metrics: tuple[LabelledMetric, ...]
    roc: RocBand | None
    scores: Histogram
    confusion: Confusion | None
    false_positive_rate: Rate | None = None

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return renamed(words, n_non_lenses="n_nonlenses")


@dataclass(frozen=True)
class Finding(Record):
    """One comparison, of the set or of a probe; see `lensaudit.report.findings.find`."""

    title: str
    text: str
    worst: Rate
    rest: Rate
    gap: Number
    low: Number
    high: Number
    p: float | None
    p_holm: float | None
    verdict: str
    loses: bool
    section: str
    source: str
    group: str = ""
    significant: bool = False
    difficult: bool = False
    rises: bool = False
    needed: int | None = None
    tolerance: Number = float("nan")


@dataclass(frozen=True)
class NextStep(Record):
    """What to do next, and the command that does it."""

    why: str
    command: str = ""


@dataclass(frozen=True)
class Headline(Record):
    """What opens the page."""

    level: str
    headline: str
    sentences: tuple[str, ...]
    next: tuple[NextStep, ...] = ()


@dataclass(frozen=True)
class Omission(Record):
    """Something that was not measured."""

    what: str
    why: str


@dataclass(frozen=True)
class Clipping(Record):
    """Fractions of the pixels of a band beyond the limits of a stretch."""

    below: float
    above: float
    remark: str = ""


@dataclass(frozen=True)
class Pixels(Record):
    """By band: units of the set's pixels and of the finder's numbers, fractions clipped; and what is to be said."""

    units: dict[str, str]
    finder_units: dict[str, str]
    clipping: dict[str, Clipping]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class GalleryEntry(Record):
    """An image with its occlusion map, in the file `array`."""

    id: str
    p: float
    facts: str
    array: str
    fov_arcsec: float


@dataclass(frozen=True)
class GalleryGroup(Record):
    """Images shown for one reason."""

    title: str
    note: str
    entries: tuple[GalleryEntry, ...]


@dataclass(frozen=True)
class Gallery(Record):
    """Occlusion maps of hits, misses and false positives."""

    patch: int
    stride: int
    groups: tuple[GalleryGroup, ...]


@dataclass(frozen=True)
class Audit(Record):
    """All of ``audit.json`` but its digest; see `lensaudit.report.audit_file`.

    The blocks of maps, judgement, kernels and dreams are what those rooms say, and are held by the digest.
    """

    schema: int
    finder: AuditedFinder
    set: AuditedSet
    provenance: dict[str, Any]
    verdict: Headline
    findings: tuple[Finding, ...]
    performance: Performance
    selection: Selection | None
    selection_function: SelectionFunction | None
    gallery: Gallery | None
    maps: dict[str, Any] | None
    judged: dict[str, Any] | None
    kernels: dict[str, Any] | None
    dreams: dict[str, Any] | None
    probes: ProbesBlock | None
    certificate: dict[str, Any]
    limits: tuple[str, ...]
    not_measured: tuple[Omission, ...]
    options: dict[str, Any] = field(default_factory=dict)
    findings_note: str = ""
    pixels: Pixels | None = None
