"""What opens the page: a headline, a few sentences, and what to do next."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from lensaudit.display.numbers import count, decimal, interval, percent, percent_interval, plural, significant
from lensaudit.report.findings import PROBES
from lensaudit.report.probe_block import ProbeRow, ProbesBlock
from lensaudit.report.schema import AuditedSet, Finding, Headline, Measured, Performance
from lensaudit.statistics import TYPICAL_DISCORDANT, pairs_needed
from lensaudit.verdicts import (
    BIAS,
    CHANCE,
    FALSE_POSITIVES,
    INCONCLUSIVE,
    NOT_ASSESSABLE,
    SELECTION,
    TENTATIVE,
    Answer,
    Step,
    in_sentence,
    in_short,
    next_steps,
    on_the_command_line,
    pairs_each,
    present_word,
    state_of,
)

UNLABELLED, INVERTED, CLEAR = "unlabelled", "inverted", "clear"
SMALL = 100
"""With fewer lenses the headline says how many, and the interval of the recall."""

MOST_LENSES_AT_ONCE = 2000
"""Comparisons that need more lenses than this are left out of the command that settles the others."""


def verdict(audit: Measured, findings: Sequence[Finding]) -> Headline:
    """Headline, sentences, a level (see `level`), and what to do next, from an audit and its ranked findings."""
    probed = [in_short(answers_of(audit.probes)), _fewer_pairs(audit.probes)]
    in_the_set = [_found(audit.performance, audit.finder.name), _alarms(audit.performance), *_losses(findings)]
    return Headline(
        level=level(audit, findings),
        headline=_headline(audit, findings),
        sentences=tuple(sentence for sentence in (" ".join(filter(None, probed)), *in_the_set) if sentence),
        next=tuple(steps(audit, findings)),
    )


def level(audit: Measured, findings: Sequence[Finding]) -> str:
    """How the audit ends.

    ``unlabelled`` without lenses and probes, ``inverted`` where AUROC's interval lies below 0.5, ``chance`` where it
    holds 0.5; else the word of the gravest state that is found and open or accusing. ``clear`` only where every probe
    that applies and every comparison is settled without an accusation, and at least one probe was run.
    """
    area = audit.performance.metric("auroc")
    if area and not math.isnan(area.low):
        if area.high < 0.5:
            return INVERTED
        if area.low <= 0.5:
            return CHANCE
    rows = _rows(audit)
    if audit.performance.n_lenses == 0 and not rows:
        return UNLABELLED
    found = {state_of(finding.verdict) for finding in findings}
    counted = [state for state in found if state.open or state in (BIAS, FALSE_POSITIVES)]
    if counted:
        return min(counted, key=lambda state: state.gravity).word
    return CLEAR if rows else INCONCLUSIVE.word


def _rows(audit: Measured) -> Sequence[ProbeRow]:
    return audit.probes.rows if audit.probes else ()


def _headline(audit: Measured, findings: Sequence[Finding]) -> str:
    name, state = audit.finder.name, level(audit, findings)
    if state == UNLABELLED:
        return f"{name}: scores without a verdict, because this set has no labelled lenses"
    area = audit.performance.metric("auroc")
    if state in (INVERTED, CHANCE) and area:
        where = f"AUROC {decimal(area.value)}, 95 % interval {interval(area.low, area.high)}"
        if state == INVERTED:
            return f"{name} is worse than guessing ({where}): are the labels or the lens output swapped?"
        return f"{name} cannot be told from guessing on this set ({where})"
    clauses = [*_accusation(findings), *_open(audit, findings)]
    if state == CLEAR:
        clauses += _natural(findings)
        rows = _rows(audit)
        other = " other" if clauses else ""
        clauses.append(f"no{other} loss beyond the tolerance in {plural(len(rows), 'probe')} with {_pairs(rows)}")
    elif not clauses:
        clauses.append("which lenses it loses was not measured")
    return "; ".join([_finds(name, audit.performance), *clauses]).replace("; and ", " and ", 1)


def _finds(name: str, performance: Performance) -> str:
    n = performance.n_lenses
    if n == 0 or performance.confusion is None:
        return f"{name}: this set has no labelled lenses"
    k, recall = performance.confusion.tp, performance.metric("recall")
    if n >= SMALL or recall is None:
        return f"{name} finds {percent(k / n)} of {plural(n, 'lens', 'lenses')}"
    spread = percent_interval(recall.low, recall.high)
    return f"{name} finds {count(k)} of {plural(n, 'lens', 'lenses')} (95 % interval {spread})"


def _accusation(findings: Sequence[Finding]) -> list[str]:
    """What it is shown to lose that it must not, in physical units; a probe's finding before one of the set."""
    from_probes_first = sorted(findings, key=lambda finding: finding.source != PROBES)
    for wanted in ((BIAS, True), (BIAS, False), (FALSE_POSITIVES, False)):
        for finding in from_probes_first:
            if (state_of(finding.verdict), finding.loses) == wanted:
                return [_accused(finding)]
    return []


def _accused(finding: Finding) -> str:
    if not finding.loses:
        return f"and is misled, above all, by {finding.group}"
    if finding.rises:
        return f"and finds more {finding.group}, though nothing of the lens changed"
    return f"and loses, above all, {finding.group}"


def _natural(findings: Sequence[Finding]) -> list[str]:
    """The largest loss that is natural, and shown."""
    found = [finding for finding in findings if state_of(finding.verdict) is SELECTION and finding.loses]
    return [f"it loses {found[0].group}, which is natural and must be counted"] if found else []


def _open(audit: Measured, findings: Sequence[Finding]) -> list[str]:
    """How many probes are open, and the likeliest loss among them; without any, among the comparisons of the set."""
    rows = _rows(audit)
    few = [row for row in rows if state_of(row.verdict) is NOT_ASSESSABLE]
    left = [row for row in rows if state_of(row.verdict).open and state_of(row.verdict) is not NOT_ASSESSABLE]
    clauses = []
    if few:
        clauses.append(f"it finds too few lenses for {_of(len(few), len(rows))} to be assessed")
    if left:
        clauses.append(f"{_counted(left, len(rows), 'probe')} with {_pairs(left)}" + _likeliest(findings, probes=True))
    own = [finding for finding in findings if finding.source != PROBES]
    waiting = [finding for finding in own if state_of(finding.verdict).open]
    if not clauses and waiting:
        said = _counted(waiting, len(own), "comparison", " within the set")
        clauses.append(said + _likeliest(findings, probes=False))
    return clauses


def _pairs(rows: Sequence[ProbeRow]) -> str:
    return pairs_each(row.n for row in rows)


def _counted(rows: Sequence[ProbeRow] | Sequence[Finding], total: int, what: str, where: str = "") -> str:
    """``2 of 6 probes are inconclusive and 1 is tentative``: what is not settled, each by its own word."""
    words = Counter(present_word(row.verdict) for row in rows)
    said = [f"{count(n)} {'is' if n == 1 else 'are'} {word}" for word, n in words.most_common()]
    number, verb = said[0].split(" ", 1)
    return " and ".join([f"{number} of {plural(total, what)}{where} {verb}", *said[1:]])


def _likeliest(findings: Sequence[Finding], *, probes: bool) -> str:
    """The largest loss whose estimate lies beyond the tolerance among what is not settled; empty without any."""
    for natural in (False, True):
        for one in findings:
            open_loss = state_of(one.verdict) in (TENTATIVE, INCONCLUSIVE) and one.loses and one.gap > one.tolerance
            if open_loss and (one.source == PROBES) == probes and one.difficult == natural:
                return f", the likeliest loss: {one.group}"
    return ""


def _of(k: int, total: int) -> str:
    return f"{count(k)} of {plural(total, 'probe')}"


def _fewer_pairs(probes: ProbesBlock | None) -> str:
    """That the pairs are fewer than it takes to exclude a loss; empty where they are enough."""
    if probes is None or not probes.rows:
        return ""
    tolerance = min(row.tolerance for row in probes.rows)
    needed = pairs_needed(tolerance, TYPICAL_DISCORDANT)
    if probes.n >= needed:
        return ""
    return (
        f"{plural(probes.n, 'pair')} each are fewer than the {count(needed)} that exclude a loss of "
        f"{significant(tolerance)} nine times in ten where {percent(TYPICAL_DISCORDANT)} of the pairs differ by chance "
        "(lensaudit probe power), so that inconclusive probes were to be expected."
    )


def answers_of(probes: ProbesBlock | None, *, hosts: bool = True) -> list[Answer]:
    """What the probes said, as far as a summary needs it; those on hosts too unless they are left out."""
    return [
        Answer(row.probe, in_sentence(row.title), row.verdict, row.n, row.needed)
        for row in (() if probes is None else probes.rows)
        if hosts or not row.hosts
    ]


def _more_hosts(probes: ProbesBlock) -> list[Step]:
    """How many hosts would settle what is open on them."""
    waiting = [row.needed for row in probes.rows if row.hosts and row.needed and state_of(row.verdict).open]
    if not waiting or probes.hosts is None:
        return []
    named = plural(len(waiting), "probe")
    return [Step(f"{count(max(waiting))} hosts (now {count(probes.hosts.distinct)}) would settle {named} on hosts")]


def steps(audit: Measured, findings: Sequence[Finding]) -> list[Step]:
    """What to do next, the most urgent first."""
    state, probes = level(audit, findings), audit.probes
    named = on_the_command_line(audit.finder.name, audit.finder.origin)
    if state == INVERTED:
        return [Step("check that label 1 means a lens, and which output of the finder is the lens; then audit again")]
    if state == CHANCE:
        return [Step("check bands, units and stretch of these cutouts against the finder's, or train it further")]
    found = [
        Step(f"train with more {finding.group}, or correct the counts for what is lost there")
        for finding in findings
        if state_of(finding.verdict) is BIAS and finding.loses and not finding.rises
    ][:1]
    if probes is None:
        found.append(Step("run the probes: repeat the command without --probe none"))
    else:
        found += next_steps(answers_of(probes, hosts=False), named, probes.seed) + _more_hosts(probes)
    return found + _larger_set(audit.set, findings)


def _larger_set(drawn: AuditedSet, findings: Sequence[Finding]) -> list[Step]:
    """A set that would settle the comparisons of the set's own lenses."""
    waiting = [finding.needed for finding in findings if finding.source != PROBES and finding.needed]
    soon = [needed for needed in waiting if needed <= MOST_LENSES_AT_ONCE]
    if not soon or not drawn.simulated:
        return []
    n = 2 * max(soon)  # half of a simulated set are lenses
    named = plural(len(soon), "comparison")
    command = f"lensaudit simulate {drawn.instrument} --population {drawn.population} --n {n} --seed {n}"
    more = re.search(r"\d( --[a-z]+ [\d.]+:[\d.]+)$", drawn.made_by)  # what was asked for beside these: reddened arcs
    command += more.group(1) if more else ""
    return [Step(f"a set of {count(n)} would settle {named} of this set's own lenses", f"{command} --out runs/set-{n}")]


def _found(performance: Performance, name: str) -> str:
    confusion, n = performance.confusion, performance.n_lenses
    threshold = significant(performance.threshold)
    if n == 0 or confusion is None:
        return (
            f"{name} scored {plural(performance.n, 'cutout')}, "
            f"{plural(performance.n_above, 'of them', 'of them')} at or above its threshold p = {threshold}."
        )
    recall = performance.metric("recall")
    spread = f" (95 % interval {percent_interval(recall.low, recall.high)})" if recall else ""
    return (
        f"At its threshold p = {threshold} it finds {count(confusion.tp)} of {plural(n, 'lens', 'lenses')}, "
        f"{percent(recall.value if recall else confusion.tp / n)}{spread}, and loses {count(confusion.fn)}."
    )


def _losses(findings: Sequence[Finding]) -> list[str]:
    """The comparisons within the set, in one or two sentences."""
    own = [finding for finding in findings if finding.source != PROBES]
    shown = [finding for finding in own if state_of(finding.verdict) in (BIAS, SELECTION)]
    if shown:
        return [f"{finding.text}." for finding in shown[:2]]
    waiting = [finding for finding in own if state_of(finding.verdict).open]
    if waiting:
        counted = _counted(waiting, len(own), "comparison", " within the set")
        return [f"{counted}; first: {_inline(waiting[0].text)}."]
    if own:
        return [f"{plural(len(own), 'comparison')} within the set: no gap beyond the tolerance."]
    return []


def _alarms(performance: Performance) -> str:
    rate, n = performance.false_positive_rate, performance.n_non_lenses
    if n == 0 or rate is None:
        return ""
    return (
        f"Of {plural(n, 'non-lens', 'non-lenses')} it calls {count(rate.k)} a lens: {percent(rate.value)} "
        f"(95 % interval {percent_interval(rate.low, rate.high)})."
    )


def _inline(text: str) -> str:
    return text[0].lower() + text[1:]
