"""Records of chapters that explain (gallery, maps, judgement, kernels, dreams), of known lenses and certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from lensaudit.display.numbers import percent_with_interval, plural
from lensaudit.explaining.judging.recommending import Advice
from lensaudit.explaining.judging.records import CompoundView
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import Proportion
from lensaudit.verdicts import PLANTED_IN_PART


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
class MapMethod(Record):
    """A method of explanation; `known_to_fail` the randomisation check by its literature."""

    name: str
    title: str
    paper: str
    known_to_fail: bool
    notes: tuple[str, ...]
    quantity: str = ""
    """What its values are; empty in audits of earlier versions, whose occlusion is a change of p."""


@dataclass(frozen=True)
class MapScore(Record):
    """Fraction of the positive attribution on the lensed light (NaN without any), rank accuracy, pointing game."""

    share: Number
    rank: Number
    pointing: Number


@dataclass(frozen=True)
class MapEntry(Record):
    """A system explained by every method; its maps lie in the file `array`.

    Attributes
    ----------
    area
        Fraction of the image that the lensed light covers; None without truth or lensed light.
    scores
        Method → its score; None without truth.
    failed
        Method → why it has no map.
    kind
        Of scene, or what its label says; empty in audits of earlier versions.
    """

    group: str
    id: str
    p: float
    facts: str
    array: str
    fov_arcsec: float
    area: float | None
    scores: dict[str, MapScore | None]
    failed: dict[str, str]
    kind: str = ""


@dataclass(frozen=True)
class Maps(Record):
    """A few systems explained by every method; `advice`: which to look at first on each of their kinds of scene."""

    methods: tuple[MapMethod, ...]
    entries: tuple[MapEntry, ...]
    advice: tuple[Advice, ...] = ()

    def advice_on(self, kind: str) -> Advice | None:
        """That for one kind of scene; None in audits of earlier versions."""
        return next((one for one in self.advice if one.kind == kind), None)


@dataclass(frozen=True)
class JudgedFraction(Record):
    """Mean fraction of the positive attribution on the lensed light; `gain_low`, `gain_high`: value − chance."""

    value: Number
    low: Number
    high: Number
    chance: Number
    n: int
    gain_low: Number
    gain_high: Number


@dataclass(frozen=True)
class JudgedRow(Record):
    """A method or baseline: its shares by kind of lens, and the verdict of its randomisation check, if it was made."""

    method: str
    title: str
    shares: dict[str, JudgedFraction]
    check: str
    baseline: bool


@dataclass(frozen=True)
class JudgedCheck(Record):
    """A randomisation check in words; `label` is what must stand beside every map of the method."""

    method: str
    title: str
    verdict: str
    sentence: str
    label: str


@dataclass(frozen=True)
class Judged(Record):
    """Scores of the explanations by kind of lens; `failed`: method → why it cannot explain the finder."""

    kinds: tuple[str, ...]
    rows: tuple[JudgedRow, ...]
    checks: tuple[JudgedCheck, ...]
    views: tuple[CompoundView, ...]
    failed: dict[str, str]
    n_per_kind: int


@dataclass(frozen=True)
class KernelStatement(Record):
    """What the activation of a kernel goes with: Spearman's ρ over `n` lenses, its interval, Holm-corrected p."""

    layer: str
    kernel: int
    column: str
    measure: str
    words: str
    rho: Number
    low: Number
    high: Number
    p_holm: Number
    n: int
    n_top: int
    silent: bool


@dataclass(frozen=True)
class Kernels(Record):
    """What the kernels answer to.

    Attributes
    ----------
    kernels, live
        All, and those that tell the `n` images apart with maps above 0.
    significant, pairs
        Pairs of kernel and property that go together, and all pairs.
    statements
        The surest for each property.
    """

    kernels: int
    live: int
    n: int
    significant: int
    pairs: int
    statements: tuple[KernelStatement, ...]
    note: str


@dataclass(frozen=True)
class DreamImage(Record):
    """An image optimised towards a class from noise or a cutout, with p(lens) at both ends."""

    start: str
    target: str
    p_start: float
    p_end: float


@dataclass(frozen=True)
class Dreams(Record):
    """Class images and Deep Dreams, in the file `array`; `id` is the cutout that is dreamt of, None without any."""

    array: str
    steps: int
    id: str | None
    bands: tuple[str, ...]
    images: tuple[DreamImage, ...]


Count = Annotated[int, Field(ge=0, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class PlantedBias(Record):
    """Finders with one planted bias, and how many of them it was the first thing that the probes named in.

    `strength` is the fraction of their training images that had it.
    """

    bias: str
    finders: Count
    named_first: Count
    low: Fraction
    high: Fraction
    told: str = ""
    strength: Fraction = 1.0


@dataclass(frozen=True)
class CleanFinders(Record):
    """Audits of finders without a planted bias, and how many of them accuse it of one."""

    audits: Count
    accused: Count
    low: Fraction
    high: Fraction


@dataclass(frozen=True)
class Planted(Record):
    """What an audit repeats of ``planted.json``, which `lensaudit.planted_bias` writes."""

    command: str
    planted: Annotated[tuple[PlantedBias, ...], Field(max_length=1000)]
    clean: CleanFinders
    probes: Annotated[tuple[str, ...], Field(max_length=1000)]
    n_pairs: Count
    doses: Annotated[dict[str, str], Field(max_length=1000)] = field(default_factory=dict)

    @property
    def certificate(self) -> Certificate:
        """As a block of an audit, each probe with its doses where the file tells them."""
        asked = tuple(f"{name} ({self.doses[name]})" if name in self.doses else name for name in self.probes)
        return Certificate(self.command, True, self.planted, self.clean, asked, self.n_pairs)


@dataclass(frozen=True)
class Certificate(Record):
    """How the audit itself did on finders with planted biases; only the command that measures it where nobody did."""

    command: str
    measured: bool
    planted: tuple[PlantedBias, ...] = ()
    clean: CleanFinders | None = None
    probes: tuple[str, ...] = ()
    n_pairs: int = 0

    @property
    def in_part(self) -> str:
        """What to know of biases planted in part of the images; empty where there are none."""
        return PLANTED_IN_PART if any(one.strength < 1 for one in self.planted) else ""

    def to_json(self) -> Json:
        """All fields where it was measured."""
        return super().to_json() if self.measured else {"measured": False, "command": self.command}


FEW_KNOWN = 20
"""Fewer systems are said to be few: at n = 20 a 95 % Wilson interval is up to 0.40 wide."""


@dataclass(frozen=True)
class KnownGrade(Proportion):
    """How many known systems of one grade score at or above the threshold."""

    ALSO = ("value", "few")

    grade: str = ""

    @property
    def few(self) -> bool:
        """Fewer than `FEW_KNOWN` systems."""
        return self.n < FEW_KNOWN


@dataclass(frozen=True)
class KnownSystem(Record):
    """A known lens or candidate: its scores, and the file of its pixels; empty where they were not kept.

    `p` and `logit` are NaN where it could not be scored, and `why` says so.
    """

    id: str
    grade: str
    p: Number
    logit: Number
    facts: str
    array: str
    fov_arcsec: float
    why: str = ""


@dataclass(frozen=True)
class KnownSet(Record):
    """A set of known lenses or graded candidates.

    Attributes
    ----------
    name, content_hash
        Of the set.
    recall
        Of all its systems that could be scored, at the audit's threshold.
    grades
        The same by grade, where its catalogue has any.
    systems
        All of them, the lowest score first.
    n_non_lenses
        Images labelled non-lens, which are left out.
    n_absent
        Systems that a table names and no set has.
    """

    ALSO = ("sentence",)

    name: str
    content_hash: str
    recall: KnownGrade
    grades: tuple[KnownGrade, ...]
    systems: tuple[KnownSystem, ...]
    n_non_lenses: int
    n_absent: int = 0

    @property
    def n_unscored(self) -> int:
        """Systems without a score."""
        return len(self.systems) - self.recall.n

    @property
    def sentence(self) -> str:
        """Recall with its interval and n, and whether that is few."""
        recall = self.recall
        if not recall.n:
            return f"None of the {plural(len(self.systems), 'known system')} of {self.name} could be scored."
        shown = percent_with_interval(recall.value, recall.low, recall.high, 0)
        few = (
            f" With n = {recall.n} that says little: the interval is all that can be read from it."
            if recall.few
            else ""
        )
        return f"{recall.k} of {recall.n} known systems of {self.name} score at or above the threshold: {shown}.{few}"
