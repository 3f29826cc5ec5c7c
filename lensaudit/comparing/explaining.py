"""Scores of each finder's explanations: how much of the positive attribution lies on the lensed light."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from lensaudit.comparing.entrants import Entrant
from lensaudit.comparing.options import CompareOptions
from lensaudit.errors import DataError
from lensaudit.explain import METHODS, JudgeSettings, Watcher, judge
from lensaudit.explain.judging.judge import tasks_left
from lensaudit.explain.judging.sample import kinds_of
from lensaudit.finders import Finder
from lensaudit.lensset import LensSet
from lensaudit.report.pieces import Progress, short_name
from lensaudit.scenes.scene import LENS_KINDS

FOLDER = "explanations"
SHARE = "positive-share"
WITHOUT_GRADIENT = ("occlusion",)
"""Methods that only ask the finder for scores."""

_COLUMNS = ("method", "kind", "value", "low", "high", "chance", "n", "status", "gain_low", "gain_high")


def methods_for(finder: Finder, methods: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `methods` that can explain the finder: all, or those without gradients where it has none."""
    return methods if finder.differentiable else tuple(name for name in methods if name in WITHOUT_GRADIENT)


def judged(
    entrant: Entrant, lens_set: LensSet, out: Path, options: CompareOptions, progress: Progress
) -> dict[str, Any]:
    """Share of the positive attribution on the lensed light, by method and kind of lens.

    Returns
    -------
    dict
        ``finder``, ``rows`` (``method``, ``title``, ``kind``, value with interval, ``chance``, ``n``; ``gain_…`` is the
        interval of value − chance) and ``why``, which says why there is no row; empty where there is one.
    """
    methods = methods_for(entrant.finder, options.methods)
    why = _why_not(lens_set, methods)
    if why:
        return {"finder": entrant.label, "rows": [], "left_out": [], "why": why}
    settings, place = _settings(lens_set, methods, options), _place(entrant, lens_set, out)
    told = f"{entrant.label} explained on {lens_set.path.name}"
    try:
        found = judge(
            entrant.finder,
            [lens_set],
            place,
            settings,
            Watcher(progress=lambda done, of: progress(told, 100 * done // max(of, 1), 100)),
        )
    except DataError as error:
        return {"finder": entrant.label, "rows": [], "left_out": [], "why": str(error)}
    rows = [
        {**{name: getattr(row, name) for name in _COLUMNS}, "title": METHODS[row.method].title}
        for row in found.rows
        if row.score == SHARE and row.method in methods
    ]
    left_out = [{"method": name, "why": reason} for name, reason in found.failed.items()]
    return {"finder": entrant.label, "rows": rows, "left_out": left_out, "why": ""}


def fraction_left(entrant: Entrant, lens_set: LensSet, out: Path, options: CompareOptions) -> float:
    """Of the explanations of a finder on a set, the fraction that no earlier run into `out` has finished."""
    methods, place = methods_for(entrant.finder, options.methods), _place(entrant, lens_set, out)
    if _why_not(lens_set, methods):
        return 0.0
    if not place.is_dir():
        return 1.0
    try:
        left, of = tasks_left(entrant.finder, [lens_set], place, _settings(lens_set, methods, options))
    except DataError:  # the comparison itself says why
        return 0.0
    return left / max(1, of)


def _settings(lens_set: LensSet, methods: tuple[str, ...], options: CompareOptions) -> JudgeSettings:
    kinds = tuple(kind for kind, _ in _lens_kinds(lens_set))
    return JudgeSettings(
        methods=methods, parts=("localisation",), per_kind=options.explanations, seed=options.seed, kinds=kinds
    )


def _place(entrant: Entrant, lens_set: LensSet, out: Path) -> Path:
    return Path(out) / FOLDER / short_name(f"{entrant.label} {entrant.finder.weights_hash} {lens_set.content_hash}")


def main_kind(lens_set: LensSet) -> str | None:
    """The kind of lens the set has most of; None without any."""
    kinds = _lens_kinds(lens_set)
    return max(kinds, key=lambda kind: kind[1])[0] if kinds else None


def _lens_kinds(lens_set: LensSet) -> list[tuple[str, int]]:
    """Kinds of lenses in the set with their numbers, in the order of the house."""
    counted = Counter(kinds_of(lens_set))
    return [(kind, counted[kind]) for kind in (*LENS_KINDS, "lens") if counted[kind]]


def _why_not(lens_set: LensSet, methods: tuple[str, ...]) -> str:
    if not lens_set.has_truth:
        return "the set has no truth to score explanations by: it was ingested, not simulated"
    if not _lens_kinds(lens_set):
        return "the set has no lens"
    if not methods:
        return f"it has no gradient, and only {', '.join(WITHOUT_GRADIENT)} explains without one; add it with --method"
    return ""
