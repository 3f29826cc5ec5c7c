"""A judgement as Markdown: tables of method × score for each kind of scene, verdicts in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.display.figures import save_figure
from lensaudit.display.numbers import MISSING, decimal, shortest, with_interval
from lensaudit.display.page import markdown_table, write_html
from lensaudit.explaining.judging.attributor import BASELINES, attributor
from lensaudit.explaining.judging.judgement import ALL_KINDS, JSON_FILE, TABLE_FILE, Judgement
from lensaudit.explaining.judging.picture import (
    compound_figure,
    methods_of,
    randomisation_figure,
    scores_figure,
    shown_kinds,
)
from lensaudit.explaining.judging.records import PASSES, CompoundView, Row, SourceFraction
from lensaudit.explaining.judging.scores import SCORES, Score
from lensaudit.files import write_text
from lensaudit.scenes.scene import KINDS
from lensaudit.untrusted import in_markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LEGEND = (
    "Mean over images with its 95 % bootstrap interval; bold where the interval of the mean difference to chance, "
    "image by image, lies on the better side (↑ higher, ↓ lower is better). The centre blob and the edge detector know "
    "nothing of any finder: what does not beat them explains no more than they do. † fails the "
    "parameter-randomisation check, ‡ the check cannot tell."
)

ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


def markdown(judgements: Sequence[Judgement]) -> str:
    """The tables of one or several finders, as text without a title."""
    lines = [LEGEND, ""]
    for judgement in judgements:
        lines += [f"## {judgement.finder}", "", _described(judgement), ""]
        for kind in shown_kinds(judgement):
            lines += _kind_table(judgement, kind)
        lines += _checks(judgement) + _views(judgement)
    return "\n".join(lines).rstrip() + "\n"


def cell(row: Row | None, *, marks: bool = True) -> str:
    """``0.41 [0.33, 0.50]``, a dash where there is no value; `marks` adds the bold of what beats chance."""
    if row is None or not row.n or math.isnan(row.value):
        return MISSING
    text = decimal(row.value, 2) if math.isnan(row.low) else with_interval(row.value, row.low, row.high, 2)
    return f"**{text}**" if marks and row.beats_chance and SCORES[row.score].better else text


def scores_of(judgement: Judgement, kind: str) -> list[Score]:
    """The scores of which this kind has any value, in the order of `SCORES`, without the compound ones."""
    found = {row.score for row in judgement.rows if row.kind == kind and row.n}
    return [score for score in SCORES.values() if score.name in found and score.part != "compound"]


def chance_of(judgement: Judgement, kind: str, score: Score) -> float:
    """Mean of chance over the images of a kind; NaN where the score knows none."""
    rows = [row for row in judgement.rows if (row.kind, row.score) == (kind, score.name) and not math.isnan(row.chance)]
    return max(rows, key=lambda row: row.n).chance if rows else math.nan


def verdict_sentences(judgement: Judgement) -> list[str]:
    """What the compound view says in words, by kind, of methods that pass the randomisation check or were not asked."""
    sentences = []
    for kind in dict.fromkeys(view.kind for view in judgement.views):
        by_verdict: dict[str, list[str]] = {}
        for view in judgement.views:
            if view.kind == kind and _trusted(judgement, view):
                by_verdict.setdefault(view.verdict, []).append(view.title)
        told = "; ".join(f"{verdict} by {', '.join(titles)}" for verdict, titles in by_verdict.items())
        if told:
            blind = "; ".join(
                f"the {view.title} {view.verdict}"
                for view in judgement.views
                if view.kind == kind and view.method in BASELINES
            )
            sentences.append(f"{judgement.finder} on {kind}: {told}. (Of maps that know no finder, {blind}.)")
    return sentences


def words(judgement: Judgement) -> list[str]:
    """Verdicts on methods and on the compound view, and what was left out or failed, a sentence each."""
    lines = [check.sentence for check in judgement.checks]
    lines += verdict_sentences(judgement)
    lines += [f"{attributor(name).title} has no scores: {why}." for name, why in judgement.failed.items()]
    lines += [f"{attributor(name).title} is partial: {what}." for name, what in judgement.partial.items()]
    return lines + [f"{name} left out: {why}." for name, why in judgement.left_out.items()]


def _trusted(judgement: Judgement, view: CompoundView) -> bool:
    verdicts = {check.method: check.verdict for check in judgement.checks}
    return view.method in judgement.settings.methods and verdicts.get(view.method, PASSES) == PASSES


def _described(judgement: Judgement) -> str:
    kinds = sorted(judgement.images, key=lambda kind: (KINDS.index(kind) if kind in KINDS else len(KINDS), kind))
    counted = ", ".join(f"{judgement.images[kind]} {in_markdown(kind)}" for kind in kinds)
    few = f"sensitivity on the first {judgement.settings.few} of each"
    fill = f"missing pixels are {'0' if judgement.settings.fill == 'zero' else 'those of the blurred image'}"
    failed = "".join(f" {name} has no scores: {in_markdown(why)}." for name, why in judgement.failed.items())
    partial = "".join(f" {name} is partial: {in_markdown(what)}." for name, what in judgement.partial.items())
    words = f"Weights {judgement.finder_hash[:12]}; {counted} images ({few}; {fill}).{failed}{partial}"
    return f"{words} Made by\n\n```sh\n{judgement.provenance.command}\n```"


def _kind_table(judgement: Judgement, kind: str) -> list[str]:
    scores = scores_of(judgement, kind)
    if not scores:
        return []
    head = [score.name + ARROWS[score.better] for score in scores]
    chance = [chance_of(judgement, kind, score) for score in scores]
    lines = [["*chance*", *(decimal(value, 2) for value in chance)]]
    for name in methods_of(judgement):
        rows = [judgement.row(name, kind, score.name) for score in scores]
        if any(row is not None for row in rows):
            lines.append([_name(judgement, name), *(cell(row) for row in rows)])
    title = f"### {judgement.finder}: {in_markdown(kind)}"
    return [title, "", markdown_table(("method", *head), lines), "", *_left_out(judgement, kind)]


def _left_out(judgement: Judgement, kind: str) -> list[str]:
    """One sentence a method: images without a score, and of which scores."""
    notes: dict[tuple[str, str], list[str]] = {}
    for row in judgement.rows:
        if row.kind == kind and row.status != "ok" and row.n:
            notes.setdefault((row.method, row.status), []).append(row.score)
    told = [
        f"{attributor(name).title}, {in_markdown(status)} ({', '.join(scores)})."
        for (name, status), scores in notes.items()
    ]
    return [" ".join(told), ""] if told else []


def _checks(judgement: Judgement) -> list[str]:
    if not judgement.checks:
        return []
    first = judgement.checks[0]
    lines = [
        f"### {judgement.finder}: parameter randomisation",
        "",
        f"Similarity left when all weights are drawn anew, beyond that with other images’ maps (level "
        f"{shortest(first.level)}, {first.draws} draws); beside it Spearman’s correlation of |map| and SSIM with the "
        "image’s own map.",
        "",
    ]
    rows = []
    for check in judgement.checks:
        beside = (check.steps[-1].absolute, check.steps[-1].ssim) if check.steps else (math.nan, math.nan)
        extra = [decimal(value, 2) for value in beside]
        row = judgement.row(check.method, ALL_KINDS, "randomised-similarity")
        rows.append([check.title, cell(row, marks=False), *extra, str(check.images), check.verdict])
    head = ("method", "similarity", "of absolute values", "SSIM", "images", "verdict")
    return [*lines, markdown_table(head, rows), ""]


_PART = ("area", "light")
_VIEW_HEAD = ("method", "nearer: attribution", *_PART, "farther: attribution", *_PART, "n", "verdict")


def _views(judgement: Judgement) -> list[str]:
    lines = []
    for kind in dict.fromkeys(view.kind for view in judgement.views):
        views = [view for view in judgement.views if view.kind == kind]
        rows = []
        for view in views:
            fractions = [text for fraction in view.shares for text in _fraction_cells(fraction)]
            rows.append([_name(judgement, view.method), *fractions, str(view.n), view.verdict])
        lines += [f"### {judgement.finder}: both sources of {in_markdown(kind)}", "", markdown_table(_VIEW_HEAD, rows)]
        unlensed = max(view.unlensed for view in views)
        lines += ["", f"In {unlensed} images the nearer source is not lensed.", ""] if unlensed else [""]
    return lines + [line for sentence in verdict_sentences(judgement) for line in (in_markdown(sentence), "")]


def _fraction_cells(fraction: SourceFraction) -> list[str]:
    return [with_interval(fraction.value, fraction.low, fraction.high), decimal(fraction.area), decimal(fraction.light)]


def _name(judgement: Judgement, method: str) -> str:
    label = judgement.label(method)
    return attributor(method).title + ("" if not label else " †" if label.startswith("fails") else " ‡")


PAGE_FILE = "explanation-scores.md"
HTML_FILE = "judge.html"
_PICTURES = {
    "explanation-scores.png": "Scores of every method by kind of scene, with 95 % intervals",
    "randomisation.png": "What is left of the maps while layers are drawn anew",
    "compound-view.png": "Attribution on each source of compound lenses over its area",
}


def write_judgement(judgement: Judgement, out: Path) -> tuple[str, ...]:
    """Write everything into `out` and name the files; the JSON last, and an older one first away.

    Raises
    ------
    MachineError
        The disk is full.
    """
    (out / JSON_FILE).unlink(missing_ok=True)
    drawn: dict[str, tuple[bool, Callable[[Judgement], Figure]]] = {
        "explanation-scores.png": (any(row.n for row in judgement.rows), scores_figure),
        "randomisation.png": (any(check.steps for check in judgement.checks), randomisation_figure),
        "compound-view.png": (any(view.n for view in judgement.views), compound_figure),
    }
    for name, (wanted, figure) in drawn.items():
        (out / name).unlink(missing_ok=True)
        if wanted:
            save_figure(out / name, figure(judgement))
    pictures = [f"![{_PICTURES[name]}]({name})\n" for name, (wanted, _) in drawn.items() if wanted]
    text = "\n".join([f"# Explanations of {judgement.finder}\n", *pictures, markdown([judgement])])
    write_text(out / PAGE_FILE, text)
    made_by = f"The same as {PAGE_FILE}; every number stands in {JSON_FILE} beside it."
    write_html(out / HTML_FILE, text, made_by)
    judgement.write(out)
    return (TABLE_FILE, JSON_FILE, PAGE_FILE, HTML_FILE, *(name for name, (wanted, _) in drawn.items() if wanted))
