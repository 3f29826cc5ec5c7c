"""An audit: many probes of one finder, corrected together and ranked by what they found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.files import writable_folder, write_json, write_text
from lensaudit.finders import Finder
from lensaudit.probes.applicable import why_not_applicable
from lensaudit.probes.collect import ChangesNothing
from lensaudit.probes.definition import ProbeDefinition, builtin_probes, load_definition
from lensaudit.probes.elsewhere import seen_by, why_no_scene
from lensaudit.probes.finding import ALL_PAIRS, Finding, concluded, corrected
from lensaudit.probes.options import ProbeOptions
from lensaudit.probes.result import ProbeResult, without_nan
from lensaudit.probes.run import run_probe
from lensaudit.probes.verdict import BIAS, FALSE_POSITIVES, SELECTION, WORDS, Verdict
from lensaudit.provenance import provenance
from lensaudit.untrusted import path_within

AUDIT_FILE = "audit.json"
PAGE_FILE = "audit.md"
FORMAT = "lensaudit-probe-audit/1"
GRAVE = (BIAS, FALSE_POSITIVES, SELECTION)


@dataclass(frozen=True)
class Ranked:
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
        What it is ranked by: the change of recall, of a contaminant the share called a lens.
    meaning
        One sentence: where, from what to what, and what it means for a survey.
    """

    probe: str
    title: str
    nature: str
    verdict: Verdict
    finding: Finding
    effect: float
    meaning: str


@dataclass(frozen=True)
class ProbeAudit:
    """All probes of one finder.

    Attributes
    ----------
    results
        One per probe that was run, findings corrected over all of them (Holm).
    ranked
        Their leading findings, the gravest and largest first.
    not_applicable
        Probe → why this finder cannot be asked.
    """

    results: tuple[ProbeResult, ...]
    ranked: tuple[Ranked, ...]
    not_applicable: dict[str, str]

    @property
    def biased(self) -> bool:
        """Whether any finding is a bias."""
        return any(one.verdict.word == BIAS for one in self.ranked)

    @property
    def leading(self) -> str | None:
        """The probe whose bias is the largest; None where there is none."""
        return next((one.probe for one in self.ranked if one.verdict.word == BIAS), None)

    def to_json(self) -> dict[str, Any]:
        """``audit.json``: finder, settings, ranked findings, probes that do not apply."""
        first = self.results[0] if self.results else None
        record = {
            "format": FORMAT,
            "finder": asdict(first.finder) if first else None,
            "ranked": [asdict(one) for one in self.ranked],
            "not_applicable": self.not_applicable,
            "probes": {result.definition.name: asdict(result.settings) for result in self.results},
            "provenance": provenance(
                seed=first.settings.seed if first else None,
                inputs={"finder": first.finder.weights_hash} if first else {},
            ),
        }
        return dict(without_nan(record))


def audited_probes(names: Sequence[str] = ()) -> list[ProbeDefinition]:
    """Definitions of `names` (built-in, or paths of YAML files); by default all built-in ones that need no file.

    Raises
    ------
    UsageError
        One of them does not exist, or two share a name.
    """
    definitions = [load_definition(name) for name in (names or builtin_probes())]
    found = [one for one in definitions if one.audited or names]
    doubled = {one.name for one in found if sum(other.name == one.name for other in found) > 1}
    if doubled:
        raise UsageError(f"probe {', '.join(sorted(doubled))} is given twice; give each once")
    return found


def run_audit(
    finder: Finder,
    n: int,
    seed: int,
    out: Path,
    probes: Sequence[str] = (),
    options: ProbeOptions | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ProbeAudit:
    """Run probes one after the other into ``out/PROBE``; write ``audit.json`` and ``audit.md``.

    A probe that does not apply to this finder is listed with its reason. Findings of all probes are corrected together.

    Raises
    ------
    UsageError
        As `run_probe`; or no probe applies.
    """
    definitions = [seen_by(definition, finder) for definition in audited_probes(probes)]
    folder = writable_folder(Path(out))
    (folder / AUDIT_FILE).unlink(missing_ok=True)  # where it lies, everything it names lies too
    results, refused = [], {}
    for definition in definitions:
        if reason := why_not_applicable(definition, finder) or why_no_scene(definition):
            refused[definition.name] = reason
            continue
        told = None if progress is None else partial(_told, progress, definition.name)
        try:
            results.append(run_probe(definition, finder, n, seed, path_within(folder, definition.name), options, told))
        except ChangesNothing as nothing:
            # For instance bands swapped that this finder does not look at; the other probes have their say.
            refused[definition.name] = str(nothing)
    if not results:
        raise UsageError(f"no probe applies to finder '{finder.name}': {next(iter(refused.values()))}")
    audit = audited(results, refused)
    write_audit(audit, folder)
    return audit


def write_audit(audit: ProbeAudit, folder: Path) -> None:
    """Write ``audit.md`` and, last, ``audit.json`` into `folder`."""
    write_text(folder / PAGE_FILE, audit_page(audit))
    write_json(folder / AUDIT_FILE, audit.to_json())


def _told(progress: Callable[[str, int, int], None], name: str, what: str, done: int, total: int) -> None:
    progress(f"{name}: {what}", done, total)


def audited(results: Sequence[ProbeResult], not_applicable: dict[str, str] | None = None) -> ProbeAudit:
    """Correct the findings of several probes together, and rank them."""
    everything = corrected([finding for result in results for finding in result.findings])
    judged, place = [], 0
    for result in results:
        own = everything[place : place + len(result.findings)]
        place += len(result.findings)
        findings = concluded(own, result.settings.tolerance, result.definition.nature, keep_holm=True)
        judged.append(replace(result, findings=findings))
    ranked = sorted((_ranked(result) for result in judged), key=_gravity)
    return ProbeAudit(tuple(judged), tuple(ranked), dict(not_applicable or {}))


def _gravity(one: Ranked) -> tuple[int, float]:
    return WORDS.index(one.verdict.word), -abs(one.effect) if math.isfinite(one.effect) else 0.0


def _ranked(result: ProbeResult) -> Ranked:
    finding = leading_finding(result.findings)
    contaminant = result.definition.nature == "contaminant"
    effect = finding.treated.value if contaminant else finding.recall_change.value
    assert finding.verdict is not None
    return Ranked(
        result.definition.name,
        result.definition.title,
        result.definition.nature,
        finding.verdict,
        finding,
        effect,
        meaning(result, finding),
    )


def leading_finding(findings: Iterable[Finding]) -> Finding:
    """The finding a probe is known by: of the gravest verdict, the largest change of recall."""
    counted = [f for f in findings if f.verdict and (f.verdict.word in GRAVE or f.subset == ALL_PAIRS)]

    def order(finding: Finding) -> tuple[int, float]:
        assert finding.verdict is not None
        size = abs(finding.recall_change.value)
        return WORDS.index(finding.verdict.word), -size if math.isfinite(size) else 0.0

    return min(counted, key=order)


def meaning(result: ProbeResult, finding: Finding) -> str:
    """One sentence for an astronomer: where, from what to what, and what follows."""
    definition = result.definition
    assert finding.verdict is not None
    where = _where(result, finding)
    if definition.nature == "contaminant":
        told = f"{where}, {finding.treated.value:.0%} of the scenes without a lens are called one"
        return told + (f": {definition.consequence}." if finding.verdict.word == FALSE_POSITIVES else ".")
    numbers = f"from {finding.control.value:.2f} to {finding.treated.value:.2f} (n = {finding.n} pairs)"
    if finding.verdict.word in GRAVE:
        verb = "falls" if finding.recall_change.value < 0 else "rises"
        return f"{where}, recall {verb} {numbers}: {definition.consequence}."
    return f"{where}, recall goes {numbers}: {finding.verdict.word}."


def _where(result: ProbeResult, finding: Finding) -> str:
    doses = result.definition.doses
    if doses is None or finding.dose is None:
        return f"{result.definition.title} ({finding.population}, {finding.subset})"
    phrase = doses.phrase.replace("{dose}", f"{finding.dose:g}")
    return phrase[0].upper() + phrase[1:]


def audit_page(audit: ProbeAudit) -> str:
    """The audit as Markdown: one table, the leading finding of every probe."""
    finder = audit.results[0].finder
    settings = audit.results[0].settings
    lines = [
        f"# Probes of {finder.name}",
        "",
        f"{len(audit.results)} probes, {settings.n} pairs each, seed {settings.seed}; found means p ≥ "
        f"{finder.threshold:g}. McNemar's p is corrected after Holm over all findings of all probes. A probe is known "
        "by its leading finding, the largest change among those of the gravest verdict.",
        "",
        "| probe | kind | verdict | change of recall (95 %) | Holm p | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in audit.ranked:
        change = one.finding.recall_change
        lines.append(
            f"| [{one.probe}]({one.probe}/probe.md) | {one.nature} | **{one.verdict.word}** | {change.value:+.3f} "
            f"[{change.low:+.3f}, {change.high:+.3f}] | {one.finding.p_holm:.2g} | {one.meaning} |"
        )
    lines += [f"| {name} | | not applicable | | | {why} |" for name, why in audit.not_applicable.items()]
    return "\n".join(lines) + "\n"
