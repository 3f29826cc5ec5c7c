"""A model card in the layout of the Hugging Face Hub, whose every number is of one audit of these very weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from lensaudit.display.numbers import (
    count,
    decimal,
    interval,
    p_value,
    percent,
    percent_interval,
    significant,
    with_interval,
)
from lensaudit.display.page import markdown_table
from lensaudit.errors import DataError
from lensaudit.report.findings import range_text
from lensaudit.report.render import pixel_facts
from lensaudit.report.schema import Audit, Rate
from lensaudit.statistics import Proportion
from lensaudit.untrusted import in_code, in_markdown, printable
from lensaudit.verdicts import present_word

if TYPE_CHECKING:
    from lensaudit.finders import FinderRecord

HUB_METRICS = {"auroc": "roc_auc", "recall": "recall", "precision": "precision", "accuracy": "accuracy"}
"""Metrics of an audit → their names on the Hub."""


@dataclass(frozen=True)
class CardFacts:
    """What the card says beside the audit.

    Attributes
    ----------
    weights_hash
        Of the finder that the card is for.
    audit_hash
        SHA-256 of the file ``audit.json``.
    license
        Identifier as the Hub has it; empty where it is not said.
    record
        The finder's ``finder.yaml``; None of a finder in another program's file.
    named
        How the finder is called on the command line.
    """

    weights_hash: str
    audit_hash: str
    named: str
    license: str = ""
    record: FinderRecord | None = None


def model_card(audit: Audit, facts: CardFacts) -> str:
    """Markdown of the card, with the header that the Hub reads.

    Raises
    ------
    DataError
        The audit is of other weights.
    """
    if audit.finder.weights_hash != facts.weights_hash:
        raise DataError(
            f"the audit is of finder {printable(audit.finder.name, 60)} with weights {audit.finder.weights_hash[:16]}, "
            f"the finder has {facts.weights_hash[:16]}; audit this finder with lensaudit report"
        )
    sections = {
        f"# {in_markdown(audit.finder.name)}": _opening(audit),
        "## Model details": _details(audit, facts),
        "## Intended use": _use(audit),
        "## How to use it": _commands(audit, facts),
        "## Training data": _training(audit, facts),
        "## Preprocessing": _preprocessing(audit, facts),
        "## Evaluation": _evaluation(audit),
        "## Recall by subgroup": _subgroups(audit),
        "## Biases and other findings": _biases(audit),
        "## Calibration": _calibration(facts),
        "## Thresholds": _thresholds(audit),
        "## Limits": _bullets([*audit.limits, *(f"Not measured: {one.what}. {one.why}" for one in audit.not_measured)]),
        "## Provenance": _provenance(audit, facts),
    }
    body = "\n\n".join(f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    return f"---\n{_header(audit, facts)}---\n\n{body}\n"


def _header(audit: Audit, facts: CardFacts) -> str:
    """YAML that the Hub reads: library, task, tags, and the results with their set."""
    metrics: list[dict[str, Any]] = [
        {"type": HUB_METRICS[one.name], "value": round(float(one.value), 6), "name": printable(one.label, 80)}
        for one in audit.performance.metrics
        if one.name in HUB_METRICS and math.isfinite(one.value)
    ]
    dataset = {"type": "lens-set", "name": printable(audit.set.name, 200), "revision": audit.set.content_hash}
    words: dict[str, Any] = {
        "library_name": "lensaudit",
        "pipeline_tag": "image-classification",
        "tags": ["astronomy", "strong-gravitational-lensing", "lens-finding", printable(audit.finder.architecture, 60)],
        "metrics": sorted({one["type"] for one in metrics}),
        "model-index": [
            {
                "name": printable(audit.finder.name, 200),
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Strong-lens finding"},
                        "dataset": dataset,
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }
    if facts.license:
        words = {"license": printable(facts.license, 60), **words}
    return yaml.safe_dump(words, sort_keys=False, allow_unicode=True, width=120)


def _opening(audit: Audit) -> list[str]:
    sentences = " ".join(f"{sentence.rstrip('.')}." for sentence in (audit.verdict.headline, *audit.verdict.sentences))
    return [in_markdown(sentences)]


def _details(audit: Audit, facts: CardFacts) -> list[str]:
    finder, record = audit.finder, facts.record
    origin = finder.training.origin if finder.training else "" if record is None else record.origin
    size = f"{finder.size}×{finder.size} pixels" if finder.size else "pixels of any number"
    gradient = "a" if finder.differentiable else "no"
    return [
        f"* What it is: a strong-lens finder, architecture `{in_code(finder.architecture, 60)}`, "
        f"{count(finder.parameters)} parameters. Its score has {gradient} gradient.",
        f"* Takes: bands {in_markdown(', '.join(finder.bands))}, in this order, {size} over "
        f"{finder.field_of_view_arcsec:g}″. Gives: the log-odds of a lens; p = sigmoid(log-odds).",
        *([f"* Where it comes from: {in_markdown(origin.rstrip('.'), 2000)}."] if origin else []),
        *([f"* License: {in_markdown(facts.license, 60)}."] if facts.license else ["* License: not stated."]),
    ]


def _use(audit: Audit) -> list[str]:
    drawn = audit.set
    where = f"{in_markdown(drawn.instrument)} cutouts like those it was trained and audited on"
    return [
        f"* For: ranking {where} as candidates for strong lenses, which people or further tests look at.",
        "* Not for: other instruments, depths, pixel scales or fields of view without a new audit; counting lenses "
        "without the selection measured below; or a decision on one object without looking at it.",
    ]


def _commands(audit: Audit, facts: CardFacts) -> list[str]:
    name = in_code(facts.named, 200)
    return [
        "```sh",
        f"lensaudit score {name} SET --out scores.parquet",
        f"lensaudit report {name} --set SET --out report",
        "```",
    ]


def _training(audit: Audit, facts: CardFacts) -> list[str]:
    data: dict[str, Any] = {} if facts.record is None else facts.record.training_data.to_json()
    if not data and audit.finder.training is not None:
        data = dict(audit.finder.training.data)
    said = {name: significant(value) if isinstance(value, float) else value for name, value in data.items()}
    rows = [
        (in_markdown(name.replace("_", " ")), in_markdown(value, 300))
        for name, value in said.items()
        if value not in (None, [])
    ]
    lines = [markdown_table(("recorded", "value"), rows)] if rows else ["Not recorded."]
    if audit.finder.training is not None and audit.finder.training.trained_on(audit.set.content_hash):
        lines += ["", "**The audit below is on the set that it was trained on: every number of it is too good.**"]
    return lines


def _preprocessing(audit: Audit, facts: CardFacts) -> list[str]:
    finder = audit.finder
    lines = [
        f"* Each band is resized to {finder.size} pixels a side (as scikit-image's `resize`), then stretched: "
        f"`{in_code(finder.stretch, 60)}`." if finder.size else f"* Stretch `{in_code(finder.stretch, 60)}`.",
    ]  # fmt: skip
    steps = finder.recipe.get("preprocessing")
    if isinstance(steps, list):
        lines += [f"* Step `{in_code(yaml.safe_dump(step, default_flow_style=True).strip(), 300)}`" for step in steps]
    units = [] if audit.pixels is None else [f"{fact.name}: {fact.value}" for fact in pixel_facts(audit.pixels)]
    lines += [f"* On the audited set, {in_markdown('. '.join(units))}."] if units else []
    lines += [f"* {in_markdown(remark)}." for remark in (audit.pixels.remarks if audit.pixels else ())]
    return lines


def _evaluation(audit: Audit) -> list[str]:
    found, drawn = audit.performance, audit.set
    rows = [
        (
            in_markdown(one.label),
            with_interval(one.value, one.low, one.high) if math.isfinite(one.value) else in_markdown(one.status),
            count(one.n),
        )
        for one in found.metrics
    ]
    population = f", population {in_markdown(drawn.population)}" if drawn.population else ""
    return [
        f"Set {in_markdown(drawn.name)} ({in_markdown(drawn.instrument)}{population}; content "
        f"`{drawn.content_hash[:16]}`): {count(drawn.n_lenses)} lenses, {count(drawn.n_non_lenses)} non-lenses"
        f"{'' if drawn.simulated else ', not simulated'}. 95 % intervals.",
        "",
        markdown_table(("metric", "value", "n"), rows),
        *([] if found.errors is None else ["", f"{in_markdown(found.errors.sentence)}."]),
    ]


def _subgroups(audit: Audit) -> list[str]:
    chosen = audit.selection
    if chosen is None:
        return ["Not measured: the set has no labels."]
    rows: list[tuple[str, ...]] = []
    for curve in chosen.curves:
        words = [curve.phrase.format(range=range_text(one, curve.bins, curve.unit)) for one in curve.bins]
        rows += [_rate_row(f"lenses with {name}", one) for name, one in zip(words, curve.bins, strict=True)]
    for kinds, what in ((chosen.lens_kinds, "lenses"), (chosen.non_lens_kinds, "non-lenses")):
        rows += [_rate_row(f"{what} of kind {one.kind}", one) for one in (() if kinds is None else kinds.rows)]
    if not rows:
        return ["Not measured: the catalogue of the set says nothing of its lenses."]
    return [
        f"Fraction called a lens at p ≥ {significant(audit.performance.threshold)}, Wilson's 95 % interval; of "
        "non-lenses that is the false-positive rate.",
        "",
        markdown_table(("which", "called a lens", "95 % interval", "n"), rows),
    ]


def _rate_row(name: str, one: Proportion | Rate) -> tuple[str, ...]:
    between = percent_interval(one.low, one.high)
    return in_markdown(name), percent(one.value) if one.n else "–", between, f"{count(one.k)} of {count(one.n)}"


def _biases(audit: Audit) -> list[str]:
    lines = []
    if audit.probes is None or not audit.probes.rows:
        lines.append("No probe was run: nothing is known of what changes its answers.")
    else:
        rows = [
            (
                in_markdown(row.title),
                f"**{in_markdown(present_word(row.verdict))}**",
                f"{in_markdown(row.effect_of)} {decimal(row.effect.value, sign=True)} "
                f"[{interval(row.effect.low, row.effect.high)}]",
                count(row.n),
                p_value(row.p_holm),
            )
            for row in audit.probes.rows
        ]
        lines += [
            "Pairs of scenes that differ in one thing; p against the tolerance, after Holm over all probes.",
            "",
            markdown_table(("probe", "verdict", "effect", "pairs", "p"), rows),
        ]
    own = [one for one in audit.findings if one.source == "set"]
    if own:
        lines += ["", "Within the set:", "", *_bullets(f"{present_word(one.verdict)}: {one.text}" for one in own)]
    known = [one.sentence for one in audit.known]
    return [*lines, *(["", *_bullets(known)] if known else [])]


def _calibration(facts: CardFacts) -> list[str]:
    found = None if facts.record is None else facts.record.metrics.calibration
    if found is None:
        return ["None: p is the finder's own, at the fraction of lenses of its training. See `lensaudit calibrate`."]
    fitted_on = in_code(found.set)[:16]
    return [
        f"* {in_markdown(found.method)}, for a fraction of {significant(found.prevalence)} lenses, on "
        f"{count(found.n_lenses)} lenses and {count(found.n_non_lenses)} non-lenses of set `{fitted_on}`.",
        "* Probabilities are the column `p_calibrated` of `lensaudit score`.",
    ]


def _thresholds(audit: Audit) -> list[str]:
    found = audit.performance
    recall, false = found.metric("recall"), found.false_positive_rate
    row = [f"p ≥ {significant(found.threshold)}"]
    row.append("–" if recall is None else f"{percent(recall.value)} ({percent_interval(recall.low, recall.high)})")
    row.append("–" if false is None else f"{percent(false.value)} ({percent_interval(false.low, false.high)})")
    rows = [tuple(row)]
    at_fpr = found.metric("tpr_at_fpr")
    if at_fpr is not None and audit.selection_function is None:
        rows.append(("1 % of these non-lenses above it", f"{percent(at_fpr.value)} "
                     f"({percent_interval(at_fpr.low, at_fpr.high)})", percent(0.01)))  # fmt: skip
    if audit.selection_function is not None:
        known = {cells[0] for cells in rows}
        for cut in audit.selection_function.cuts:
            if cut.words not in known:
                ends = (percent_interval(one.low, one.high) for one in (cut.recall, cut.false_positives))
                values = (percent(one.value) for one in (cut.recall, cut.false_positives))
                told = (f"{value} ({end})" for value, end in zip(values, ends, strict=True))
                rows.append((in_markdown(cut.words), *told))
    return [markdown_table(("threshold", "recall", "false-positive rate"), rows)]


def _provenance(audit: Audit, facts: CardFacts) -> list[str]:
    made = audit.provenance
    rows = [
        ("weights", f"`{facts.weights_hash}`"),
        ("audited set", f"`{audit.set.content_hash}`"),
        ("audit.json", f"`{facts.audit_hash}`"),
        ("audited by", f"lensaudit {in_markdown(made.lensaudit)}: `{in_code(made.command, 500)}`"),
    ]
    return [
        "SHA-256 of the tensors of the weights, of the content of the set, and of the file of the audit:",
        "",
        markdown_table(("what", "SHA-256, or command"), rows),
    ]


def _bullets(sentences: Iterable[str] | Sequence[str]) -> list[str]:
    return [f"* {in_markdown(sentence.rstrip('.'))}." for sentence in sentences]
