"""All line plots of the page: records draw themselves; here are their figures, and the plots in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lensaudit.display.colour import FAINT, INK, LENS, NON_LENS, QUIET, TREATED
from lensaudit.display.figures import (
    FULL_WIDTH_IN,
    HALF_WIDTH_IN,
    Picture,
    figure_of,
    legend_below,
    light_grid,
    row_of_axes,
    styled,
    svg_picture,
)
from lensaudit.display.numbers import decimal, percent, plural, significant
from lensaudit.evaluation.metric import GROUPS, draw_roc
from lensaudit.evaluation.selection import RecallMap, SelectionFunction
from lensaudit.evaluation.selection.driver_model import DriverModel, draw_drivers
from lensaudit.evaluation.selection.recall_maps import draw_recall_curve, draw_recall_map
from lensaudit.probes import finding as arms
from lensaudit.probes import response as doses
from lensaudit.probes.verdict import Estimate
from lensaudit.realism_gate import Realism
from lensaudit.report.probe_block import ArmGroup, ProbeDetail
from lensaudit.report.schema import Audit, Curve, Kinds, Performance, Selection, Training


def draw_arms(detail: ProbeDetail) -> Figure:
    """Draw all groups: recalls on the left, mean paired effect on the right."""
    groups = [group for group in detail.groups if group.treated.n]
    figure, (recall, effect) = row_of_axes(FULL_WIDTH_IN, 1.5 + 0.62 * len(groups), columns=2)
    arms.draw_arms(recall, groups, [f"{group.title}\n(n = {group.treated.n} pairs)" for group in groups])
    for y, group in enumerate(groups):
        _published(recall, y + 0.36, group, first=y == 0)
        _effect(effect, y, group.effect)
    effect.set_ylim(len(groups) - 0.4, -0.5)
    effect.set_yticks(range(len(groups)), [""] * len(groups))
    effect.tick_params(axis="y", length=0)
    light_grid(effect, "x")
    recall.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    effect.axvline(0, color=INK, linewidth=0.8)
    effect.set(xlabel="Mean paired change of logit, treated − control")
    return figure


def arms_drawable(detail: ProbeDetail) -> bool:
    """Whether any group has pairs."""
    return any(group.treated.n for group in detail.groups)


def alt_arms(detail: ProbeDetail) -> str:
    """List recalls and effects."""
    parts = [
        f"{g.title}: control {percent(g.control.value)}, treated {percent(g.treated.value)} "
        f"of {g.treated.n}, mean change of logit {decimal(g.effect.value, 2)}"
        for g in detail.groups
        if g.treated.n
    ]
    return f"{detail.title}, fraction called a lens. " + "; ".join(parts) + "."


def _published(axes: Axes, y: float, group: ArmGroup, first: bool) -> None:
    for i, published in enumerate(group.published):
        style: dict[str, Any] = {"color": "white", "markeredgecolor": FAINT, "markeredgewidth": 1.2, "markersize": 5}
        axes.plot(published.recall, y, "D", **style, label="published (other images)" if first and i == 0 else None)
        axes.text(published.recall, y, f"  {published.name}", fontsize=7, va="center", color=QUIET)


def _effect(axes: Axes, y: float, effect: Estimate) -> None:
    if math.isnan(effect.value):
        return
    ends = np.nan_to_num([effect.low, effect.high])
    if not math.isnan(effect.low):
        axes.hlines(y, effect.low, effect.high, color=TREATED, linewidth=1.5)
    axes.plot(effect.value, y, "s", color=TREATED, markersize=6)
    widest = np.max(np.abs([effect.value, *ends, axes.get_xlim()[1]]))
    axes.set_xlim(-1.1 * widest, 1.1 * widest)


def draw_doses(detail: ProbeDetail) -> Figure:
    """One panel per population: recalls, the control's band, the tolerated loss."""
    series = _by_population(detail)
    figure, axes = row_of_axes(HALF_WIDTH_IN * len(series), 3.0, columns=len(series))
    assert detail.doses is not None
    scale = doses.DoseScale(detail.doses.label, detail.doses.control, detail.nature, detail.tolerance)
    responses = {response.population: response for response in detail.responses}
    for one, (population, groups) in zip(axes, series.items(), strict=True):
        doses.draw_doses(one, groups, scale, responses.get(population))
        name = "" if population == "lenses" else f"{groups[0].title}, "
        one.set_title(f"{name}n = {groups[0].treated.n} pairs at each strength", fontsize=8)
    legend_below(figure, axes[0], 2, fontsize=7)
    return figure


def doses_drawable(detail: ProbeDetail) -> bool:
    """Whether there are several strengths."""
    return detail.doses is not None and len(detail.doses.values) > 1


def alt_doses(detail: ProbeDetail) -> str:
    """List the recalls along the strength."""
    assert detail.doses is not None
    parts = []
    for groups in _by_population(detail).values():
        recalls = ", ".join(f"{percent(g.treated.value)} at {significant(g.dose)}" for g in groups)
        control = groups[0].control
        parts.append(f"{groups[0].title}, n = {control.n}: control {percent(control.value)}; {recalls}")
    return f"{detail.title}, fraction called a lens along {detail.doses.label}. {'. '.join(parts)}."


def _by_population(detail: ProbeDetail) -> dict[str, list[ArmGroup]]:
    series: dict[str, list[ArmGroup]] = {}
    for group in detail.groups:
        if group.everything and group.treated.n:
            series.setdefault(group.population, []).append(group)
    return {name: sorted(groups, key=lambda group: group.dose or 0.0) for name, groups in series.items()}


@dataclass(frozen=True)
class CurvePicture:
    """Recall along one property."""

    picture: Picture
    caption: str


@dataclass(frozen=True)
class Pictures:
    """The line plots of the page; None where there is nothing to draw. `probes`: probe → its plot."""

    roc: Picture | None
    histogram: Picture
    history: Picture | None
    curves: tuple[CurvePicture, ...]
    kinds: Picture | None
    maps: tuple[Picture, ...]
    drivers: Picture | None
    probes: dict[str, Picture | None]
    realism: Picture | None


@styled
def pictures_of(audit: Audit) -> Pictures:
    """All line plots of the page."""
    performance, function = audit.performance, audit.selection_function
    return Pictures(
        roc=None if performance.roc is None else svg_picture(draw_rocs(performance), alt_roc(performance)),
        histogram=svg_picture(draw_histogram(performance), alt_histogram(performance)),
        history=_history(audit.finder.training),
        curves=tuple(_curves(audit)),
        kinds=_kinds(audit.selection),
        maps=tuple(_recall_map(one) for one in function.maps) if function else (),
        drivers=_drivers(function),
        probes={detail.probe: _probe(detail) for detail in (audit.probes.details if audit.probes else ())},
        realism=_realism(audit.realism),
    )


def _realism(realism: Realism | None) -> Picture | None:
    if realism is None or not realism.shifts:
        return None
    named = ", ".join(f"{one.name} {decimal(one.auroc, 2)}" for one in realism.shifts[:3])
    return svg_picture(figure_of(realism.plot()), f"AUROC of image statistics, the most different first: {named}")


def _probe(detail: ProbeDetail) -> Picture | None:
    """Its plot along the strength, or of both arms; None where no group has pairs."""
    if not arms_drawable(detail):
        return None
    if doses_drawable(detail):
        return svg_picture(draw_doses(detail), alt_doses(detail))
    return svg_picture(draw_arms(detail), alt_arms(detail))


def _curves(audit: Audit) -> Iterator[CurvePicture]:
    performance = audit.performance
    overall = performance.confusion.recall if performance.confusion and performance.n_lenses else None
    for curve in audit.selection.curves if audit.selection else ():
        if curve.bins:
            figure, (axes,) = row_of_axes(height=2.75)
            draw_recall_curve(axes, curve, overall)
            picture = svg_picture(figure, alt_selection(curve))
            yield CurvePicture(picture, _curve_caption(curve))


def _curve_caption(curve: Curve) -> str:
    text = f"{curve.label}: recall of {plural(curve.n, 'lens', 'lenses')} with 95 % Wilson intervals"
    few = sum(one.few for one in curve.bins)
    return text + (f"; * {plural(few, 'bin')} with too few lenses." if few else ".")


def _kinds(chosen: Selection | None) -> Picture | None:
    if chosen is None or not any(map(kinds_drawable, (chosen.lens_kinds, chosen.non_lens_kinds))):
        return None
    return svg_picture(draw_kinds(chosen), alt_kinds(chosen))


def _recall_map(one: RecallMap) -> Picture:
    figure, (axes,) = row_of_axes(height=3.7)
    draw_recall_map(axes, one)
    return svg_picture(figure, alt_recall_map(one))


def _history(training: Training | None) -> Picture | None:
    if training is None or training.history is None or not history_drawable(training.history):
        return None
    return svg_picture(draw_history(training.history), alt_history(training.history))


def _drivers(function: SelectionFunction | None) -> Picture | None:
    if function is None or not function.drivers.drivers:
        return None
    return svg_picture(draw_drivers(function.drivers), alt_drivers(function.drivers))


def draw_rocs(performance: Performance) -> Figure:
    """The ROC curve, which must be there, at all thresholds and at few false positives."""
    assert performance.roc is not None
    figure, panels = row_of_axes(FULL_WIDTH_IN, 3.7, columns=2)
    for axes, log in zip(panels, (False, True), strict=True):
        draw_roc(axes, performance.roc, performance.confusion, performance.threshold, log=log)
        axes.set_title("Few false positives (logarithmic)" if log else "All thresholds")
    panels[1].set_ylabel("")
    legend_below(figure, panels[0])
    return figure


def alt_roc(performance: Performance) -> str:
    """Say what the curve shows, with its numbers."""
    assert performance.roc is not None
    fpr, tpr = performance.roc.fpr, performance.roc.tpr
    at = ", ".join(f"{percent(float(tpr[fpr <= x].max(initial=0)))} at {percent(x)}" for x in (0.01, 0.1, 0.5))
    of = f"{performance.n_lenses} lenses and {performance.n_non_lenses} non-lenses"
    return f"ROC curve of {of}: recall at false-positive rate: {at}."


def draw_histogram(performance: Performance) -> Figure:
    """Counts of the scores with the threshold."""
    figure, (axes,) = row_of_axes(height=3.4)
    performance.scores.plot(axes, threshold=performance.threshold)
    return figure


def alt_histogram(performance: Performance) -> str:
    """Say what the histogram shows."""
    parts = []
    for name, _, _ in GROUPS:
        counts = getattr(performance.scores, name)
        if total := counts.sum():
            ends = f"{counts[0]} score in the lowest bin and {counts[-1]} in the highest"
            parts.append(f"of {total} {name.replace('_', '-')}, {ends}")
    return "Histogram of scores: " + "; ".join(parts) + "."


def alt_selection(curve: Curve) -> str:
    """List the bins with their recall and n."""
    bins = "; ".join(f"{significant(b.start)} to {significant(b.end)}: {percent(b.value)} of {b.n}" for b in curve.bins)
    unit = f" in {curve.unit}" if curve.unit else ""
    return f"Recall against {curve.label}{unit}: {bins}."


def alt_recall_map(one: RecallMap) -> str:
    """List the cells that hold 100 lenses or more, and count the others."""
    full = [cell for cell in one.cells() if not cell["few"]]
    listed = "; ".join(
        f"{cell['x_from']:g} to {cell['x_to']:g} by {cell['y_from']:g} to {cell['y_to']:g}: "
        f"{percent(cell['recall'])} of {cell['n']}"
        for cell in full
    )
    few = one.n.size - len(full)
    told = f"Cells with 100 lenses or more: {listed or 'none'}."
    return f"Recall over {one.x.parameter.label} and {one.y.parameter.label}. {told} {few} cells have fewer."


def alt_drivers(model: DriverModel) -> str:
    """List the slopes with the others held."""
    parts = [
        f"{row.parameter.words} {decimal(row.slope.value, 2)} "
        f"({decimal(row.slope.low, 2)} to {decimal(row.slope.high, 2)})"
        for row in model.drivers
    ]
    return f"Log-odds of being found per standard deviation, others held, n = {model.n}: {'; '.join(parts)}."


def draw_kinds(selection: Selection) -> Figure:
    """Draw ``selection.lens_kinds`` on the left and ``selection.non_lens_kinds`` on the right."""
    tables = _tables(selection)
    rows = max(len(table.rows) for _, table, _ in tables)
    figure, axes = row_of_axes(FULL_WIDTH_IN, 1.0 + 0.34 * rows, columns=len(tables))
    for one, (title, table, colour) in zip(axes, tables, strict=True):
        _panel(one, title, table, colour)
    return figure


def alt_kinds(selection: Selection) -> str:
    """List every kind with its rate and n."""
    parts = []
    for title, table, _ in _tables(selection):
        rows = ", ".join(f"{r.kind} {percent(r.value)} of {r.n}" for r in table.rows)
        parts.append(f"{title}: {rows}")
    return "; ".join(parts) + "."


def kinds_drawable(table: Kinds | None) -> bool:
    """Whether a table has several kinds: a single one repeats the overall rate."""
    return table is not None and len(table.rows) > 1


def _tables(selection: Selection) -> list[tuple[str, Kinds, str]]:
    named = (
        ("Lenses found (recall)", selection.lens_kinds, LENS),
        ("Non-lenses called lenses (false-positive rate)", selection.non_lens_kinds, NON_LENS),
    )
    return [(title, table, colour) for title, table, colour in named if table is not None and kinds_drawable(table)]


def _panel(axes: Axes, title: str, table: Kinds, colour: str) -> None:
    rows = table.rows
    for y, row in enumerate(rows):
        axes.hlines(y, row.low, row.high, color=colour, linewidth=1.3)
        face = "white" if row.few else colour
        axes.plot(row.value, y, "o", color=face, markeredgecolor=colour, markeredgewidth=1.3, markersize=5.5)
    labels = [f"{row.kind}  (n = {row.n}{'*' if row.few else ''})" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    right = min(1.0, 1.3 * max(row.high for row in rows))
    axes.set(xlim=(-0.02 * right, 1.02 * right), ylim=(len(rows) - 0.4, -0.6), title=title)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.tick_params(axis="y", length=0)
    light_grid(axes, "x")


History = Sequence[Mapping[str, float]]
"""Rows of ``history.csv``."""

PAIRS = (("loss", "Class-weighted cross-entropy"), ("accuracy", "Accuracy"))


def draw_history(history: History) -> Figure:
    """Draw rows with ``epoch``, ``train_…`` and ``validation_…`` of ``loss`` and, where there, ``accuracy``."""
    shown = [pair for pair in PAIRS if _has(history, f"validation_{pair[0]}")]
    figure, axes = row_of_axes(FULL_WIDTH_IN, 2.9, columns=len(shown))
    for one, (quantity, label) in zip(axes, shown, strict=True):
        for part, colour, line in (("train", FAINT, "--"), ("validation", LENS, "-")):
            if _has(history, f"{part}_{quantity}"):
                name = "training" if part == "train" else "validation"
                one.plot(*_series(history, f"{part}_{quantity}"), color=colour, linestyle=line, label=name)
        kept = best_epoch(history)
        if kept is not None:
            one.axvline(kept, color=NON_LENS, linewidth=0.9, label=f"weights kept: epoch {kept:g}")
        one.set(xlabel="Epoch", ylabel=label)
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
        light_grid(one)
    legend_below(figure, axes[0])
    return figure


def alt_history(history: History) -> str:
    """Say how long training went and where the validation loss was lowest."""
    kept = best_epoch(history)
    lowest = "" if kept is None else f", lowest validation loss at epoch {kept:g}"
    return f"Training history over {len(history)} epochs{lowest}."


def history_drawable(history: History) -> bool:
    """Whether there are at least two epochs with a validation loss to draw."""
    return len(history) > 1 and _has(history, "validation_loss")


def best_epoch(history: History) -> float | None:
    """Epoch of the lowest validation loss."""
    epochs, losses = _series(history, "validation_loss")
    return float(epochs[int(np.argmin(losses))]) if len(losses) else None


def _has(history: History, key: str) -> bool:
    return any(math.isfinite(row.get(key, math.nan)) for row in history)


def _series(history: History, key: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [(row.get("epoch", i), row[key]) for i, row in enumerate(history) if math.isfinite(row.get(key, math.nan))]
    return np.array([r[0] for r in rows], dtype=float), np.array([r[1] for r in rows], dtype=float)
