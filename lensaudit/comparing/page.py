"""``compare.html`` from ``compare.json``: a template and pictures, no finder and no set."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensaudit.comparing.comparison_file import PAGE_NAME, read_comparison
from lensaudit.comparing.tables import HEADS, matrices_of, probe_table, set_table, told_apart, verdicts_said
from lensaudit.errors import DataError, LensauditError
from lensaudit.files import write_text
from lensaudit.report import facts, render
from lensaudit.report.facts import decimal, pixel_facts
from lensaudit.report.figures.panels import FAINT, FULL_WIDTH_IN, INK, house_style, light_grid, new_figure, svg_uri
from lensaudit.untrusted import printable
from lensaudit.verdicts import NATURES, present_word

COLOURS = ("#0072b2", "#c04f00", "#1c6e54", "#a8467c", "#7a5c00", "#3aa0d8", "#1d2733", "#8a94a0")
"""Okabe & Ito 2008, darkened to be told apart on white; dashes go on where they begin again."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))

ACROSS = 4
"""Reliability diagrams side by side."""


def pictures_of(block: dict[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Picture name → ``uri``, ``alt``, ``width``, ``height`` of one set; None for one that cannot be drawn."""
    rows = _ranked(block)
    found: dict[str, dict[str, Any] | None] = {"roc": None, "reliability": None}
    with house_style():
        if any(row["roc"] for row in rows):
            found["roc"] = _picture(draw_roc(rows), roc_alt(rows))
        if any(row["calibration"]["ece"]["value"] is not None for row in rows):
            found["reliability"] = _picture(draw_reliability(rows), reliability_alt(rows))
    return found


def draw_roc(rows: Sequence[dict[str, Any]]) -> Figure:
    """Recall against false-positive rate of all finders, on linear and on logarithmic axis, with 95 % bands."""
    height = 3.6 + 0.16 * math.ceil(len(rows) / 4)
    figure, (linear, log) = new_figure(FULL_WIDTH_IN, height, columns=2)
    drawn = [row for row in rows if row["roc"]]
    floor = 0.5 / max(row["n_non_lenses"] for row in drawn)
    for place, row in enumerate(drawn):
        for axes, least in ((linear, 0.0), (log, floor)):
            _curve(axes, row, _look(place), least)
    linear.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    grid = np.geomspace(floor, 1, 200)
    log.plot(grid, grid, color=FAINT, linewidth=0.8, linestyle=":")
    log.axvline(0.01, color=FAINT, linewidth=0.8)
    log.text(0.01, 1.0, " 1 %", fontsize=7.5, va="top", color="#5c6670")
    linear.set(xlim=(0, 1), ylim=(0, 1.01), title="All thresholds; dotted: guessing", ylabel=_recall_of(drawn))
    log.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.01), title="Few false alarms (logarithmic)")
    for axes in (linear, log):
        axes.set_xlabel(f"False-positive rate (of {_range(row['n_non_lenses'] for row in drawn)} non-lenses)")
        light_grid(axes)
    handles, labels = linear.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def draw_reliability(rows: Sequence[dict[str, Any]]) -> Figure:
    """Share of lenses against mean p(lens) in ten bins, a small diagram per finder."""
    shown = [row for row in rows if row["calibration"]["ece"]["value"] is not None]
    lines = math.ceil(len(shown) / ACROSS)
    figure = Figure(figsize=(FULL_WIDTH_IN, 0.35 + 2.3 * lines), layout="constrained")
    grid = figure.subplots(lines, ACROSS, squeeze=False, sharey=True)
    for place, axes in enumerate(grid.ravel()):
        if place >= len(shown):
            axes.set_axis_off()
            continue
        _diagram(axes, shown[place], _look(place)["color"])
    figure.supylabel("Share of lenses in the bin", fontsize=9, color=INK)
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
    told = ", ".join(f"{row['finder']} {decimal(row['calibration']['ece']['value'])}" for row in rows)
    return f"Reliability diagrams of {len(rows)} finders; expected calibration error: {told}."


def _curve(axes: Axes, row: dict[str, Any], look: dict[str, Any], floor: float) -> None:
    roc = row["roc"]
    fpr = np.maximum(roc["fpr"], floor)
    axes.fill_between(fpr, roc["low"], roc["high"], color=look["color"], alpha=0.1, linewidth=0, step="post")
    axes.plot(fpr, roc["tpr"], drawstyle="steps-post", label=row["finder"], **look)


def _diagram(axes: Axes, row: dict[str, Any], colour: str) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    bins = [one for one in row["calibration"]["bins"] if one["n"]]
    said, share = (np.array([one[name] for one in bins]) for name in ("said", "share"))
    ends = np.array([[one["share"] - one["low"], one["high"] - one["share"]] for one in bins]).T
    axes.errorbar(said, share, yerr=np.maximum(ends, 0), color=colour, linewidth=1, marker="o", markersize=3)
    ece = row["calibration"]["ece"]
    axes.set_title(row["finder"], fontsize=9)
    told = f"ECE {decimal(ece['value'])}\n({decimal(ece['low'])}–{decimal(ece['high'])})\nn = {ece['n']}"
    axes.text(0.03, 0.97, told, transform=axes.transAxes, va="top", fontsize=7.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Mean p(lens)")
    light_grid(axes)


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place // len(COLOURS) % len(DASHES)]}


def _ranked(block: dict[str, Any]) -> list[dict[str, Any]]:
    rows = {row["finder"]: row for row in block["rows"]}
    return [rows[one["finder"]] for one in block["ranking"]]


def _recall_of(rows: Sequence[dict[str, Any]]) -> str:
    return f"Recall (of {_range(row['n_lenses'] for row in rows)} lenses)"


def _range(counts: Any) -> str:
    """``1974``, or ``1970–1974`` where finders could not score the same images."""
    found = sorted(set(counts))
    return str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"


def _picture(figure: Figure, alt: str) -> dict[str, Any]:
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return {"uri": svg_uri(figure), "alt": alt, "width": width, "height": height}


MAX_BYTES = 8_000_000
_TEMPLATE = Path(__file__).parent / "template"
_HOUSE = Path(render.__file__).parent / "template"


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
    size = len(page.encode("utf-8"))
    if size > MAX_BYTES:
        raise DataError(f"{folder}: the page would be {size / 1e6:.1f} MB, 8 MB at most; compare fewer finders or sets")
    path = folder / PAGE_NAME
    write_text(path, page)
    return path


def policy(css: str, script: str) -> str:
    """Content-Security-Policy that allows this style sheet, this script and ``data:`` pictures, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in (css, script)]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _html(comparison: dict[str, Any]) -> str:
    house = (_HOUSE / "page.css").read_text(encoding="utf-8")
    css = house + (_TEMPLATE / "compare.css").read_text(encoding="utf-8")
    script = (_TEMPLATE / "sort.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            sections=[_section(comparison, place) for place in range(len(comparison["sets"]))],
            heads=HEADS,
            probes=probe_table(comparison["probes"]),
            natures=dict(NATURES),
            verdicts=verdicts_said(comparison["probes"]),
            css=Markup(css),
            script=Markup(script),
            policy=policy(css, script),
        )
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


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([_TEMPLATE, _HOUSE]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(
        decimal=facts.decimal,
        significant=facts.significant,
        percent=facts.percent,
        count=facts.count,
        p_value=facts.p_value,
        between=lambda group, digits=3: facts.interval(group["low"], group["high"], digits),
        span=lambda group: facts.percent_interval(group["low"], group["high"]),
        symbols=lambda text: text,
        slug=lambda text: text.replace(" ", "-"),
        present_word=present_word,
    )
    return environment
