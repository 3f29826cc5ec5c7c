"""``probe.md``: the result as a page of text."""

from __future__ import annotations

from collections.abc import Iterable

from lensaudit.probes.finding import Change, Finding, Recall
from lensaudit.probes.result import ProbeResult
from lensaudit.probes.verdict import pairs_that_never_tell


def page(result: ProbeResult) -> str:
    """The probe as Markdown: verdict, numbers, what was done, reference, limits."""
    parts = [
        f"# {result.definition.title}: {result.finder.name}",
        result.definition.question,
        f"**{result.verdict.word}** — {result.verdict.sentence}",
        result.definition.meaning,
        "## Recall of the same systems in both arms",
        _findings_table(result.findings),
        "![recall of both arms](recall.png)",
        "\n".join(
            f"* {f.population}, {f.subset}: **{f.verdict.word}**. {f.verdict.sentence}"
            for f in result.findings
            if f.verdict
        ),
        "## Where the recall goes" if result.curves else "",
        "![recall against truth columns](curves.png)" if result.curves else "",
        "## The change of each pair",
        "![histogram of the change of logit](effect.png)",
        "## Examples",
        "![example pairs](pairs.png)",
        "## What was done",
        "\n".join(f"* {line}" for line in _method(result)),
        *_published(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def findings_rows(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """One row of text per finding, under `FINDINGS_HEAD`."""
    return [
        (
            finding.population,
            finding.subset,
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
    "n",
    "recall control",
    "recall treated",
    "change of recall",
    "mean change of logit",
    "McNemar p",
    "Holm p",
    "verdict",
)


def _findings_table(findings: Iterable[Finding]) -> str:
    return _table(FINDINGS_HEAD, findings_rows(findings))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _method(result: ProbeResult) -> list[str]:
    settings, finder, rule = result.settings, result.finder, result.definition.lens_rule
    lines = [
        f"{settings.n} pairs of each population, seed {settings.seed}, mode {settings.mode}. {result.mode_note}",
        "Both arms of a pair are the same scene with the same noise seed; the edits are "
        f"{result.definition.edits.control} (control) and {result.definition.edits.treated} (treated).",
        f"Finder {finder.name} ({finder.origin}), bands {', '.join(finder.bands)}, stretch {finder.stretch}, "
        f"found means p ≥ {finder.threshold:g}, weights {finder.weights_hash[:12]}.",
        f"Tolerated loss of recall: {settings.tolerance:g}. A bias is a 95 % interval wholly beyond it, with "
        f"Holm-corrected p < 0.05; up to {pairs_that_never_tell(settings.tolerance)} pairs cannot exclude it where "
        "both arms agree.",
        "Intervals are 95 %: Wilson for a recall, Tango's paired score interval for its change, paired bootstrap for "
        "the logit. McNemar's p is exact, and corrected after Holm over the findings above.",
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
    rows = [(name, *(f"{recalls[label]:.4f}" for label in labels)) for name, recalls in published.recall.items()]
    return [
        f"## Reference: {published.caption}",
        f"{published.source}; recall at threshold {published.threshold:g}. These are other images than ours: the table "
        "stands beside our numbers and enters none of them.",
        _table(("finder", *labels), rows),
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
