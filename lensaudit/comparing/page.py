"""``compare.html`` from ``compare.json``: a template and pictures, no finder and no set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.comparing.comparison_file import PAGE_NAME, read_comparison
from lensaudit.comparing.tables import HEADS, matrices_of, probe_table, set_table, told_apart, verdicts_said
from lensaudit.display.colour import FAINT, INK, QUIET, series_style
from lensaudit.display.figures import FULL_WIDTH_IN, light_grid, new_figure, row_of_axes, styled, svg_picture
from lensaudit.display.numbers import decimal
from lensaudit.display.page import render_page, write_page
from lensaudit.errors import DataError, LensauditError
from lensaudit.report.facts import pixel_facts
from lensaudit.untrusted import printable
from lensaudit.verdicts import NATURES

ACROSS = 4
"""Reliability diagrams side by side."""


def pictures_of(block: dict[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Picture name → ``uri``, ``alt``, ``width``, ``height`` of one set; None for one that cannot be drawn."""
    rows = _ranked(block)
    found: dict[str, dict[str, Any] | None] = {"roc": None, "reliability": None}
    if any(row["roc"] for row in rows):
        found["roc"] = svg_picture(draw_roc(rows), roc_alt(rows))
    if any(math.isfinite(row["calibration"].ece.value) for row in rows):
        found["reliability"] = svg_picture(draw_reliability(rows), reliability_alt(rows))
    return found


@styled
def draw_roc(rows: Sequence[dict[str, Any]]) -> Figure:
    """Recall against false-positive rate of all finders, on linear and on logarithmic axis, with 95 % bands."""
    height = 3.6 + 0.16 * math.ceil(len(rows) / 4)
    figure, (linear, log) = row_of_axes(FULL_WIDTH_IN, height, columns=2)
    drawn = [row for row in rows if row["roc"]]
    floor = 0.5 / max(row["n_non_lenses"] for row in drawn)
    for place, row in enumerate(drawn):
        for axes, least in ((linear, 0.0), (log, floor)):
            _curve(axes, row, series_style(place), least)
    linear.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    grid = np.geomspace(floor, 1, 200)
    log.plot(grid, grid, color=FAINT, linewidth=0.8, linestyle=":")
    log.axvline(0.01, color=FAINT, linewidth=0.8)
    log.text(0.01, 1.0, " 1 %", fontsize=7.5, va="top", color=QUIET)
    linear.set(xlim=(0, 1), ylim=(0, 1.01), title="All thresholds; dotted: guessing", ylabel=_recall_of(drawn))
    log.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01), title="Few false positives (logarithmic)")
    for axes in (linear, log):
        axes.set_xlabel(f"False-positive rate (of {_range(row['n_non_lenses'] for row in drawn)} non-lenses)")
        light_grid(axes)
    handles, labels = linear.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


@styled
def draw_reliability(rows: Sequence[dict[str, Any]]) -> Figure:
    """Fraction of lenses against mean p(lens) in ten bins, a small diagram per finder."""
    shown = [row for row in rows if math.isfinite(row["calibration"].ece.value)]
    lines = math.ceil(len(shown) / ACROSS)
    figure = new_figure(FULL_WIDTH_IN, 0.35 + 2.3 * lines)
    grid = figure.subplots(lines, ACROSS, squeeze=False, sharey=True)
    for place, axes in enumerate(grid.ravel()):
        if place >= len(shown):
            axes.set_axis_off()
            continue
        _diagram(axes, shown[place], series_style(place)["color"])
    figure.supylabel("Fraction of lenses in the bin", fontsize=9, color=INK)
    return figure


def roc_alt(rows: Sequence[dict[str, Any]]) -> str:
    """Say what the curves show."""
    told = ", ".join(
        f"{row['finder']} {decimal(row['metrics']['tpr_at_fpr']['value'])} (n = {row['n']})"
        for row in rows
        if row["roc"]
    )
    return f"ROC curves of {len(rows)} finders; recall at 1 % false positives: {told}."


def reliability_alt(rows: Sequence[dict[str, Any]]) -> str:
    """Say what the diagrams show."""
    told = ", ".join(f"{row['finder']} {decimal(row['calibration'].ece.value)}" for row in rows)
    return f"Reliability diagrams of {len(rows)} finders; expected calibration error: {told}."


def _curve(axes: Axes, row: dict[str, Any], look: dict[str, Any], floor: float) -> None:
    roc = row["roc"]
    fpr = np.maximum(roc["fpr"], floor)
    axes.fill_between(fpr, roc["low"], roc["high"], color=look["color"], alpha=0.1, linewidth=0, step="post")
    axes.plot(fpr, roc["tpr"], drawstyle="steps-post", label=row["finder"], **look)


def _diagram(axes: Axes, row: dict[str, Any], colour: str) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    bins = [one for one in row["calibration"].bins if one.lenses.n]
    lenses = [one.lenses for one in bins]
    mean_p, fraction = [one.mean_p for one in bins], [one.value for one in lenses]
    ends = np.array([[one.value - one.low, one.high - one.value] for one in lenses]).T
    axes.errorbar(mean_p, fraction, yerr=np.maximum(ends, 0), color=colour, linewidth=1, marker="o", markersize=3)
    ece = row["calibration"].ece
    axes.set_title(row["finder"], fontsize=9)
    told = f"ECE {decimal(ece.value)}\n({decimal(ece.low)}–{decimal(ece.high)})\nn = {ece.n}"
    axes.text(0.03, 0.97, told, transform=axes.transAxes, va="top", fontsize=7.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Mean p(lens)")
    light_grid(axes)


def _ranked(block: dict[str, Any]) -> list[dict[str, Any]]:
    rows = {row["finder"]: row for row in block["rows"]}
    return [rows[one["finder"]] for one in block["ranking"]]


def _recall_of(rows: Sequence[dict[str, Any]]) -> str:
    return f"Recall (of {_range(row['n_lenses'] for row in rows)} lenses)"


def _range(counts: Any) -> str:
    """``1974``, or ``1970–1974`` where finders could not score the same images."""
    found = sorted(set(counts))
    return str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"


_TEMPLATE = Path(__file__).parent / "template"


def render_comparison(folder: Path) -> Path:
    """Write ``compare.html`` beside the ``compare.json`` in `folder`; returns its path.

    The page is one file: styles inside, pictures as ``data:`` URIs, one script that sorts tables, and a
    Content-Security-Policy that refuses everything else.

    Raises
    ------
    UsageError
        `folder` holds no ``compare.json``.
    DataError
        A field is missing, or the page would be larger than 8 MB.
    """
    folder = Path(folder)
    comparison = read_comparison(folder)
    try:
        page = _html(comparison)
    except LensauditError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, TemplateError) as error:
        raise DataError(
            f"{folder}/compare.json: a field is missing or wrong ({printable(error, 100)}); compare again"
        ) from error
    return write_page(folder / PAGE_NAME, page, "compare fewer finders or sets")


def _html(comparison: dict[str, Any]) -> str:
    return render_page(
        _TEMPLATE,
        "compare.html.j2",
        styles=("compare.css",),
        script="sort.js",
        comparison=comparison,
        sections=[_section(comparison, place) for place in range(len(comparison["sets"]))],
        heads=HEADS,
        probes=probe_table(comparison["probes"]),
        natures=dict(NATURES),
        verdicts=verdicts_said(comparison["probes"]),
    )


def _section(comparison: dict[str, Any], place: int) -> dict[str, Any]:
    block = comparison["sets"][place]
    return {
        "id": f"set-{place + 1}",
        "block": block,
        "table": set_table(comparison, block),
        "told": told_apart(block),
        "pixels": [
            {"finder": row["finder"], "facts": pixel_facts(row["pixels"])} for row in block["rows"] if row.get("pixels")
        ],
        "matrices": matrices_of(block),
        "pictures": pictures_of(block),
    }
