"""An audit: many probes of one finder, corrected together and ranked by what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

from lensaudit.display.numbers import decimal, p_short, percent, shortest, with_interval
from lensaudit.display.page import markdown_table
from lensaudit.documents import read_json
from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_text
from lensaudit.probes.definition import (
    ProbeDefinition,
    builtin_probes,
    load_definition,
    with_sources,
    without_groups,
)
from lensaudit.probes.finding import (
    ALL_PAIRS,
    P_IS,
    Finding,
    against_tolerance,
    called,
    corrected,
    cost,
    judged,
    leading_finding,
)
from lensaudit.probes.response import lenses_at, lenses_beyond
from lensaudit.probes.result import OUTSIDE, AuditedFinder, ProbeResult, ProbeSettings
from lensaudit.probes.verdict import Verdict
from lensaudit.provenance import Provenance
from lensaudit.records import Cells, Facts, Json, Number, Record, Shown, plain
from lensaudit.untrusted import in_markdown, path_within
from lensaudit.verdicts import (
    BIAS,
    FALSE_POSITIVES,
    TENTATIVE,
    Answer,
    State,
    Step,
    in_sentence,
    in_short,
    next_steps,
    on_the_command_line,
)

AUDIT_FILE = "audit.json"
PAGE_FILE = "audit.md"
FORMAT = "lensaudit-probe-audit/1"
LENSES = "lenses"
"""Label of the one population of most probes, which need not be said."""


@dataclass(frozen=True)
class Ranked(Record):
    """One probe's leading finding, in words for an astronomer.

    Attributes
    ----------
    probe, title, nature
        Of the definition.
    verdict
        Of the leading finding, Holm-corrected over the whole audit.
    finding
        The finding the verdict rests on.
    effect
        Change of recall, of a contaminant the fraction called a lens.
    meaning
        One sentence: where, from what to what, and what it means for a survey.
    group
        Which lenses it is about, in physical units, as words after "lenses"; None where the probe has no doses.
    """

    probe: str
    title: str
    nature: str
    verdict: Verdict
    finding: Finding
    effect: Number
    meaning: str
    group: str | None = None


@dataclass(frozen=True, repr=False)
class ProbeAudit(Shown, Record):
    """All probes of one finder.

    Attributes
    ----------
    results
        One per probe that was run, findings corrected over all of them (Holm).
    ranked
        Their leading findings, the gravest and largest first.
    not_applicable
        Probe → why this finder cannot be asked.
    not_on_hosts
        Probe → why it cannot be asked on real pixels, where the others were.
    """

    results: tuple[ProbeResult, ...]
    ranked: tuple[Ranked, ...]
    not_applicable: dict[str, str]
    not_on_hosts: dict[str, str] = field(default_factory=dict)

    def _facts(self) -> Facts:
        ran = {"probes": len(self.results), "biased": self.biased}
        refused = {"not applicable": sorted(self.not_applicable), "not on hosts": sorted(self.not_on_hosts)}
        return ran | {why: names for why, names in refused.items() if names}

    def _rows(self) -> list[Cells]:
        return [{"probe": one.probe, **one.finding.as_row(), "verdict": one.verdict.word} for one in self.ranked]

    @property
    def biased(self) -> bool:
        """Whether any finding is a bias."""
        return any(one.verdict.state is BIAS for one in self.ranked)

    @property
    def leading(self) -> str | None:
        """The probe whose bias is the largest; None where there is none."""
        return next((one.probe for one in self.ranked if one.verdict.state is BIAS), None)

    @property
    def answers(self) -> list[Answer]:
        """What each probe said, the gravest first."""
        return [
            Answer(one.probe, in_sentence(one.title), one.verdict.word, one.finding.n, one.verdict.needed)
            for one in self.ranked
        ]

    def next_steps(self) -> list[Step]:
        """What would settle the probes that are open."""
        first = self.results[0]
        runs_here = not first.finder.origin.startswith(OUTSIDE)
        finder = on_the_command_line(first.finder.name, first.finder.origin) if runs_here else ""
        steps = next_steps(self.answers, finder, first.settings.seed)
        if first.settings.hosts is None:
            return steps
        return [Step(f"{step.why}; give as many hosts, or --reuse-hosts") if step.command else step for step in steps]

    def to_json(self) -> Json:
        """``records`` (``probe.json`` of each), ``ranked``, ``not_applicable`` and ``not_on_hosts``."""
        refused = {"not_applicable": self.not_applicable, "not_on_hosts": self.not_on_hosts}
        found = {"records": self.results, "ranked": self.ranked, **refused}
        return {name: plain(value) for name, value in found.items()}

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return {**words, "results": words.get("records", ())}

    @classmethod
    def from_json(cls, words: Any, where: str = "", fix: str = "write it again") -> Self:
        """The audit of the results that `to_json` described, in today's words: corrected and ranked anew."""
        kept = super().from_json(words, where, fix)
        return cls._of(audited(kept.results, kept.not_applicable, kept.not_on_hosts))

    @classmethod
    def _of(cls, audit: ProbeAudit) -> Self:
        return cls(audit.results, audit.ranked, audit.not_applicable, audit.not_on_hosts)

    @property
    def index(self) -> AuditIndex:
        """What ``audit.json`` holds: what was found of each probe, whose results lie in folders beside it."""
        first = self.results[0] if self.results else None
        return AuditIndex(
            FORMAT,
            first.finder if first else None,
            self.ranked,
            in_short(self.answers),
            tuple(self.next_steps()) if first else (),
            self.not_applicable,
            {result.definition.name: result.settings for result in self.results},
            _provenance(first) if first else Provenance.here(),
            self.not_on_hosts,
        )

    def write(self, path: Path) -> Path:
        """Write ``audit.md`` and, last, ``audit.json`` into the folder `path`; each probe's result is written apart."""
        write_text(Path(path) / PAGE_FILE, audit_page(self))
        self.index.write(Path(path) / AUDIT_FILE)
        return Path(path)

    @classmethod
    def read(cls, path: Path, fix: str = "run lensaudit probe all again") -> Self:
        """The audit whose ``audit.json`` and probes lie in the folder `path`.

        Raises
        ------
        DataError
            A file is missing, torn, or of another kind, as that of ``lensaudit report``; the message names it.
        """
        _refuse_report(Path(path), fix)
        index = AuditIndex.read(Path(path) / AUDIT_FILE, fix)
        folders = [path_within(Path(path), one.probe) for one in index.ranked]
        results = [ProbeResult.read(folder, fix) for folder in folders]
        return cls._of(audited(results, index.not_applicable, index.not_on_hosts))


def _provenance(first: ProbeResult) -> Provenance:
    """Of the first result, with the inputs that all share: the weights, and the hosts where there are some."""
    hosts, inputs = first.settings.hosts, {"finder": first.finder.weights_hash}
    if hosts is not None:
        inputs[hosts.set] = first.provenance.inputs[hosts.set]
    return replace(first.provenance, inputs=inputs)


def _refuse_report(folder: Path, fix: str) -> None:
    """Refuse the folder of ``lensaudit report``, whose file has the same name and another content."""
    words = read_json(folder / AUDIT_FILE, fix)
    if isinstance(words, dict) and "schema" in words and "format" not in words:
        raise DataError(
            f"{folder / AUDIT_FILE}: is of lensaudit report, not of lensaudit probe all; "
            "read it with lensaudit.report.audit_file.read_audit"
        )


@dataclass(frozen=True)
class AuditIndex(Record):
    """``audit.json`` of an audit of probes.

    Attributes
    ----------
    format
        `FORMAT`.
    finder, ranked, not_applicable, not_on_hosts
        Of the audit; None where no probe applies.
    summary, next
        How many probes gave which verdict, and what to do next.
    probes
        Probe, whose folder has its name → its settings.
    provenance
        Version, command, seed, hash of the weights.
    """

    format: str
    finder: AuditedFinder | None
    ranked: tuple[Ranked, ...]
    summary: str
    next: tuple[Step, ...]
    not_applicable: dict[str, str]
    probes: dict[str, ProbeSettings]
    provenance: Provenance
    not_on_hosts: dict[str, str] = field(default_factory=dict)


def audited_probes(names: Sequence[str] = (), sources: Path | None = None) -> list[ProbeDefinition]:
    """Definitions of `names` (built-in, ``quick``, paths of YAML files); by default all that need no file.

    With `sources`, a folder or catalogue of real galaxies, the probe source-texture is among all; where it is named, it
    needs them.

    Raises
    ------
    UsageError
        One of them does not exist, two share a name, or real galaxies are lacking.
    """
    names = without_groups(names)
    own = [load_definition(name) for name in names if name != "all"]
    everything = [] if own and "all" not in names else map(load_definition, builtin_probes())
    found = [*(one for one in everything if one.audited or (sources is not None and one.textured)), *own]
    found = [with_sources(one, sources if one.textured else None) for one in found]
    doubled = {one.name for one in found if sum(other.name == one.name for other in found) > 1}
    if doubled:
        raise UsageError(f"probe {', '.join(sorted(doubled))} is given twice; give each once")
    return found


def audited(
    results: Sequence[ProbeResult],
    not_applicable: dict[str, str] | None = None,
    not_on_hosts: dict[str, str] | None = None,
) -> ProbeAudit:
    """Correct the findings of several probes together, and rank them."""
    rules = [(result.settings.tolerance, result.definition.nature) for result in results]
    asked = [against_tolerance(result.findings, *rule) for result, rule in zip(results, rules, strict=True)]
    everything = iter(corrected([finding for own in asked for finding in own]))
    found = (judged(islice(everything, len(own)), *rule) for own, rule in zip(asked, rules, strict=True))
    known = tuple(replace(result, findings=own) for result, own in zip(results, found, strict=True))
    ranked = sorted(map(_ranked, known), key=lambda one: (one.verdict.state.gravity, -cost(one.finding, one.nature)))
    return ProbeAudit(known, tuple(ranked), dict(not_applicable or {}), dict(not_on_hosts or {}))


def _ranked(result: ProbeResult) -> Ranked:
    nature = result.definition.nature
    finding = leading_finding(result.findings, nature)
    effect = finding.treated.value if nature == "contaminant" else finding.recall_change.value
    assert finding.verdict is not None
    return Ranked(
        result.definition.name,
        result.definition.title,
        nature,
        finding.verdict,
        finding,
        effect,
        meaning(result, finding),
        group(result, finding),
    )


def meaning(result: ProbeResult, finding: Finding) -> str:
    """One sentence for an astronomer: which lenses, from what recall to what, and what follows."""
    definition, state = result.definition, _state(finding)
    where = _where(result, finding)
    if not finding.n:
        return f"{where}: {state.word}, for no pair fulfils the condition."
    if definition.nature == "contaminant":
        scenes = "scenes" if result.settings.hosts is None else "hosts"
        called_one = f"{percent(finding.treated.value)} of {finding.n} {scenes} without a lens are called one"
        return f"{where}, {called_one}: {definition.consequence if state is FALSE_POSITIVES else state.word}."
    control, treated = (decimal(one.value, 2) for one in (finding.control, finding.treated))
    numbers = f"from {control} to {treated} (n = {finding.n} pairs)"
    change = finding.recall_change.value
    moved = f"recall {'falls' if change < 0 else 'rises' if change > 0 else 'goes'} {numbers}"
    if state.beyond and state is not TENTATIVE:
        return f"{where}, {moved}: {definition.consequence}."
    return f"{where}, {moved}: {state.word}."


def group(result: ProbeResult, finding: Finding) -> str | None:
    """Which lenses a finding is about, in physical units, from where the loss exceeds the tolerance on.

    Words after "lenses"; None where the probe has no doses.
    """
    doses = result.definition.doses
    if doses is None or finding.dose is None:
        return None
    open_or_beyond = _state(finding).open or _state(finding).beyond
    words = lenses_beyond if open_or_beyond and finding.recall_change.value < 0 else lenses_at
    return words(doses, finding.dose, result.response(finding.population)) + _pixels(result)


def _pixels(result: ProbeResult) -> str:
    """``, in real pixels (hosts of q1)``; empty where scenes were drawn."""
    hosts = result.settings.hosts
    return "" if hosts is None else f", in real pixels (hosts of {hosts.set})"


def _state(finding: Finding) -> State:
    assert finding.verdict is not None
    return finding.verdict.state


def _where(result: ProbeResult, finding: Finding) -> str:
    doses = result.definition.doses
    if doses is None or finding.dose is None:
        subset = () if finding.subset == ALL_PAIRS else (finding.subset,)
        pairs = ", ".join((called(finding.population), *subset))
        if result.settings.hosts is not None:
            return result.definition.title + _pixels(result)
        return result.definition.title + ("" if pairs == LENSES else f" ({pairs})")
    return f"For lenses {lenses_at(doses, finding.dose, result.response(finding.population))}{_pixels(result)}"


def _step_line(step: Step) -> str:
    return f"Next: {step.why}" + (f": `{step.command}`" if step.command else ".")


def _on(settings: ProbeSettings) -> str:
    return "" if settings.hosts is None else in_markdown(f", {settings.hosts.words}")


def audit_page(audit: ProbeAudit) -> str:
    """The audit as Markdown: one table, the leading finding of every probe."""
    finder = audit.results[0].finder
    settings = audit.results[0].settings
    lines = [
        f"# Probes of {finder.name}",
        "",
        f"{len(audit.results)} probes, {settings.n} pairs each, seed {settings.seed}{_on(settings)}; found means p ≥ "
        f"{shortest(finder.threshold)}. {P_IS}. A probe is known by its leading finding, the one that costs most among "
        "those of the gravest verdict.",
        "",
        in_markdown(in_short(audit.answers)),
        "",
        *((in_markdown(settings.hosts.note), "") if settings.hosts else ()),
        *(line for step in audit.next_steps() for line in (_step_line(step), "")),
    ]
    rows = []
    for one in audit.ranked:
        change = one.finding.recall_change
        rows.append(
            (
                f"[{one.probe}]({one.probe}/probe.md)",
                one.nature,
                f"**{one.verdict.word}**",
                with_interval(change.value, change.low, change.high, sign=True),
                p_short(one.finding.p_holm),
                in_markdown(one.meaning),
            )
        )
    rows += [(name, "", "not applicable", "", "", in_markdown(why)) for name, why in audit.not_applicable.items()]
    rows += [(name, "", "not on hosts", "", "", in_markdown(why)) for name, why in audit.not_on_hosts.items()]
    head = ("probe", "kind", "verdict", "change of recall (95 %)", "Holm p", "meaning")
    return "\n".join([*lines, markdown_table(head, rows)]) + "\n"
