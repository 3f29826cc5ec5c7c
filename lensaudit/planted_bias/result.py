"""What the planted-bias bench found, as one record and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from lensaudit.display.numbers import shortest
from lensaudit.display.page import markdown_table
from lensaudit.planted_bias.plants import CLEAN, EPOCHS, PLANTS, Plant
from lensaudit.probes import ProbeAudit
from lensaudit.probes.definition import Doses
from lensaudit.probes.result import HostsUsed
from lensaudit.provenance import provenance
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import pairs_to_settle, wilson_interval
from lensaudit.untrusted import in_markdown
from lensaudit.verdicts import BIAS, PLANTED_IN_PART, SELECTION

FORMAT = "lensaudit-planted-bias/1"
COMMAND = "lensaudit planted-bias"

EUCLID = "euclid"
PLAIN_THETA_E, PLAIN_PLACE, PLAIN_DIMMED_MAG = 1.8, 0.35, -2.0
"""Of all lenses in hosts: Einstein radius (arcsec), the source's distance in θ_E, magnitudes it is made fainter."""


@dataclass(frozen=True)
class BenchSettings:
    """How large the bench is.

    Attributes
    ----------
    finders, clean
        Finders trained for each plant, and clean ones.
    images, epochs
        Size and length of each training.
    n
        Pairs of each probe.
    seed
        Of training sets, weights and pairs.
    tolerance
        Change of recall that is accepted.
    strengths
        Fractions of the images that have the planted traits; the finders of each plant are trained at every one.
    """

    finders: int = 3
    clean: int = 8
    images: int = 3000
    epochs: int = EPOCHS
    n: int = 200
    seed: int = 0
    tolerance: float = 0.1
    strengths: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Audited(Record):
    """One blind audit, and then what the finder was.

    Attributes
    ----------
    plant, number
        What was planted (``clean``: nothing), and which of its finders.
    recall
        Fraction of plain lenses found.
    leading
        Probe of the leading finding: of those with a shown change beyond the tolerance the gravest verdict's, then
        the largest; None where there is none.
    effect
        That change.
    biases
        All probes with the verdict "bias".
    shown
        All probes with a shown change beyond the tolerance, losses to difficulty among them.
    strength
        Fraction of its training images that had the planted traits.
    """

    plant: str
    number: int
    recall: Number
    leading: str | None
    effect: float
    biases: tuple[str, ...]
    shown: tuple[str, ...]
    strength: float = 1.0

    @property
    def name(self) -> str:
        """What the finder is called on the page."""
        return f"{self.plant} {self.number}" + ("" if self.strength == 1 else f", in {100 * self.strength:.0f} %")


@dataclass(frozen=True)
class Detected(Record):
    """Finders with one planted bias of one strength, which leads the findings of `named_first` (Wilson's 95 %
    interval)."""

    bias: str
    told: str
    probes: tuple[str, ...]
    finders: int
    named_first: int
    named: int
    low: float
    high: float
    strength: float = 1.0

    @property
    def called(self) -> str:
        """The bias, and in which fraction of the images it was planted where not in all."""
        return self.bias + ("" if self.strength == 1 else f", in {100 * self.strength:.0f} % of the images")


@dataclass(frozen=True)
class Accused(Record):
    """Clean finders: how many were audited and accused of a bias, with the 95 % interval (Wilson)."""

    audits: int
    accused: int
    low: float
    high: float


@dataclass(frozen=True)
class HostsNeeded(Record):
    """About how many hosts name a loss of recall as a bias, four times of five."""

    loss: float
    hosts: int


LOSSES = (0.2, 0.3, 0.5)


def hosts_needed(tolerance: float, findings: int) -> tuple[HostsNeeded, ...]:
    """For losses beyond the tolerance, of an audit of so many findings; a host that is used again counts once."""
    forecast = {loss: pairs_to_settle(0, round(20 * loss), 20, tolerance, findings, either=False) for loss in LOSSES}
    return tuple(HostsNeeded(loss, n) for loss, n in forecast.items() if n is not None and loss > tolerance)


@dataclass(frozen=True)
class FoundOnHosts(Record):
    """Finders audited on arcs in real cutouts.

    Attributes
    ----------
    used
        The hosts.
    n_pairs
        Pairs of each probe.
    planted, clean, audits
        As of simulated scenes: of the plants that can be asked for on hosts, and of the clean finders.
    probes
        Probes that were asked.
    not_on_hosts
        Probe → why it cannot be asked on hosts.
    not_asked
        Plant → why the audit on hosts cannot name it.
    trained_on
        Hosts, none of them audited, that the finders were trained on arcs in; 0: they are those of drawn scenes.
    usable, enough
        Hosts that can be used, as far as was looked, and from how many on finders are trained on them; 0: not known.
    needed
        Hosts that losses of recall need to be named.
    """

    used: HostsUsed
    n_pairs: int
    planted: tuple[Detected, ...]
    clean: Accused
    audits: tuple[Audited, ...]
    probes: tuple[str, ...]
    not_on_hosts: dict[str, str]
    not_asked: dict[str, str]
    trained_on: int = 0
    usable: int = 0
    enough: int = 0
    needed: tuple[HostsNeeded, ...] = ()

    @property
    def trained(self) -> str:
        """What the finders were trained on, in one line."""
        if self.trained_on:
            return (
                f"trained on arcs in {self.trained_on} hosts, each more than once with other sources, and audited in "
                f"{self.used.distinct} others"
            )
        few = f"; {self.usable} hosts can be used, and training on them takes {self.enough}" if self.enough else ""
        return f"trained on drawn scenes, not on this sky{few}"

    @property
    def enough_to_name(self) -> str:
        """How many hosts losses of recall need, in one line; empty where that is not known."""
        losses = ", ".join(f"of {one.loss:g} about {one.hosts}" for one in self.needed)
        return f"to be named, a loss of recall {losses} hosts; there are {self.used.distinct}" if losses else ""


@dataclass(frozen=True)
class PlantedResult(Record):
    """``planted.json``: planted × detected, and every audit; `hosts` the same in real cutouts, where it was asked.

    `doses` says of each probe what was changed and by how much, in words for a page.
    """

    planted: tuple[Detected, ...]
    clean: Accused
    audits: tuple[Audited, ...]
    settings: BenchSettings
    n_pairs: int
    probes: tuple[str, ...]
    command: str
    provenance: Json
    instrument: str = "euclid"
    hosts: FoundOnHosts | None = None
    doses: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT


def unblinded(audit: ProbeAudit, plant: str, number: int, strength: float = 1.0) -> Audited:
    """The audit with what its finder was; findings stand in the order of the audit, the gravest and largest first."""
    shown = [one for one in audit.ranked if one.verdict.state in (BIAS, SELECTION)]
    first = audit.results[0].findings[0]
    return Audited(
        plant,
        number,
        first.control.value,
        shown[0].probe if shown else None,
        shown[0].effect if shown else 0.0,
        tuple(one.probe for one in shown if one.verdict.state is BIAS),
        tuple(one.probe for one in shown),
        strength,
    )


def summary(
    found: Sequence[Audited],
    settings: BenchSettings,
    doses: Mapping[str, str],
    instrument: str = EUCLID,
    hosts: FoundOnHosts | None = None,
) -> PlantedResult:
    """Planted × detected with Wilson intervals, and every audit; `doses` of each probe in words."""
    words = command(settings, instrument, "" if hosts is None else hosts.used.set)
    return PlantedResult(
        planted=detected(found),
        clean=accused(found),
        audits=tuple(found),
        settings=settings,
        n_pairs=settings.n,
        probes=tuple(doses),
        command=words,
        provenance=provenance(seed=settings.seed) | {"command": words},  # without this machine's --out
        instrument=instrument,
        hosts=hosts,
        doses=dict(doses),
    )


def told_of(doses: Doses) -> str:
    """What a probe changes and by how much, in words.

    Examples
    --------
    >>> from lensaudit.probes.definition import load_definition
    >>> told_of(load_definition("off-centre").doses)
    'distance of the lens from the centre [″]; at 0.5, 1, 2, 3, 4; control at 0'
    """
    control = "" if doses.control is None else f"; control at {shortest(doses.control)}"
    return f"{doses.label}; at {', '.join(shortest(one) for one in doses.values)}{control}"


def accused(found: Sequence[Audited]) -> Accused:
    """Of the clean finders."""
    clean = [one for one in found if one.plant == CLEAN.name]
    biased = sum(bool(one.biases) for one in clean)
    low, high = wilson_interval(biased, len(clean), 0.95) if clean else (0.0, 1.0)
    return Accused(len(clean), biased, low, high)


def detected(found: Sequence[Audited]) -> tuple[Detected, ...]:
    """Of each plant and strength that was audited, full ones first."""
    strengths = sorted({one.strength for one in found if one.plant != CLEAN.name}, reverse=True)
    of_each = (
        (plant, [one for one in found if (one.plant, one.strength) == (plant.name, strength)])
        for strength in strengths
        for plant in PLANTS
    )
    return tuple(_detected(plant, own) for plant, own in of_each if own)


def _detected(plant: Plant, own: Sequence[Audited]) -> Detected:
    first = sum(one.leading in plant.probes for one in own)
    named = sum(any(probe in one.shown for probe in plant.probes) for one in own)
    low, high = wilson_interval(first, len(own), 0.95)
    return Detected(plant.name, plant.description, plant.probes, len(own), first, named, low, high, own[0].strength)


def command(settings: BenchSettings, instrument: str = EUCLID, hosts: str = "") -> str:
    """The command that repeats it."""
    told = {name: value for name, value in asdict(settings).items() if name != "strengths"}
    words = " ".join(f"--{name} {value:g}" for name, value in told.items())
    if settings.strengths != (1.0,):
        words += "".join(f" --strength {one:g}" for one in settings.strengths)
    seen = "" if instrument == EUCLID else f" --instrument {instrument}"
    return f"{COMMAND} --out runs/planted {words}{seen}{f' --hosts {hosts}' if hosts else ''}"


def bench_page(result: PlantedResult) -> str:
    """The table planted × detected as Markdown."""
    settings, clean = result.settings, result.clean
    seen = "" if result.instrument == EUCLID else f" Images are those of {in_markdown(result.instrument)}."
    lines = [
        "# The audit, audited: planted biases",
        "",
        f"Small finders (`lensaudit/planted_bias/`), each trained on {settings.images} images in which one "
        "trait is tied to the label, and clean ones in which none is; every finder has a training set and weights of "
        f"its own. Each was audited blind with {len(result.probes)} probes of {settings.n} pairs, tolerance "
        f"{settings.tolerance:g}; a bias is significantly more than that, corrected over all findings of an audit "
        f"(Holm). Intervals are 95 % (Wilson) over finders.{seen}",
        "",
        f"`{result.command}`",
        "",
        *(f"* `{name}`, {in_markdown(told)}" for name, told in result.doses.items()),
        "",
    ]
    lines += _tables(result.planted, clean, result.audits)
    return "\n".join(lines if result.hosts is None else [*lines, *_on_hosts(result.hosts)]) + "\n"


def _tables(planted: Sequence[Detected], clean: Accused, audits: Sequence[Audited]) -> list[str]:
    rows = []
    for strength in dict.fromkeys(one.strength for one in planted):
        own = [one for one in planted if one.strength == strength]
        within = "" if strength == 1 else f", in {100 * strength:.0f} % of the images"
        for one in own:
            rows.append((one.called, one.told, str(one.finders), *_fractions(one)))
        total, first = sum(one.finders for one in own), sum(one.named_first for one in own)
        low, high = wilson_interval(first, total, 0.95)
        rows.append((f"**all**{within}", "", str(total), f"**{first} of {total}** [{low:.2f}, {high:.2f}]", ""))
    of_each = [
        (
            one.name,
            f"{one.recall:.2f}",
            one.leading or "none",
            f"{one.effect:+.2f}",
            ", ".join(one.biases) or "none",
        )
        for one in audits
    ]
    head = ("finder", "recall of plain lenses", "leading finding", "change of recall", "all biases named")
    return [
        markdown_table(("planted", "what was done", "finders", "leading finding", "found at all"), rows),
        "",
        *([PLANTED_IN_PART, ""] if any(one.strength < 1 for one in planted) else []),
        f"Clean finders accused of a bias: **{clean.accused} of {clean.audits}** [{clean.low:.2f}, {clean.high:.2f}].",
        "",
        markdown_table(head, of_each),
    ]


def _fractions(one: Detected) -> tuple[str, str]:
    leading = f"{one.named_first} of {one.finders} [{one.low:.2f}, {one.high:.2f}]"
    return leading, f"{one.named} of {one.finders}"


def _on_hosts(found: FoundOnHosts) -> list[str]:
    """Finders on hosts, and what could not be asked there."""
    return [
        "",
        "## On hosts",
        "",
        f"Finders {found.trained}. They were audited blind with {len(found.probes)} probes of {found.n_pairs} pairs in "
        f"{in_markdown(found.used.set)}. In control and treated arms the mass and the source of each host are first "
        f"made those of a plain lens: θ_E of {PLAIN_THETA_E:g}″, the source at {PLAIN_PLACE:g} θ_E and "
        f"{-PLAIN_DIMMED_MAG:g} mag brighter than drawn.",
        "",
        in_markdown(found.used.note),
        "",
        *([f"{found.enough_to_name[0].upper()}{found.enough_to_name[1:]}.", ""] if found.needed else []),
        *_tables(found.planted, found.clean, found.audits),
        "",
        *(f"* Not asked on hosts: {plant}, for {in_markdown(why)}." for plant, why in found.not_asked.items()),
        *(f"* Left out there: {name}, for {in_markdown(why)}." for name, why in found.not_on_hosts.items()),
    ]
