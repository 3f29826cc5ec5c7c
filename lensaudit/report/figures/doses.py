"""Recall along the strength of a probe's edit."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lensaudit.report.figures.style import FAINT, HALF_WIDTH_IN, LENS, TREATED, light_grid, new_figure
from lensaudit.report.numbers import percent, significant


def draw(detail: dict[str, Any]) -> Figure:
    """One panel per population of ``probes["details"][i]``: recalls, the control's band, the tolerated loss."""
    series = _series(detail)
    figure, axes = new_figure(HALF_WIDTH_IN * len(series), 3.0, columns=len(series))
    for place, (one, (population, groups)) in enumerate(zip(axes, series.items(), strict=True)):
        _panel(one, detail, groups)
        for response in detail["responses"]:
            if response["population"] == population and response["crossing"] is not None:
                _crossing(one, response)
        name = "" if population == "lenses" else f"{groups[0]['title']}, "
        one.set_title(f"{name}n = {groups[0]['treated']['n']} pairs at each strength", fontsize=8)
        if place == 0:
            one.legend(loc="lower left", fontsize=7, ncols=2, columnspacing=0.9, handlelength=1.6)
    return figure


def drawable(detail: dict[str, Any]) -> bool:
    """Whether there are several strengths."""
    return detail["doses"] is not None and len(detail["doses"]["values"]) > 1


def alt(detail: dict[str, Any]) -> str:
    """List the recalls along the strength."""
    parts = []
    for groups in _series(detail).values():
        recalls = ", ".join(f"{percent(g['treated']['rate'])} at {significant(g['dose'])}" for g in groups)
        control = groups[0]["control"]
        parts.append(f"{groups[0]['title']}, n = {control['n']}: control {percent(control['rate'])}; {recalls}")
    return f"{detail['title']}, share called a lens along {detail['doses']['label']}. {'. '.join(parts)}."


def _series(detail: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    series: dict[str, list[dict[str, Any]]] = {}
    for group in detail["groups"]:
        if group["everything"] and group["treated"]["n"]:
            series.setdefault(group["population"], []).append(group)
    return {name: sorted(groups, key=lambda group: float(group["dose"])) for name, groups in series.items()}


def _panel(axes: Axes, detail: dict[str, Any], groups: list[dict[str, Any]]) -> None:
    control = groups[0]["control"]
    axes.axhspan(control["low"], control["high"], color=LENS, alpha=0.14, linewidth=0)
    axes.axhline(control["rate"], color=LENS, linewidth=1, label="control")
    if detail["nature"] == "contaminant":
        axes.axhline(detail["tolerance"], color=FAINT, linewidth=0.9, linestyle=":", label="tolerated share")
    else:
        signs = (-1, 1) if detail["nature"] == "nuisance" else (-1,)
        for sign in signs:
            level = control["rate"] + sign * detail["tolerance"]
            word = "tolerated change" if len(signs) > 1 else "tolerated loss"
            axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=":", label=word if sign < 0 else None)
    if detail["doses"]["control"] is not None:
        axes.axvline(detail["doses"]["control"], color=LENS, linewidth=0.6)
    x = [group["dose"] for group in groups]
    rates = [group["treated"] for group in groups]
    axes.vlines(x, [r["low"] for r in rates], [r["high"] for r in rates], color=TREATED, linewidth=1.3)
    axes.plot(x, [r["rate"] for r in rates], "s-", color=TREATED, linewidth=0.8, markersize=4.5, label="treated")
    axes.set(ylim=(-0.02, 1.03), ylabel="Called a lens", xlabel=detail["doses"]["label"])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    light_grid(axes, "y")


def _crossing(axes: Axes, response: dict[str, Any]) -> None:
    left, right = axes.get_xlim()
    low = left if response["low"] is None else response["low"]
    high = right if response["high"] is None else response["high"]
    if response["crossed"]:
        axes.axvspan(min(low, high), max(low, high), ymax=0.035, color=FAINT, alpha=0.55, linewidth=0)
    axes.axvline(response["crossing"], color=FAINT, linewidth=1, linestyle="--", label="tolerance crossed")
    axes.set_xlim(left, right)
