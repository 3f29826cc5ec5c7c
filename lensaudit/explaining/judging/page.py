"""A judgement as tables, words and pictures: scores by kind of scene, the randomisation check, the compound view."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.display.colour import ALARM, BAND, INK, QUIET, SERIES
from lensaudit.display.figures import light_grid, new_figure, save_figure, space_panels, styled
from lensaudit.display.numbers import MISSING, decimal, shortest, with_interval
from lensaudit.display.page import markdown_table, write_html
from lensaudit.explaining.judging.attributor import BASELINES, attributor
from lensaudit.explaining.judging.believed_page import belief_lines, belief_sentences
from lensaudit.explaining.judging.judgement import ALL_KINDS, ALL_NON_LENSES, JSON_FILE, TABLE_FILE, Judgement
from lensaudit.explaining.judging.randomisation import LEVEL
from lensaudit.explaining.judging.records import FAILS, PASSES, CompoundView, Row, SourceFraction
from lensaudit.explaining.judging.scores import SCORES, Score
from lensaudit.files import write_text
from lensaudit.scenes.scene import KINDS, NON_LENS_KINDS
from lensaudit.untrusted import in_markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SPREAD = 0.62
"""Fraction of a method's line over which the dots of its kinds are spread."""


@styled
def scores_figure(judgement: Judgement) -> Figure:
    """One panel a score: a dot with its 95 % interval for each method and kind of scene, chance dotted.

    Baselines stand below the methods, methods that fail the randomisation check are named so.
    """
    found = {row.score for row in judgement.rows if row.n}
    scores = [score for score in SCORES.values() if score.part != "compound" and score.name in found]
    methods = methods_of(judgement)
    columns = min(4, max(1, len(scores)))
    lines = math.ceil(len(scores) / columns) or 1
    height = 1.5 + lines * (1.1 + 0.36 * len(methods))
    figure = new_figure(2.4 + 3.1 * columns, height)
    kinds = shown_kinds(judgement)
    colours = dict(zip(kinds, itertools.cycle(SERIES), strict=False))
    for place, score in enumerate(scores):
        axes = figure.add_subplot(lines, columns, place + 1)
        _score_panel(axes, judgement, score, methods, colours)
        _name_methods(axes, judgement, methods, named=place % columns == 0)
    images = judgement.images
    told = {kind: images.get(kind) or sum(images.get(k, 0) for k in NON_LENS_KINDS) for kind in kinds}
    _kinds_legend(figure, {f"{kind} ({told[kind]} images)": colours[kind] for kind in kinds})
    title = f"Explanations of {judgement.finder}: mean over images with 95 % interval; dotted: chance"
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    space_panels(figure)
    return figure


@styled
def randomisation_figure(judgement: Judgement) -> Figure:
    """How much of an image a method's map keeps while layers are drawn anew, from the last to the first."""
    checks = [check for check in judgement.checks if check.steps]
    figure = new_figure(10.4, 4.4)
    axes = figure.add_subplot()
    for place, check in enumerate(checks):
        fails = check.verdict == FAILS
        excess = [step.excess for step in check.steps]
        colour = SERIES[place % len(SERIES)]
        (line,) = axes.plot(excess, marker="x" if fails else ".", linewidth=2 if fails else 1.2, color=colour)
        line.set_linestyle(("-", "--", ":")[place // len(SERIES) % 3])
        line.set_label(f"{check.title}: {check.verdict}")
        last = len(excess) - 1 + 0.25 + 0.09 * place
        axes.plot([last, last], [check.low, check.high], color=colour, linewidth=2.5, solid_capstyle="butt")
    axes.axhline(LEVEL, color=QUIET, linestyle=":", linewidth=1, label="level above which a method fails")
    layers = [step.layer for step in checks[0].steps][1:] if checks else []
    axes.set_xticks(range(len(layers) + 1), ["none", *layers], fontsize=8)
    axes.set_xlabel("weights drawn anew from the last layer up to this one; bars: 95 % interval, all drawn", fontsize=9)
    axes.set_ylabel("rank correlation with the image's\nown map beyond other images'", fontsize=9)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.set_title(f"Do explanations of {judgement.finder} depend on what it has learnt?", fontsize=10, loc="left")
    return figure


@styled
def compound_figure(judgement: Judgement) -> Figure:
    """Attribution on each source's images over what its area would get, beside where the light itself stands."""
    kinds = list(dict.fromkeys(view.kind for view in judgement.views))
    methods = [name for name in methods_of(judgement) if any(view.method == name for view in judgement.views)]
    height = 1.7 + 0.36 * len(methods)
    figure = new_figure(2.6 + 4.2 * len(kinds), height)
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), place + 1)
        views = {view.method: view for view in judgement.views if view.kind == kind}
        _compound_panel(axes, views, methods)
        counted = sorted({view.n for view in views.values()})
        told = f"{counted[0]}" if len(counted) == 1 else f"{counted[0]} to {counted[-1]}"
        axes.set_title(f"{kind}, {told} images", fontsize=9, loc="left")
        _name_methods(axes, judgement, methods, named=place == 0)
    _kinds_legend(figure, {"nearer source": SERIES[0], "farther source": SERIES[1]}, light=True)
    figure.suptitle(f"Does {judgement.finder} look at both sources?", fontsize=11, x=0.01, ha="left")
    return figure


def methods_of(judgement: Judgement) -> list[str]:
    """Methods in the order asked for, then the baselines."""
    seen = {row.method for row in judgement.rows}
    return [name for name in (*judgement.settings.methods, *BASELINES) if name in seen]


def shown_kinds(judgement: Judgement) -> list[str]:
    """Kinds of lenses with any score, and all non-lenses together where there are several kinds of them."""
    kinds = list(dict.fromkeys(row.kind for row in judgement.rows if row.kind != ALL_KINDS and row.n))
    return [kind for kind in kinds if ALL_NON_LENSES not in kinds or kind not in NON_LENS_KINDS]


def _score_panel(
    axes: Axes, judgement: Judgement, score: Score, methods: Sequence[str], colours: Mapping[str, str]
) -> None:
    kinds = {ALL_KINDS: INK} if score.part == "randomisation" else colours
    for place, (kind, colour) in enumerate(kinds.items()):
        shift = SPREAD * ((place + 0.5) / len(kinds) - 0.5)
        rows = {name: judgement.row(name, kind, score.name) for name in methods}
        found = {name: row for name, row in rows.items() if row is not None and row.n}
        for name, row in found.items():
            _dot(axes, row, methods.index(name) + shift, colour)
        chance = next((row.chance for row in found.values() if not math.isnan(row.chance)), math.nan)
        if not math.isnan(chance):
            axes.axvline(chance, color=colour, linestyle=":", linewidth=1)
    if score.part == "randomisation":
        axes.axvline(LEVEL, color=ALARM, linestyle="--", linewidth=1)
    arrow = {"higher": " →", "lower": " ←"}.get(score.better, "")
    axes.set_title(f"{score.title}{arrow}", fontsize=9, loc="left")
    low, high = axes.get_xlim()
    lowest, highest = (end + margin for end, margin in zip(score.range, (-0.02, 0.02), strict=True))
    axes.set_xlim(max(min(low, 0.0) if score.part == "localisation" else low, lowest), min(high, highest))


def _dot(axes: Axes, row: Row, y: float, colour: str) -> None:
    filled = row.beats_chance or math.isnan(row.chance) or row.score == "randomised-similarity"
    if not math.isnan(row.low):
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([row.value], [y], "o", color=colour, markersize=4.5, markerfacecolor=colour if filled else "white")


def _compound_panel(axes: Axes, views: Mapping[str, CompoundView], methods: Sequence[str]) -> None:
    axes.set_xscale("log")
    for y, name in enumerate(methods):
        view = views.get(name)
        if view is None or not view.n:
            continue
        for fraction, shift, colour in zip(view.shares, (-0.15, 0.15), SERIES[:2], strict=True):
            scale = 1 / fraction.area
            ends = [max(end * scale, 1e-2) for end in (fraction.low, fraction.high)]
            axes.plot(ends, [y + shift] * 2, color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot([max(fraction.value * scale, 1e-2)], [y + shift], "o", color=colour, markersize=4.5)
            axes.plot([fraction.light * scale], [y + shift], "D", color=colour, markersize=4, markerfacecolor="white")
    axes.axvline(1, color=QUIET, linestyle=":", linewidth=1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("fraction of positive attribution ÷ fraction of area (1: chance)", fontsize=8)


def _name_methods(axes: Axes, judgement: Judgement, methods: Sequence[str], *, named: bool) -> None:
    """Methods from the top down, those that fail the randomisation check with their label; baselines apart."""
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.set_yticks(
        range(len(methods)), [_name_on_axis(judgement, name) for name in methods] if named else [], fontsize=8
    )
    for tick, name in zip(axes.get_yticklabels(), methods, strict=False):
        tick.set_color(ALARM if judgement.label(name).startswith("fails") else INK)
    for y, name in enumerate(methods):
        if name in BASELINES:
            axes.axhspan(y - 0.5, y + 0.5, color=BAND, zorder=0)
    light_grid(axes, "y")
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _name_on_axis(judgement: Judgement, name: str) -> str:
    label = judgement.label(name)
    title = attributor(name).title
    return f"{title}\n{label}" if label else title


def _kinds_legend(figure: Figure, colours: Mapping[str, str], *, light: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, marker="o", markersize=5, label=kind) for kind, colour in colours.items()]
    marker, size, words = ("D", 4, "their light") if light else ("o", 5, "not beyond chance")
    hollow = Line2D([], [], color=QUIET, marker=marker, markersize=size, markerfacecolor="white", label=words)
    if light:
        hollow.set_linestyle("")
    handles.append(hollow)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), fontsize=8)


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
        lines += belief_lines(judgement.beliefs) + _checks(judgement) + _views(judgement)
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
    lines += verdict_sentences(judgement) + belief_sentences(judgement.beliefs)
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
