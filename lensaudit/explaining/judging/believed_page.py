"""Which maps to believe, in tables and sentences: of one finder, and over many."""

from __future__ import annotations

from collections.abc import Sequence

from lensaudit.display.numbers import decimal
from lensaudit.display.page import markdown_table
from lensaudit.explaining.attribution.methods import METHODS
from lensaudit.explaining.judging.attributor import attributor
from lensaudit.explaining.judging.believing import BELIEVABLE, FEW, FEWEST_IMAGES, NO_BETTER, UNDECIDED, Belief
from lensaudit.explaining.judging.recommending import Count, Study
from lensaudit.untrusted import in_markdown

LEGEND = (
    "**believable**: passes the randomisation check and, image by image, beats the centre blob, the edge detector and "
    "random order both in *amount* (infidelity) and in *order* (insertion less deletion). *amount*, *order*: in that "
    "alone. ✗: one of these three is shown to be as good, or the check fails. –: not shown. Wilcoxon’s signed-rank "
    f"test, Holm’s correction over the methods; fewer than {FEWEST_IMAGES} images: no verdict."
)


def belief_lines(beliefs: Sequence[Belief]) -> list[str]:
    """The verdicts on one finder as Markdown: methods down, kinds of scene across; none without any."""
    if not beliefs:
        return []
    kinds = list(dict.fromkeys(one.kind for one in beliefs))
    images = {kind: max(one.n for one in beliefs if one.kind == kind) for kind in kinds}
    cells = {(one.method, one.kind): _cell(one) for one in beliefs}
    rows = [
        [attributor(name).title, *(cells.get((name, kind), "") for kind in kinds)]
        for name in dict.fromkeys(one.method for one in beliefs)
    ]
    head = ("method", *(f"{in_markdown(kind)} ({images[kind]})" for kind in kinds))
    return [f"### {beliefs[0].finder}: which maps to believe", "", LEGEND, "", markdown_table(head, rows), ""]


def _cell(one: Belief) -> str:
    if one.verdict in (BELIEVABLE, FEW):
        return f"**{one.verdict}**" if one.verdict == BELIEVABLE else one.verdict
    holds = [word for word, margin in (("amount", one.amount), ("order", one.order)) if margin.holds]
    if len(holds) == 2:
        holds = [f"both; check {one.check or 'not made'}"]
    return " ".join([*holds, *(["✗"] if one.verdict == NO_BETTER else [])]) or "–"


def belief_sentences(beliefs: Sequence[Belief]) -> list[str]:
    """A sentence a kind of scene; of those with too few images none."""
    sentences = []
    for kind in dict.fromkeys(one.kind for one in beliefs):
        here = [one for one in beliefs if one.kind == kind and one.verdict != FEW]
        if not here:
            continue
        named = {verdict: _titles(here, verdict) for verdict in (BELIEVABLE, NO_BETTER, UNDECIDED)}
        told = [f"{verdict}: {titles}" for verdict, titles in named.items() if titles and verdict != BELIEVABLE]
        first = f"believe {named[BELIEVABLE]}" if named[BELIEVABLE] else "no method is shown to be believable"
        sentences.append(f"Maps of {kind} ({max(one.n for one in here)} images): {'; '.join([first, *told])}.")
    return sentences


def _titles(beliefs: Sequence[Belief], verdict: str) -> str:
    return ", ".join(attributor(one.method).title for one in beliefs if one.verdict == verdict)


def study_lines(study: Study, kinds: Sequence[str]) -> list[str]:
    """In how many finders each method is believable, and what is recommended, kinds of scene down: Markdown."""
    of_kind = {kind: {one.method: one for one in study.counts(kind)} for kind in kinds}
    shown = [kind for kind in kinds if of_kind[kind]]
    methods = [name for name in METHODS if any(name in of_kind[kind] for kind in shown)]
    titles = [attributor(name).title for name in methods]
    found = {kind: study.recommended(kind) for kind in shown}
    counted, halves = [], []
    for kind in shown:
        best, counts = found[kind], [of_kind[kind].get(name) for name in methods]
        first = "none" if best is None else f"**{attributor(best.method).title}**"
        counted.append([in_markdown(kind), first, *map(_counted, counts)])
        halves.append([in_markdown(kind), *map(_halves, counts)])
    head = ("scenes", "recommended", *titles)
    return [markdown_table(head, counted), "", COUNTED, "", markdown_table(("scenes", *titles), halves), "", HALVES, ""]


COUNTED = (
    "*k of m*: finders in which the method is believable, of those it was judged on, with the 95 % Wilson interval over"
    " finders."
)
HALVES = (
    "Of the same finders, *a*: in which it beats all three rivals in amount; *o*: in order; *✗*: in which it is shown "
    "to be no better than one of them, or fails the check."
)


def _counted(one: Count | None) -> str:
    """``3 of 5 [0.23, 0.88]``."""
    if one is None:
        return "–"
    text = f"{one.believable} of {one.finders} [{decimal(one.low, 2)}, {decimal(one.high, 2)}]"
    return f"**{text}**" if one.believable else text


def _halves(one: Count | None) -> str:
    """``a 4, o 3, ✗ 1``, what is 0 left out."""
    counts = () if one is None else (("a", one.amount), ("o", one.order), ("✗", one.no_better))
    return ", ".join(f"{word} {count}" for word, count in counts if count) or "–"
