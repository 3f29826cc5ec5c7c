"""``compare.html`` from a `Comparison`: a template and pictures, no finder and no set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import TemplateError

from lensaudit.comparing.comparison import COMPARISON_NAME, FIX, PAGE_NAME, Comparison, FinderOnSet, SetComparison
from lensaudit.comparing.tables import (
    HEADS,
    Against,
    Matrix,
    TableRow,
    against,
    matrices_of,
    probe_table,
    set_table,
    told_apart,
    verdicts_said,
)
from lensaudit.display.colour import FAINT, INK, QUIET, series_style
from lensaudit.display.figures import (
    FULL_WIDTH_IN,
    Picture,
    legend_below,
    light_grid,
    new_figure,
    row_of_axes,
    styled,
    svg_picture,
)
from lensaudit.display.numbers import decimal, interval, percent
from lensaudit.display.page import render_page, write_page
from lensaudit.errors import DataError, LensauditError
from lensaudit.evaluation import FPR
from lensaudit.evaluation.measure import draw_reliability as draw_bins
from lensaudit.evaluation.metric import draw_curve
from lensaudit.report.render import Fact, pixel_facts
from lensaudit.untrusted import printable
from lensaudit.verdicts import NATURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
"""Reliability diagrams side by side."""


@dataclass(frozen=True)
class Section:
    """What the page shows of one set.

    Attributes
    ----------
    id
        Its anchor.
    pixels
        Finder → facts on units and clipping; not in comparisons of earlier versions.
    roc, reliability
        None where no finder has one.
    """

    id: str
    block: SetComparison
    table: list[TableRow]
    told: list[str]
    pixels: dict[str, tuple[Fact, ...]]
    matrices: list[Matrix]
    roc: Picture | None
    reliability: Picture | None
    against: list[Against]


@styled
def draw_roc(rows: Sequence[FinderOnSet]) -> Figure:
    """Recall against false-positive rate of all finders, on linear and on logarithmic axis, with 95 % bands."""
    height = 3.6 + 0.16 * math.ceil(len(rows) / 4)
    figure, (linear, log) = row_of_axes(FULL_WIDTH_IN, height, columns=2)
    floor = 0.5 / max(row.n_non_lenses for row in rows)
    for place, row in enumerate(rows):
        assert row.roc is not None
        for axes, least in ((linear, 0.0), (log, floor)):
            draw_curve(axes, row.roc, least, row.finder, **series_style(place))
    linear.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    grid = np.geomspace(floor, 1, 200)
    log.plot(grid, grid, color=FAINT, linewidth=0.8, linestyle=":")
    if floor < FPR:
        log.axvline(FPR, color=FAINT, linewidth=0.8)
        log.text(FPR, 1.0, f" {percent(FPR)}", fontsize=7.5, va="top", color=QUIET)
    recall = f"Recall (of {_range(row.n_lenses for row in rows)} lenses)"
    linear.set(xlim=(0, 1), ylim=(0, 1.01), title="All thresholds; dotted: chance", ylabel=recall)
    log.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01), title="Few false positives (logarithmic)")
    for axes in (linear, log):
        axes.set_xlabel(f"False-positive rate (of {_range(row.n_non_lenses for row in rows)} non-lenses)")
        light_grid(axes)
    legend_below(figure, linear)
    return figure


@styled
def draw_reliability(rows: Sequence[FinderOnSet]) -> Figure:
    """Fraction of lenses against mean p(lens) in ten bins, a small diagram per finder."""
    lines = math.ceil(len(rows) / ACROSS)
    figure = new_figure(FULL_WIDTH_IN, 0.35 + 2.3 * lines)
    grid = figure.subplots(lines, ACROSS, squeeze=False, sharey=True).ravel()
    for place, (axes, row) in enumerate(zip(grid, rows, strict=False)):
        _diagram(axes, row, series_style(place)["color"])
    for axes in grid[len(rows) :]:
        axes.set_axis_off()
    figure.supylabel("Fraction of lenses in the bin", fontsize=9, color=INK)
    return figure


def _diagram(axes: Axes, row: FinderOnSet, colour: str) -> None:
    draw_bins(axes, row.calibration.bins, colour)
    ece = row.calibration.ece
    told = f"ECE {decimal(ece.value)}\n({interval(ece.low, ece.high)})\nn = {ece.n}"
    axes.text(0.03, 0.97, told, transform=axes.transAxes, va="top", fontsize=7.5)
    axes.set(xlabel="Mean p(lens)", ylabel="")
    axes.set_title(row.finder, fontsize=9)


def roc_alt(rows: Sequence[FinderOnSet]) -> str:
    """Say what the curves show."""
    told = ", ".join(f"{row.finder} {decimal(row.metrics['tpr_at_fpr'].value)} (n = {row.n})" for row in rows)
    return f"ROC curves of {len(rows)} finders; completeness at FPR 1 %: {told}."


def reliability_alt(rows: Sequence[FinderOnSet]) -> str:
    """Say what the diagrams show."""
    told = ", ".join(f"{row.finder} {decimal(row.calibration.ece.value)}" for row in rows)
    return f"Reliability diagrams of {len(rows)} finders; expected calibration error: {told}."


def _range(counts: Iterable[int]) -> str:
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
    comparison = Comparison.read(folder)
    try:
        page = _html(comparison)
    except LensauditError:
        raise
    except (LookupError, ValueError, ArithmeticError, TemplateError) as error:  # blocks that do not fit each other
        raise DataError(
            f"{folder / COMPARISON_NAME}: its blocks do not fit each other ({printable(error, 100)}); {FIX}"
        ) from error
    return write_page(folder / PAGE_NAME, page, "compare fewer finders or sets")


def _html(comparison: Comparison) -> str:
    return render_page(
        _TEMPLATE,
        "compare.html.j2",
        styles=("compare.css",),
        script="sort.js",
        comparison=comparison,
        sections=[_section(comparison, place, block) for place, block in enumerate(comparison.sets, 1)],
        heads=HEADS,
        probes=probe_table(comparison.probes),
        natures=dict(NATURES),
        verdicts=verdicts_said(comparison.probes),
    )


def _section(comparison: Comparison, place: int, block: SetComparison) -> Section:
    curves = [row for row in block.ranked if row.roc is not None]
    bins = [row for row in block.ranked if math.isfinite(row.calibration.ece.value)]
    return Section(
        id=f"set-{place}",
        block=block,
        table=set_table(comparison, block),
        told=told_apart(block),
        pixels={row.finder: pixel_facts(row.pixels) for row in block.rows if row.pixels},
        matrices=matrices_of(block),
        roc=svg_picture(draw_roc(curves), roc_alt(curves)) if curves else None,
        reliability=svg_picture(draw_reliability(bins), reliability_alt(bins)) if bins else None,
        against=against(block, comparison.baseline),
    )
