"""The probes' block of ``audit.json``: what the page shows of each probe, as records."""

from __future__ import annotations

from dataclasses import dataclass, field

from lensaudit.probes.finding import Change
from lensaudit.probes.result import HostsUsed
from lensaudit.probes.verdict import Estimate
from lensaudit.records import Json, Number, Record, plain, renamed
from lensaudit.statistics import Proportion


@dataclass(frozen=True)
class ProbeRate(Proportion):
    """Fraction of the pairs of one arm that is called a lens."""

    def to_json(self) -> Json:
        """``{k, n, value, low, high}``."""
        return {name: plain(getattr(self, name)) for name in ("k", "n", "value", "low", "high")}


@dataclass(frozen=True)
class ProbeRow(Record):
    """A probe's leading finding, one row of the table.

    Attributes
    ----------
    effect, effect_of
        What the verdict rests on, and what that is: a change of recall, of a contaminant the fraction called a lens.
    group
        How a headline calls such lenses.
    needed, advice
        Pairs that would settle it, None where it is settled or no number would do; and that in words.
    hosts
        Set of real cutouts that it was asked on; empty where scenes were drawn.
    """

    probe: str
    title: str
    nature: str
    verdict: str
    sentence: str
    meaning: str
    effect: Estimate
    effect_of: str
    control: ProbeRate
    treated: ProbeRate
    population: str
    subset: str
    dose: float | None
    n: int
    p_holm: Number
    tolerance: float
    group: str
    needed: int | None
    advice: str
    test: str = ""
    hosts: str = ""


@dataclass(frozen=True)
class DoseAxis(Record):
    """The strengths of the treated arms; see `lensaudit.probes.definition.Doses`."""

    label: str
    phrase: str
    values: tuple[float, ...]
    control: float | None = None
    physical: dict[str, str | None] | None = None


@dataclass(frozen=True)
class PublishedRecall(Record):
    """A recall others reported, on their images."""

    name: str
    recall: float


@dataclass(frozen=True)
class PairCounts(Record):
    """Pairs that changed sides, and the p-value against the tolerance before and after Holm's correction."""

    lost: int
    gained: int
    p: Number
    p_holm: Number


@dataclass(frozen=True)
class ArmGroup(Record):
    """One population, subset and dose: both arms, the paired changes, the verdict.

    `everything` says that no lens rule restricts the pairs, `effect` is the mean change of logit.
    """

    title: str
    population: str
    everything: bool
    dose: float | None
    control: ProbeRate
    treated: ProbeRate
    recall_change: Change
    effect: Change
    discordant: PairCounts
    verdict: str
    sentence: str
    published: tuple[PublishedRecall, ...]
    test: str = ""

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return renamed(words, discordant="mcnemar")


@dataclass(frozen=True)
class TruthRow(Record):
    """Medians of one truth column in each arm, the control first; and whether they change."""

    label: str
    unit: str
    values: tuple[Number, ...]
    changes: bool


@dataclass(frozen=True)
class DoseResponse(Record):
    """Where the loss of a population leaves the tolerance, as `lensaudit.probes.response.Response`, in words too."""

    population: str
    crossing: Number
    low: Number
    high: Number
    crossed: Number
    sentence: str
    truth: tuple[TruthRow, ...]


@dataclass(frozen=True)
class PublishedRow(Record):
    """A published finder: its recall of each column, and whether it has the audited one's architecture."""

    name: str
    recall: tuple[float | None, ...]
    same: bool


@dataclass(frozen=True)
class PublishedTable(Record):
    """Recalls others reported, on their images."""

    caption: str
    source: str
    threshold: float
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]


@dataclass(frozen=True)
class PairShown(Record):
    """A pair with its pixels in the file `array`."""

    title: str
    facts: str
    array: str
    fov_arcsec: float
    p_control: float
    p_treated: float


@dataclass(frozen=True)
class ProbeDetail(Record):
    """One probe in full; `open` says that its numbers are shown unfolded, `hosts` is as of its row."""

    probe: str
    title: str
    nature: str
    question: str
    about: str
    verdict: str
    open: bool
    meaning: str
    sentence: str
    tolerance: float
    threshold: float
    change_method: str
    logit_method: str
    doses: DoseAxis | None
    groups: tuple[ArmGroup, ...]
    responses: tuple[DoseResponse, ...]
    how: str
    published: PublishedTable | None
    pairs_note: str
    pairs: tuple[PairShown, ...] = ()
    hosts: str = ""


@dataclass(frozen=True)
class Unprobed(Record):
    """A probe that was not run, and why."""

    probe: str
    title: str
    why: str


@dataclass(frozen=True)
class ProbesBlock(Record):
    """All probes, ranked: `rows` and `details` in one order.

    Attributes
    ----------
    n, seed
        Pairs of each population, and seed of the scenes.
    n_findings
        Findings that were corrected together.
    words, natures
        Verdicts and natures with their definitions, of the version that wrote the block.
    hosts, not_on_hosts
        Real cutouts that probes were asked on too, None where there were none; probes that cannot be asked there.
    """

    n: int
    seed: int
    n_findings: int
    rows: tuple[ProbeRow, ...]
    details: tuple[ProbeDetail, ...]
    not_applicable: tuple[Unprobed, ...]
    left_out: tuple[Unprobed, ...]
    words: tuple[dict[str, str], ...] = field(default_factory=tuple)
    natures: tuple[dict[str, str], ...] = field(default_factory=tuple)
    hosts: HostsUsed | None = None
    not_on_hosts: tuple[Unprobed, ...] = ()


def limits_of(probes: ProbesBlock | None) -> list[str]:
    """What the numbers of the probes rest on, in sentences."""
    if probes is None:
        return []
    said = []
    if probes.rows:
        said.append(
            "Probes change one thing of simulated scenes: an effect is one of that edit on those scenes, and a probe "
            "that shows none says nothing of edits it did not make."
        )
    if probes.hosts is not None:
        said.append(
            "Probes on hosts are of real galaxies, noise and point-spread functions; deflectors’ masses and arcs are "
            "simulated there too."
        )
    if any(detail.published for detail in probes.details):
        said.append("Published recalls beside a probe were measured on other people’s images and are no test of it.")
    return said
