"""``probe.md``: the result as a page of text."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lensaudit.display.markdown import table as markdown_table
from lensaudit.probes.finding import BINOMIAL, Change, Finding, Recall
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
            f"* {in_markdown(f'{f.population}, {f.subset}{_dose(f)}')}: **{f.verdict.word}**. {f.verdict.sentence}"
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
            "" if finding.dose is None else f"{finding.dose:g}",
            str(finding.n),
            _recall(finding.control),
            _recall(finding.treated),
            _change(finding.recall_change),
            _change(finding.logit_change),
            _p(finding.p_value),
            _p(finding.p_holm),
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


def _dose(finding: Finding) -> str:
    return "" if finding.dose is None else f", dose {finding.dose:g}"


def _responses(result: ProbeResult) -> list[str]:
    """Where the loss leaves the tolerance, and what the doses mean."""
    doses = result.definition.doses
    if doses is None or not result.responses:
        return []
    parts = ["## Along the strength", "![recall along the strength of the edit](doses.png)"]
    for one in result.responses:
        parts.append(in_markdown(crossing_sentence(one, result)))
        head = ("median over the systems", "control", *(f"{dose:g}" for dose in doses.values))
        rows = [(name, *(_plain(value) for value in values)) for name, values in one.truth.items()]
        parts.append(markdown_table(head, [row for row in rows if any(cell != "–" for cell in row[1:])]))
    return parts


def crossing_sentence(one: Response, result: ProbeResult) -> str:
    """Where the loss of recall exceeds the tolerance, in one sentence."""
    tolerance = result.settings.tolerance
    if math.isnan(one.crossing):
        return f"{one.population}: at no dose is the measured loss above the tolerated {tolerance:g}."
    interval = f"95 % interval {_end(one.low)} to {_end(one.high)}" if one.crossed > 0 else "no interval"
    return (
        f"{one.population}: the loss exceeds the tolerated {tolerance:g} from dose {one.crossing:.3g} on ({interval})."
    )


def _end(value: float) -> str:
    return "beyond the last dose" if math.isnan(value) else f"{value:.3g}"


def _plain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def _method(result: ProbeResult) -> list[str]:
    settings, finder, rule = result.settings, result.finder, result.definition.lens_rule
    arms = result.definition.arms()
    lines = [
        f"{settings.n} pairs of each population, seed {settings.seed}, mode {settings.mode}. {result.mode_note}",
        "Both arms of a pair are the same scene with the same noise seed; the edits are "
        f"{arms[0].describe()} (control) and {arms[-1].describe()} (treated{', last dose' if len(arms) > 2 else ''}).",
        f"Finder {finder.name} ({finder.origin}), bands {', '.join(finder.bands)}, stretch {finder.stretch}, "
        f"found means p ≥ {finder.threshold:g}, weights {finder.weights_hash[:12]}.",
        f"{result.verdict.word}: {result.verdict.state.definition}.",
        f"{_tolerated(result)}: {settings.tolerance:g}. Up to {pairs_that_never_tell(settings.tolerance)} pairs cannot "
        "exclude such a change even where both arms agree.",
        "Intervals are 95 %: Wilson for a recall, Tango's paired score interval for its change, paired bootstrap for "
        f"the logit. p is exact ({result.findings[0].test}), and corrected after Holm over the findings above.",
    ]
    lines.append(
        "The edit is to be seen (more than 20 pixels of the first band change by more than 0.5 σ) in "
        + ", ".join(f"{k} of {settings.n} {label}" for label, k in result.visible_edits.items())
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
        f"{counts['control']} control, {counts['treated']} treated and {counts['both']} both of {counts['n']} {label}"
        for label, counts in result.rule_counts.items()
    )


def _published(result: ProbeResult) -> list[str]:
    published = result.definition.published
    if published is None:
        return []
    labels = list(dict.fromkeys(label for recalls in published.recall.values() for label in recalls))
    rows = [
        (in_markdown(name), *(f"{recalls[label]:.4f}" for label in labels))
        for name, recalls in published.recall.items()
    ]
    return [
        f"## Reference: {in_markdown(published.caption)}",
        f"{in_markdown(published.source)}; recall at threshold {published.threshold:g}. These are other images than "
        "ours: the table stands beside our numbers and enters none of them.",
        markdown_table(("finder", *map(in_markdown, labels)), rows),
    ]


def _recall(recall: Recall) -> str:
    if recall.n == 0:
        return "not measured"
    return f"{recall.value:.3f} [{recall.low:.3f}, {recall.high:.3f}]"


def _change(change: Change) -> str:
    if change.value != change.value:
        return "not measured"
    return f"{change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"


def _p(value: float) -> str:
    if value != value:
        return "not measured"
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"
