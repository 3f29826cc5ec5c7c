"""The probes as a block of the audit, laid out for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lensaudit.display.numbers import count, percent, shortest, significant
from lensaudit.probes import ProbeAudit, builtin_probes, load_definition
from lensaudit.probes.audit import Ranked
from lensaudit.probes.definition import TEXTURE, Published
from lensaudit.probes.finding import ALL_PAIRS, Finding, Recall, called
from lensaudit.probes.response import Response
from lensaudit.probes.result import HostsUsed, ProbeResult
from lensaudit.probes.steps import Step
from lensaudit.probes.verdict import Estimate, Verdict
from lensaudit.report.probe_block import (
    ArmGroup,
    DoseAxis,
    DoseResponse,
    PairCounts,
    ProbeDetail,
    ProbeRate,
    ProbeRow,
    ProbesBlock,
    PublishedRecall,
    PublishedRow,
    PublishedTable,
    TruthRow,
    Unprobed,
)
from lensaudit.report.render import TRUTH, truth_words
from lensaudit.verdicts import INCONCLUSIVE, NATURES, STATES, TENTATIVE, in_sentence

if TYPE_CHECKING:
    pass


def row_of(one: Ranked, result: ProbeResult) -> ProbeRow:
    """One row of the table: the leading finding of the probe `result` is of."""
    finding, contaminant = one.finding, one.nature == "contaminant"
    effect = finding.treated if contaminant else finding.recall_change
    return ProbeRow(
        probe=one.probe,
        title=one.title,
        nature=one.nature,
        verdict=one.verdict.word,
        sentence=one.verdict.sentence,
        meaning=one.meaning,
        effect=Estimate(effect.value, effect.low, effect.high),
        effect_of="fraction called a lens" if contaminant else "change of recall",
        control=rate_of(finding.control),
        treated=rate_of(finding.treated),
        population=finding.population,
        subset=finding.subset,
        dose=finding.dose,
        n=finding.n,
        p_holm=finding.p_holm,
        test=finding.test,
        tolerance=result.settings.tolerance,
        group=_group(one, result),
        needed=one.verdict.needed,
        advice=_advice(one.verdict),
        hosts=_hosts(result),
    )


def _hosts(result: ProbeResult) -> str:
    return "" if result.settings.hosts is None else result.settings.hosts.set


def rate_of(recall: Recall) -> ProbeRate:
    """A recall of ``probe.json`` as the page writes rates."""
    return ProbeRate(recall.k, recall.n, recall.low, recall.high)


def _group(one: Ranked, result: ProbeResult) -> str:
    if one.group is not None:
        return f"lenses {one.group}"
    hosts = result.settings.hosts
    if one.nature == "contaminant":
        return f"{'scenes' if hosts is None else 'hosts'} without a lens ({in_sentence(one.title)})"
    population = one.finding.population
    name = called(population)
    return f"lenses in the probe “{one.title}”" if name == population or hosts is not None else name


def _advice(verdict: Verdict) -> str:
    if verdict.needed is not None:
        return f"About {count(verdict.needed)} pairs would settle it."
    if verdict.state in (TENTATIVE, INCONCLUSIVE):
        return "It lies too near the tolerance for more pairs to settle it."
    return ""


def detail_of(one: Ranked, result: ProbeResult, architecture: str) -> ProbeDetail:
    """One probe in full, but for the pairs shown.

    Parameters
    ----------
    result
        Its findings corrected over the whole audit.
    architecture
        Of the finder, so that its published recall is found.
    """
    definition, first = result.definition, result.findings[0]
    return ProbeDetail(
        probe=definition.name,
        title=definition.title,
        nature=definition.nature,
        question=definition.question,
        about=definition.meaning,
        verdict=one.verdict.word,
        open=one.verdict.state.beyond,
        meaning=one.meaning,
        sentence=one.verdict.sentence,
        tolerance=result.settings.tolerance,
        threshold=result.finder.threshold,
        change_method=first.recall_change.method,
        logit_method=first.logit_change.method,
        doses=DoseAxis.from_json(definition.doses.model_dump()) if definition.doses else None,
        groups=tuple(_effect_group(finding, result, architecture) for finding in result.findings),
        responses=tuple(_response(response, result.settings.tolerance) for response in result.responses),
        how=_how(result),
        published=_published(definition.published, architecture),
        pairs_note=_pairs_note(result),
        hosts=_hosts(result),
    )


def _effect_group(finding: Finding, result: ProbeResult, architecture: str) -> ArmGroup:
    assert finding.verdict is not None
    everything, name = finding.subset == ALL_PAIRS, called(finding.population)
    beside = _beside(result.definition.published, finding.population, architecture) if everything else ()
    return ArmGroup(
        title=name if everything else f"{name} that fulfil the lens rule",
        population=finding.population,
        everything=everything,
        dose=finding.dose,
        control=rate_of(finding.control),
        treated=rate_of(finding.treated),
        recall_change=finding.recall_change,
        effect=finding.logit_change,
        discordant=PairCounts(finding.lost, finding.gained, finding.p_value, finding.p_holm),
        test=finding.test,
        verdict=finding.verdict.word,
        sentence=finding.verdict.sentence,
        published=beside,
    )


def _response(response: Response, tolerance: float) -> DoseResponse:
    rows = []
    for column in sorted(response.truth, key=_place):
        values = response.truth[column]
        known = [value for value in values if not math.isnan(value)]
        if known:
            label, unit = truth_words(column)
            changes = max(known) - min(known) > 1e-9 + 0.001 * max(abs(value) for value in known)
            rows.append(TruthRow(label, unit, values, changes))
    numbers = response.crossing, response.low, response.high, response.crossed
    truth = tuple(sorted(rows, key=lambda row: not row.changes))
    return DoseResponse(response.population, *numbers, _crossing(response, tolerance), truth)


def _place(column: str) -> int:
    """Order of the rows; a column this page has no name for comes last."""
    return list(TRUTH).index(column) if column in TRUTH else len(TRUTH)


def _crossing(response: Response, tolerance: float) -> str:
    if math.isnan(response.crossing):
        return f"At no strength is the measured loss of recall above the tolerated {tolerance:g}."
    ends = [
        "beyond the last strength" if math.isnan(end) else significant(end) for end in (response.low, response.high)
    ]
    return (
        f"Walking away from the control by straight lines, the loss of recall first exceeds the tolerated "
        f"{tolerance:g} at {significant(response.crossing)} on this axis (95 % bootstrap interval {ends[0]} to "
        f"{ends[1]}; {percent(response.crossed)} of the resamples get there)."
    )


def _how(result: ProbeResult) -> str:
    definition, settings, finder = result.definition, result.settings, result.finder
    rule, doses = definition.lens_rule, definition.doses
    populations = definition.modes[settings.mode].populations
    drawn = " and ".join(f"{settings.n} scenes “{name}”" for name in populations.values())
    note = "" if settings.hosts else f" {result.mode_note.strip()}"
    where = f"{drawn} ({definition.instrument}, seed {settings.seed}, mode “{settings.mode}”), each rendered"
    if settings.hosts is not None:
        where = f"{settings.n} pairs in {settings.hosts.words} (seed {settings.seed}), each arc rendered"
    control, treated = (_steps(steps) for steps in (definition.edits.control, definition.edits.treated))
    strengths = f" at {', '.join(map(shortest, doses.values))}" if doses else ""
    seen = ", ".join(f"{k} of {settings.n} {called(label)}" for label, k in result.visible_edits.items())
    condition = f" A pair fulfils the lens rule where both arms have {rule.describe()}." if rule else ""
    return (
        f"{where} with the same noise as control ({control}) and treated ({treated}{strengths}).{note}"
        f"{condition} In the first band the edit changes more than 20 pixels by more than half the noise in {seen}"
        f"{' at the last strength' if doses else ''}; in the others no finder of that band alone can react. Found "
        f"means p ≥ {significant(finder.threshold)}, stretch {finder.stretch}."
    )


def _steps(steps: Sequence[Step]) -> str:
    words = [
        step.edit.replace("identity", "as drawn").replace("-", " ")
        + ("" if step.strength is None else f" {shortest(step.strength)}")
        for step in steps
    ]
    return ", then ".join(words)


def _pairs_note(result: ProbeResult) -> str:
    doses = result.definition.doses
    last = f"; treated at the last strength, {shortest(doses.values[-1])}" if doses else ""
    return f"Chosen by the change of logit{last}."


def _beside(published: Published | None, population: str, architecture: str) -> tuple[PublishedRecall, ...]:
    """Published recalls drawn beside ours: those of the same architecture, else of all finders there are."""
    if published is None:
        return ()
    names = [name for name in published.recall if _same(name, architecture)] or sorted(published.recall)
    recalls: Mapping[str, float | None] = {name: published.recall[name].get(population) for name in names}
    return tuple(PublishedRecall(name, recall) for name, recall in recalls.items() if recall is not None)


def _published(published: Published | None, architecture: str) -> PublishedTable | None:
    if published is None:
        return None
    populations = sorted({p for recalls in published.recall.values() for p in recalls})
    rows = tuple(
        PublishedRow(name, tuple(recalls.get(p) for p in populations), _same(name, architecture))
        for name, recalls in sorted(published.recall.items())
    )
    columns = tuple(called(p) for p in populations)
    return PublishedTable(published.caption.rstrip(".") + ".", published.source, published.threshold, columns, rows)


def _same(published: str, architecture: str) -> bool:
    return published.casefold().replace("-", "") == architecture.casefold().replace("-", "")


COMPOUND = "compound"


ON_HOSTS = "-on-hosts"


def hosted_name(probe: str) -> str:
    """A probe on hosts as the page tells it from the same one on drawn scenes: ``red-source-on-hosts``."""
    return probe + ON_HOSTS


def _together(found: list[tuple[Ranked, ProbeResult]]) -> list[tuple[Ranked, ProbeResult]]:
    """Each probe on hosts right below the one on drawn scenes; the graver of both says where they stand."""
    names = [one.probe.removesuffix(ON_HOSTS) for one, _ in found]
    first = {name: names.index(name) for name in names}
    return sorted(
        found, key=lambda one: (first[one[0].probe.removesuffix(ON_HOSTS)], one[1].settings.hosts is not None)
    )


def laid_out(
    audit: ProbeAudit,
    titles: dict[str, str],
    architecture: str,
    asked: tuple[int, int],
    hosts: HostsUsed | None = None,
) -> ProbesBlock:
    """The block of an audit, without pairs.

    Parameters
    ----------
    titles
        Probes that were asked for → their titles.
    architecture
        Of the finder.
    asked
        Pairs of each population, and the seed.
    hosts
        Real cutouts that probes were asked on too.
    """
    results = {result.definition.name: result for result in audit.results}
    found = _together([(one, results[one.probe]) for one in audit.ranked])
    return ProbesBlock(
        *asked,
        n_findings=sum(len(result.findings) for result in audit.results),
        rows=tuple(row_of(*one) for one in found),
        details=tuple(detail_of(*one, architecture) for one in found),
        not_applicable=tuple(Unprobed(name, titles[name], why) for name, why in audit.not_applicable.items()),
        not_on_hosts=tuple(Unprobed(name, titles[name], why) for name, why in audit.not_on_hosts.items()),
        hosts=hosts,
        left_out=_left_out(titles),
        words=tuple({"word": state.word, "meaning": state.definition} for state in STATES),
        natures=tuple({"nature": nature, "meaning": meaning} for nature, meaning in NATURES),
    )


def has_compound(probes: ProbesBlock | None) -> bool:
    """Whether the compound probe was run."""
    return probes is not None and any(row.probe == COMPOUND for row in probes.rows)


def _left_out(run: dict[str, str]) -> tuple[Unprobed, ...]:
    """Built-in probes that were not asked for."""
    missing = [load_definition(name) for name in builtin_probes() if name not in run]
    needs = {TEXTURE: "needs real galaxies: give a folder of stamps or a catalogue by --sources"}
    with_file = {one.name: f"needs a file of its own: lensaudit probe {one.name}" for one in missing} | needs
    why = {one.name: "not asked for; --probe all runs it" if one.audited else with_file[one.name] for one in missing}
    return tuple(Unprobed(one.name, one.title, why[one.name]) for one in missing)
