"""Figures of the probes: both arms and the paired change of logit, or the fraction called a lens along the strength."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.display.colour import FAINT, INK, QUIET, TREATED
from lensaudit.display.figures import FULL_WIDTH_IN, HALF_WIDTH_IN, legend_below, light_grid, row_of_axes
from lensaudit.display.numbers import decimal, percent, significant
from lensaudit.probes import finding as arms
from lensaudit.probes import response as doses
from lensaudit.probes.verdict import Estimate
from lensaudit.report.probe_block import ArmGroup, ProbeDetail


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
    series = _series(detail)
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
    for groups in _series(detail).values():
        recalls = ", ".join(f"{percent(g.treated.value)} at {significant(g.dose)}" for g in groups)
        control = groups[0].control
        parts.append(f"{groups[0].title}, n = {control.n}: control {percent(control.value)}; {recalls}")
    return f"{detail.title}, fraction called a lens along {detail.doses.label}. {'. '.join(parts)}."


def _series(detail: ProbeDetail) -> dict[str, list[ArmGroup]]:
    series: dict[str, list[ArmGroup]] = {}
    for group in detail.groups:
        if group.everything and group.treated.n:
            series.setdefault(group.population, []).append(group)
    return {name: sorted(groups, key=lambda group: group.dose or 0.0) for name, groups in series.items()}
