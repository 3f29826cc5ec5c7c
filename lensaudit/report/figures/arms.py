"""A probe without strengths: share called a lens of control and treated, and the paired change of logit."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lensaudit.report.figures.style import FAINT, FULL_WIDTH_IN, INK, LENS, TREATED, light_grid, new_figure
from lensaudit.report.numbers import decimal, percent


def draw(detail: dict[str, Any]) -> Figure:
    """Draw all groups of ``probes["details"][i]``: recalls on the left, mean paired effect on the right."""
    groups = [group for group in detail["groups"] if group["treated"]["n"]]
    figure, (recall, effect) = new_figure(FULL_WIDTH_IN, 1.5 + 0.62 * len(groups), columns=2)
    for y, group in enumerate(groups):
        _rate(recall, y - 0.14, group["control"], LENS, "control" if y == 0 else None)
        _rate(recall, y + 0.14, group["treated"], TREATED, "treated" if y == 0 else None)
        _published(recall, y + 0.36, group, first=y == 0)
        _effect(effect, y, group["effect"])
    names = [f"{group['title']}\n(n = {group['treated']['n']} pairs)" for group in groups]
    for axes in (recall, effect):
        axes.set_ylim(len(groups) - 0.4, -0.5)
        axes.set_yticks(range(len(groups)), names if axes is recall else [""] * len(groups))
        axes.tick_params(axis="y", length=0)
        light_grid(axes, "x")
    recall.set(xlim=(-0.02, 1.02), xlabel="Called a lens at the threshold, 95 % Wilson interval")
    recall.xaxis.set_major_formatter(PercentFormatter(1.0))
    recall.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    effect.axvline(0, color=INK, linewidth=0.8)
    effect.set(xlabel="Mean paired change of logit, treated − control")
    return figure


def drawable(detail: dict[str, Any]) -> bool:
    """Whether any group has pairs."""
    return any(group["treated"]["n"] for group in detail["groups"])


def alt(detail: dict[str, Any]) -> str:
    """List recalls and effects."""
    parts = [
        f"{g['title']}: control {percent(g['control']['rate'])}, treated {percent(g['treated']['rate'])} "
        f"of {g['treated']['n']}, mean change of logit {decimal(g['effect']['value'], 2)}"
        for g in detail["groups"]
        if g["treated"]["n"]
    ]
    return f"{detail['title']}, share called a lens. " + "; ".join(parts) + "."


def _rate(axes: Axes, y: float, rate: dict[str, Any], colour: str, label: str | None) -> None:
    if rate["rate"] is None:
        return
    axes.hlines(y, rate["low"], rate["high"], color=colour, linewidth=1.5)
    axes.plot(rate["rate"], y, "o", color=colour, markersize=6, label=label)


def _published(axes: Axes, y: float, group: dict[str, Any], first: bool) -> None:
    for i, published in enumerate(group.get("published") or []):
        style: dict[str, Any] = {"color": "white", "markeredgecolor": FAINT, "markeredgewidth": 1.2, "markersize": 5}
        axes.plot(published["recall"], y, "D", **style, label="published (other images)" if first and i == 0 else None)
        axes.text(published["recall"], y, f"  {published['name']}", fontsize=7, va="center", color="#5c6670")


def _effect(axes: Axes, y: float, effect: dict[str, Any]) -> None:
    if effect["value"] is None:
        return
    if effect["low"] is not None:
        axes.hlines(y, effect["low"], effect["high"], color=TREATED, linewidth=1.5)
    axes.plot(effect["value"], y, "s", color=TREATED, markersize=6)
    widest = np.max(np.abs([effect["value"], effect["low"] or 0, effect["high"] or 0, axes.get_xlim()[1]]))
    axes.set_xlim(-1.1 * widest, 1.1 * widest)
