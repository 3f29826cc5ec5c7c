"""The one schema of ``audit.json``: what each block holds, checked when it is written and when it is read.

Earlier audits are read too: `_modern` turns their names into today's, and what they did not say has a default. The
blocks of the chapters that explain are in `lensaudit.report.chapters` and `lensaudit.report.probe_block`.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated

from pydantic import Field, JsonValue

from lensaudit.embedding import Embedding
from lensaudit.evaluation import Metric, RocBand, ScoreHistogram
from lensaudit.evaluation.disagreement import ErrorSignals
from lensaudit.evaluation.selection import SelectionFunction
from lensaudit.provenance import Pixels, Provenance
from lensaudit.realism_gate import Realism
from lensaudit.records import Json, Number, Record, renamed
from lensaudit.report.chapters import Certificate, Dreams, Gallery, Judged, Kernels, KnownSet, Maps
from lensaudit.report.options import AuditOptions
from lensaudit.report.probe_block import ProbesBlock
from lensaudit.statistics import Confusion, Proportion
from lensaudit.verdicts import SIGNIFICANCE, Step

MIN_BIN = 20
"""Bins with fewer lenses are marked and left out of tests: at n = 20 a 95 % Wilson interval is up to 0.40 wide."""

Name = Annotated[str, Field(max_length=200)]


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
    """Rows of ``history.csv``, what the finder was trained on, and where its weights come from.

    `data` are the facts that ``finder.yaml`` records, which every training names its own way.
    """

    history: tuple[dict[str, Number], ...] | None
    data: dict[str, JsonValue]
    origin: str

    def trained_on(self, content_hash: str) -> bool:
        """Whether the set of that content is recorded as a training set, of this stage or of an earlier one."""
        several, earlier = (self.data.get(name) for name in ("sets", "earlier_sets"))
        sets = [one.get("set") for one in several if isinstance(one, dict)] if isinstance(several, list) else []
        sets += earlier if isinstance(earlier, list) else []
        return content_hash in (self.data.get("set"), *sets)

    def images(self, part: str) -> int | None:
        """How many images of ``training`` or ``validation`` are recorded."""
        found = self.data.get(f"n_{part}")
        return found if isinstance(found, int) else None


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
    recipe: dict[str, JsonValue] = field(default_factory=dict)
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
class Performance(Record):
    """Scores against labels; what needs a class the set does not have is None.

    `errors` says what tells the errors of a committee; None of any other finder, and in audits of earlier versions.
    """

    threshold: float
    n: int
    n_above: int
    n_lenses: int
    n_non_lenses: int
    unscored: tuple[Unscored, ...]
    metrics: tuple[LabelledMetric, ...]
    roc: RocBand | None
    scores: ScoreHistogram
    confusion: Confusion | None
    false_positive_rate: Rate | None = None
    errors: ErrorSignals | None = None

    def to_json(self) -> Json:
        """The fields; without ``errors`` where there are none, as ever."""
        words = super().to_json()
        if self.errors is None:
            del words["errors"]
        return words

    def metric(self, name: str) -> LabelledMetric | None:
        """The metric of this name; None where it is not there or not defined."""
        return next((one for one in self.metrics if one.name == name and math.isfinite(one.value)), None)

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return renamed(words, n_non_lenses="n_nonlenses")


@dataclass(frozen=True)
class Finding(Record):
    """One comparison, of the set or of a probe.

    Attributes
    ----------
    worst, rest
        The group treated worst and all others; of a probe the treated arm and the control.
    gap, low, high
        Loss of recall (of non-lenses the rise of the fraction called a lens) with its 95 % interval.
    p, p_holm
        Of a comparison within the set: of the permutation test that no group differs; that the gap is no more than the
        tolerance, after Holm's correction over all of the set, or all of the probes.
    groups
        How many the worst was chosen from, for which `p_holm` is corrected too.
    loses, rises
        Whether lenses are lost (not false positives), and whether a probe where nothing may change finds more.
    difficult
        Whether losing some is natural.
    source, section
        ``set`` or ``probes``, and the part of the page that shows it.
    needed
        Lenses (pairs) that would settle it; None where it is settled, or no number would do.
    """

    ALSO = ("significant",)

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
    difficult: bool = False
    rises: bool = False
    needed: int | None = None
    tolerance: Number = math.nan
    groups: int = 1

    @property
    def significant(self) -> bool:
        """Whether it is more than is tolerated: p < 0.05 after Holm's correction."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANCE


@dataclass(frozen=True)
class Headline(Record):
    """What opens the page."""

    level: str
    headline: str
    sentences: tuple[str, ...]
    next: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Omission(Record):
    """Something that was not measured."""

    what: str
    why: str


@dataclass(frozen=True)
class Settings(Record):
    """What was asked of the audit, see `lensaudit.report.options.AuditOptions`, and the device it ran on."""

    seed: int
    tolerance: float
    beta: float
    occlusion_n: int
    maps_n: int
    judge_n: int
    kernels: bool
    dream_steps: int
    probe_n: int
    probes: tuple[str, ...]
    device: str
    hosts: str = ""
    embed: bool = True

    @classmethod
    def asked(cls, options: AuditOptions, device: str) -> Settings:
        """Those of `options`."""
        named = {one.name: getattr(options, one.name) for one in fields(cls) if one.name not in ("device", "hosts")}
        return cls(**named, device=device, hosts="" if options.hosts is None else options.hosts.path.name)


@dataclass(frozen=True, kw_only=True)
class Measured(Record):
    """What was measured; a block is None where it was left out or the set cannot give it.

    Attributes
    ----------
    selection
        Recall along θ_E, arc S/N, source magnitude, colour; rates by kind. None without labels.
    selection_function
        Recall over two properties, medians, drivers. None without truth.
    gallery, maps
        Occlusion maps of many images, and the maps of every method of a few.
    certificate
        How the audit itself did on finders with planted biases.
    pixels
        None in audits of earlier versions.
    realism
        How far simulated cutouts stand from real ones; None where no real ones were given.
    embedding
        What the last layer knows; None where it was left out or cannot be seen.
    known
        Recall of known lenses and graded candidates, a check; empty where none were given.
    """

    schema: int
    finder: AuditedFinder
    set: AuditedSet
    provenance: Provenance
    options: Settings
    performance: Performance
    selection: Selection | None
    selection_function: SelectionFunction | None
    gallery: Gallery | None
    maps: Maps | None
    judged: Judged | None
    kernels: Kernels | None
    dreams: Dreams | None
    probes: ProbesBlock | None
    certificate: Certificate
    pixels: Pixels | None = None
    realism: Realism | None = None
    embedding: Embedding | None = None
    known: tuple[KnownSet, ...] = ()

    @property
    def carried(self) -> str:
        """What stands beside every probe of drawn scenes; empty where nothing was compared with real cutouts.

        What was compared are other cutouts than these where the audited set was and has its arcs in real ones.
        """
        found = self.realism
        if found is None:
            return ""
        if found.simulated.content_hash == self.set.content_hash and not self.set.simulated:
            return f"drawn scenes; the set’s own {found.real_against('injected')}"
        return found.beside


@dataclass(frozen=True, kw_only=True)
class Audit(Measured):
    """All of ``audit.json`` but its digest: what was measured, and what follows from it."""

    findings: tuple[Finding, ...]
    findings_note: str = ""
    verdict: Headline
    limits: tuple[str, ...]
    not_measured: tuple[Omission, ...]


BLOCKS = tuple(field.name for field in fields(Audit) if field.default is MISSING)
"""What every ``audit.json`` holds."""
