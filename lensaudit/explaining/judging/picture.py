"""Pictures of a judgement: scores by kind of scene, the randomisation check layer by layer, and the compound view."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lensaudit.display.colour import ALARM, BAND, INK, QUIET, SERIES
from lensaudit.display.figures import light_grid, new_figure, space_panels, styled
from lensaudit.explaining.judging.attributor import BASELINES, attributor
from lensaudit.explaining.judging.judgement import ALL_KINDS, ALL_NON_LENSES, Judgement
from lensaudit.explaining.judging.randomisation import LEVEL
from lensaudit.explaining.judging.records import FAILS, CompoundView, Row
from lensaudit.explaining.judging.scores import SCORES, Score
from lensaudit.scenes.scene import NON_LENS_KINDS

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
    scores = [score for score in SCORES.values() if score.part != "compound" and _has(judgement, score)]
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


def _has(judgement: Judgement, score: Score) -> bool:
    return any(row.score == score.name and row.n for row in judgement.rows)


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
    axes.set_yticks(range(len(methods)), [_name(judgement, name) for name in methods] if named else [], fontsize=8)
    for tick, name in zip(axes.get_yticklabels(), methods, strict=False):
        tick.set_color(ALARM if judgement.label(name).startswith("fails") else INK)
    for y, name in enumerate(methods):
        if name in BASELINES:
            axes.axhspan(y - 0.5, y + 0.5, color=BAND, zorder=0)
    light_grid(axes, "y")
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _name(judgement: Judgement, name: str) -> str:
    label = judgement.label(name)
    title = attributor(name).title
    return f"{title}\n{label}" if label else title


def _kinds_legend(figure: Figure, colours: Mapping[str, str], *, light: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, marker="o", markersize=5, label=kind) for kind, colour in colours.items()]
    marker, size, words = ("D", 4, "their light") if light else ("o", 5, "not beyond chance")
    hollow: dict[str, Any] = {
        "marker": marker,
        "markersize": size,
        "markerfacecolor": "white",
        "linestyle": "" if light else "-",
    }
    handles.append(Line2D([], [], color=QUIET, label=words, **hollow))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), fontsize=8)
