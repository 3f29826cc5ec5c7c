"""``probe.md``: the result as a page of text."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lensaudit.display.markdown import table as markdown_table
from lensaudit.display.numbers import decimal, p_short, shortest, significant, with_interval
from lensaudit.probes.finding import BINOMIAL, Change, Finding, called
from lensaudit.probes.response import Response
from lensaudit.probes.result import ProbeResult
from lensaudit.statistics import pairs_that_never_tell
from lensaudit.untrusted import in_markdown


def page(result: ProbeResult) -> str:
    """The probe as Markdown: verdict, numbers, what was done, reference, limits."""
    parts = [
        f"# {in_markdown(result.definition.title)}: {in_markdown(result.finder.name)}",
        in_markdown(result.definition.question),
        f"**{result.verdict.word}** — {result.verdict.sentence}",
        in_markdown(result.definition.meaning),
        "## Recall of the same systems in both arms",
        _findings_table(result.findings),
        "![recall of both arms](recall.png)",
        "\n".join(
            f"* {in_markdown(f.which)}: **{f.verdict.word}**. {f.verdict.sentence}"
            for f in result.findings
            if f.verdict
        ),
        *_responses(result),
        "## Where the recall goes" if result.curves else "",
        "![recall against truth columns](curves.png)" if result.curves else "",
        "## The change of each pair",
        "![histogram of the change of logit](effect.png)",
        "## Examples",
        "![example pairs](pairs.png)",
        "## What was done",
        "\n".join(f"* {in_markdown(line)}" for line in _method(result)),
        *_published(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def findings_rows(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """One row of text per finding, under `FINDINGS_HEAD`."""
    return [
        (
            finding.population,
            finding.subset,
            "" if finding.dose is None else shortest(finding.dose),
            str(finding.n),
            *(with_interval(one.value, one.low, one.high) for one in (finding.control, finding.treated)),
            *(_change(one) for one in (finding.recall_change, finding.logit_change)),
            p_short(finding.p_value),
            p_short(finding.p_holm),
            finding.verdict.word if finding.verdict else "",
        )
        for finding in findings
    ]


FINDINGS_HEAD = (
    "population",
    "pairs",
    "dose",
    "n",
    "recall control",
    "recall treated",
    "change of recall",
    "mean change of logit",
    "exact p",
    "Holm p",
    "verdict",
)


def _findings_table(findings: Iterable[Finding]) -> str:
    return markdown_table(FINDINGS_HEAD, ([in_markdown(cell) for cell in row] for row in findings_rows(findings)))


def _responses(result: ProbeResult) -> list[str]:
    """Where the loss leaves the tolerance, and what the doses mean."""
    doses = result.definition.doses
    if doses is None or not result.responses:
        return []
    parts = ["## Along the strength", "![recall along the strength of the edit](doses.png)"]
    for one in result.responses:
        parts.append(in_markdown(crossing_sentence(one, result)))
        head = ("median over the systems", "control", *(shortest(dose) for dose in doses.values))
        known = {name: values for name, values in one.truth.items() if not all(map(math.isnan, values))}
        rows = [(name, *(significant(value) for value in values)) for name, values in known.items()]
        parts.append(markdown_table(head, rows))
    return parts


def crossing_sentence(one: Response, result: ProbeResult) -> str:
    """Where the loss of recall exceeds the tolerance, in one sentence."""
    tolerated, population = shortest(result.settings.tolerance), called(one.population)
    if math.isnan(one.crossing):
        return f"{population}: at no dose is the measured loss above the tolerated {tolerated}."
    interval = f"95 % interval {_end(one.low)} to {_end(one.high)}" if one.crossed > 0 else "no interval"
    return (
        f"{population}: the loss exceeds the tolerated {tolerated} from dose {significant(one.crossing)} on "
        f"({interval})."
    )


def _end(value: float) -> str:
    return "beyond the last dose" if math.isnan(value) else significant(value)


def _method(result: ProbeResult) -> list[str]:
    settings, finder, rule = result.settings, result.finder, result.definition.lens_rule
    arms = result.definition.arms()
    lines = [
        f"{settings.n} pairs of each population, seed {settings.seed}, mode {settings.mode}. {result.mode_note}",
        "Both arms of a pair are the same scene with the same noise seed; the edits are "
        f"{arms[0].describe()} (control) and {arms[-1].describe()} (treated{', last dose' if len(arms) > 2 else ''}).",
        f"Finder {finder.name} ({finder.origin}), bands {', '.join(finder.bands)}, stretch {finder.stretch}, "
        f"found means p ≥ {shortest(finder.threshold)}, weights {finder.weights_hash[:12]}.",
        f"{result.verdict.word}: {result.verdict.state.definition}.",
        f"{_tolerated(result)}: {shortest(settings.tolerance)}. Up to {pairs_that_never_tell(settings.tolerance)} "
        "pairs cannot exclude such a change even where both arms agree.",
        "Intervals are 95 %: Wilson for a recall, Tango's paired score interval for its change, paired bootstrap for "
        f"the logit. p is exact ({result.findings[0].test}), and corrected after Holm over the findings above.",
    ]
    lines.append(
        "The edit is to be seen (more than 20 pixels of the first band change by more than 0.5 σ) in "
        + ", ".join(f"{k} of {settings.n} {called(label)}" for label, k in result.visible_edits.items())
        + "; where it is not, no finder can react to it."
    )
    if rule:
        lines.append(
            f"{rule.name}: only pairs whose both arms fulfil {rule.describe()}. Drawn at random, many scenes hold no "
            f"visible arc; the rule is fulfilled by {_counts(result)}."
        )
    return lines


def _tolerated(result: ProbeResult) -> str:
    if result.findings[0].test == BINOMIAL:
        return "Tolerated fraction of scenes without a lens that are called one"
    return f"Tolerated {'change' if result.definition.nature == 'nuisance' else 'loss'} of recall"


def _counts(result: ProbeResult) -> str:
    return "; ".join(
        f"{counts['control']} control, {counts['treated']} treated and {counts['both']} both of {counts['n']} "
        + called(label)
        for label, counts in result.rule_counts.items()
    )


def _published(result: ProbeResult) -> list[str]:
    published = result.definition.published
    if published is None:
        return []
    labels = list(dict.fromkeys(label for recalls in published.recall.values() for label in recalls))
    rows = [
        (in_markdown(name), *(decimal(recalls.get(label), 4) for label in labels))
        for name, recalls in published.recall.items()
    ]
    return [
        f"## Reference: {in_markdown(published.caption)}",
        f"{in_markdown(published.source)}; recall at threshold {shortest(published.threshold)}. These are other "
        "images than ours: the table stands beside our numbers and enters none of them.",
        markdown_table(("finder", *(in_markdown(called(label)) for label in labels)), rows),
    ]


def _change(change: Change) -> str:
    return with_interval(change.value, change.low, change.high, sign=True)
