"""A selection function as Markdown, JSON, Parquet and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit.display.figures import axes_or_new, figure_of, save_figure, styled
from lensaudit.display.numbers import (
    MISSING,
    decimal,
    p_short,
    percent,
    percent_with_interval,
    proportion,
    significant,
    significant_with_interval,
    with_interval,
)
from lensaudit.display.page import markdown_table, write_html
from lensaudit.evaluation.selection.driver_model import Carried, Companion, Driver, DriverModel, draw_drivers
from lensaudit.evaluation.selection.function import Median, MedianRow, SelectionFunction
from lensaudit.evaluation.selection.parameters import FEW, Cut
from lensaudit.evaluation.selection.recall_maps import Axis, RecallMap
from lensaudit.files import replacing, write_json, write_text
from lensaudit.records import Json, plain
from lensaudit.untrusted import in_markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def markdown(selection: SelectionFunction, title: str, figures: Mapping[str, str]) -> str:
    """The page: thresholds, recall maps with intervals, medians, and what drives the selection.

    Parameters
    ----------
    title
        Finder and set.
    figures
        Name of a figure (a map's name, ``medians``, ``drivers``) → file beside the page.
    """
    lines = [
        f"# Selection function: {in_markdown(title)}",
        "",
        _counted(selection),
        "",
        "## Thresholds",
        "",
        *_thresholds(selection),
    ]
    for one in selection.maps:
        lines += ["", *_map(one, selection.cut.words, figures.get(one.name))]
    lines += ["", "## Medians of selected and of all lenses", "", *_medians(selection, figures.get("medians"))]
    lines += ["", "## What drives it", "", *_drivers(selection.drivers, selection.cut.words, figures.get("drivers"))]
    return "\n".join(lines) + "\n"


def left_out(selection: SelectionFunction) -> list[str]:
    """What was not measured on, a phrase each."""
    counts = {"labelled images without a score": selection.n_unscored, "of unknown label": selection.n_unlabelled}
    said = [f"left out: {count} {what}" for what, count in counts.items() if count]
    if selection.absent:
        said.append(f"no lens of the set has: {', '.join(selection.absent)}")
    return said + list(selection.notes)


def _counted(selection: SelectionFunction) -> str:
    facts = [f"{selection.n_lenses} lenses, {selection.n_non_lenses} non-lenses", *left_out(selection)]
    return (
        f"{'; '.join(facts)}. Recall counts lenses only. Intervals are 95 %; * marks fewer than {FEW} lenses, on which "
        "nothing should rest."
    )


def _thresholds(selection: SelectionFunction) -> list[str]:
    rows = [_cut(cut) for cut in selection.cuts]
    notes = [f"{cut.words}: {cut.note}." for cut in selection.cuts if cut.note]
    header = ("threshold", "p", "recall (Wilson)", "false positives (Wilson)")
    return [markdown_table(header, rows), *(["", *notes] if notes else [])]


def _cut(cut: Cut) -> tuple[str, ...]:
    sign = "≥" if cut.threshold.of == "p" else ">"
    return (
        cut.words,
        f"{sign} {significant(cut.p, 6)}",
        proportion(cut.recall) + _star(cut.recall.k),
        proportion(cut.false_positives),
    )


def _map(one: RecallMap, threshold: str, figure: str | None) -> list[str]:
    title = f"Recall over {one.x.parameter.label} and {one.y.parameter.label}, {threshold}"
    picture = [f"![{title}]({figure})", ""] if figure else []
    header = (f"{one.y.parameter.label} ↓ {one.x.parameter.label} →", *(_bin(one.x, i) for i in range(one.n.shape[1])))
    rows = [(_bin(one.y, j), *(_cell(one, j, i) for i in range(one.n.shape[1]))) for j in range(one.n.shape[0])]
    n_few = int(one.few.sum())
    caption = (
        f"n = {one.n.sum()} lenses; {one.n_outside} outside the edges, {one.n_missing} without a value. In each cell "
        f"recall, its Wilson interval and n; {n_few} of {one.n.size} cells have fewer than {FEW} lenses (*)."
    )
    return [f"## {title}", "", *picture, caption, "", markdown_table(header, rows)]


def _bin(axis: Axis, i: int) -> str:
    return f"{axis.edges[i]:g}–{axis.edges[i + 1]:g}"


def _cell(one: RecallMap, j: int, i: int) -> str:
    n = int(one.n[j, i])
    if not n:
        return "n = 0*"
    found = percent_with_interval(one.recall[j, i], one.low[j, i], one.high[j, i], 0)
    return f"{found} n = {n}{_star(n)}"


def _medians(selection: SelectionFunction, figure: str | None) -> list[str]:
    cuts = [cut.words for cut in selection.cuts]
    by_name: dict[str, dict[str, MedianRow]] = {}
    for row in selection.medians:
        by_name.setdefault(row.parameter.label, {})[row.threshold] = row
    first = {label: next(iter(rows.values())) for label, rows in by_name.items()}
    table = [
        (label, f"{_median(first[label].everyone)} (n = {first[label].n})", *(_moved(rows[cut]) for cut in cuts))
        for label, rows in by_name.items()
    ]
    legend = (
        "Medians with 95 % bootstrap intervals. Bold where the interval of the difference to all lenses leaves out "
        "zero; of twenty that should not, one does by chance. After Herle, O'Riordan & Vegetti 2024 (MNRAS 534, 1093)."
    )
    header = (
        "parameter",
        "all lenses",
        *(f"{cut.words}{_star(cut.recall.k)}, n = {cut.recall.k}" for cut in selection.cuts),
    )
    picture = [f"![Medians of selected lenses against all]({figure})", ""] if figure else []
    return [*picture, legend, "", markdown_table(header, table)]


def _median(one: Median) -> str:
    return significant_with_interval(one.value, one.low, one.high)


def _moved(row: MedianRow) -> str:
    text = _median(row.selected)
    if row.n_selected == 0:
        return text
    return (f"**{text}**" if row.moved else text) + _star(row.n_selected)


def _drivers(model: DriverModel, threshold: str, figure: str | None) -> list[str]:
    said = [line for sentence in model.sentences for line in (sentence, "")]
    if model.status:
        return said[:-1]
    out = f" {model.n_missing} lenses lack a parameter and are left out." if model.n_missing else ""
    gone = "".join(f" {words} is left out: {why}." for words, why in model.left_out.items())
    method = (
        f"Logistic regression of found at {threshold} ({model.n_found} of {model.n} lenses) on standardised "
        "parameters; (log) stands for the decimal logarithm. Slope and bend (its square) are log-odds per standard "
        "deviation with all others held, bootstrap over lenses; alone is the slope with nothing else in the model. "
        "p: likelihood ratio without the parameter, after Holm. Explained: fraction of the explained deviance lost "
        "without it; what parameters explain together is in none of them. VIF: variance inflation. On lenses it "
        f"was not fitted to, the model has AUROC {decimal(model.auroc)}, {decimal(model.auroc_straight)} without "
        f"squares.{out}{gone}"
    )
    header = ("parameter", "σ", "alone", "slope", "bend", "p", "explained", "VIF", "goes with", "verdict")
    picture = [f"![Coefficients of the model]({figure})", ""] if figure else []
    lines = [*said, *picture, method, "", markdown_table(header, [_driver(one) for one in model.drivers])]
    if model.carried:
        taken_out = ("taken out", "VIF then", "goes with", "p alone", "p of taking it out")
        lines += ["", markdown_table(taken_out, [_carried(one) for one in model.carried])]
    return lines


def _driver(one: Driver) -> tuple[str, ...]:
    words = f"**{one.parameter.words}**" if one.verdict == "drives" else one.parameter.words
    unit = "dex" if one.parameter.logarithmic else one.parameter.unit
    coefficients = [
        MISSING if part is None else with_interval(part.value, part.low, part.high, 2, sign=True)
        for part in (one.alone, one.slope, one.bend)
    ]
    verdict = f"drives: {one.sense}" if one.verdict == "drives" else one.verdict
    return (
        words + (" (log)" if one.parameter.logarithmic else ""),
        f"{significant(one.sd, 2)} {unit}".rstrip(),
        *coefficients,
        p_short(one.p_holm),
        percent(one.explained),
        decimal(one.vif, 1),
        _goes_with(one.companion),
        verdict,
    )


def _carried(one: Carried) -> tuple[str, ...]:
    vif = decimal(one.vif, 1) if math.isfinite(one.vif) else "∞"
    return one.parameter.words, vif, _goes_with(one.companion), p_short(one.p_alone), p_short(one.p_cost)


def _goes_with(companion: Companion | None) -> str:
    return MISSING if companion is None else f"{companion.words} ({decimal(companion.correlation, 2, sign=True)})"


def _star(n: int) -> str:
    return "*" if n < FEW else ""


METADATA_KEY = b"lensaudit"

_UNITS = {
    "recall": "k / n",
    "low": "lower end of its 95 % Wilson interval",
    "high": "upper end of its 95 % Wilson interval",
    "few": "fewer than 100 lenses",
    "everyone": "median of all lenses, in the unit of the parameter",
    "selected": "median of the selected lenses, in the unit of the parameter",
    "shift": "selected less everyone",
    "spread": "half the distance between the 16th and 84th percentile of all lenses",
    "moved": "the interval of the shift leaves out zero",
    "sd": "standard deviation of the parameter, in dex where its logarithm is modelled",
    "alone": "log-odds of being found per standard deviation, nothing else in the model",
    "slope": "log-odds of being found per standard deviation, all others held",
    "bend": "log-odds per squared standard deviation, all others held",
    "p_alone": "likelihood ratio with nothing else in the model, after Holm",
    "p_holm": "likelihood ratio without the parameter, after Holm",
    "explained": "fraction of the explained deviance lost without the parameter",
    "vif": "variance inflation",
}


def selection_record(selection: SelectionFunction, about: Mapping[str, Any]) -> Json:
    """What ``selection.json`` holds: `about` (finder, set, provenance) and the numbers; None where there is none."""
    return {**plain(about), "threshold": selection.cut.words, **selection.to_json()}


def write_selection(selection: SelectionFunction, about: Mapping[str, Any], title: str, out: Path) -> list[str]:
    """Write everything into the folder `out`; returns the names of the files.

    ``selection.json``, ``recall-maps.parquet`` (a row per cell), ``medians.parquet`` (a row per parameter and
    threshold), ``drivers.parquet`` (a row per parameter in the model; where there is no
    model there is no such file), ``selection.md``, the same as ``selection.html``, and a PNG per map, of the medians
    and of the drivers.
    """
    tables = {
        "recall-maps.parquet": [cell for one in selection.maps for cell in one.cells()],
        "medians.parquet": [row.row() for row in selection.medians],
        "drivers.parquet": [driver.row() for driver in selection.drivers.drivers],
    }
    figures = {one.name: f"recall-{one.name}.png" for one in selection.maps}
    figures |= {"medians": "medians.png", "drivers": "drivers.png"}
    _draw(selection, title, out, figures)
    written = [name for name, rows in tables.items() if rows]
    for name in written:
        _write_table(tables[name], plain(about), out / name)
    for name in set(tables) - set(written):  # what an earlier run left there belongs to other numbers
        (out / name).unlink(missing_ok=True)
    text = markdown(selection, title, figures)
    write_text(out / "selection.md", text)
    write_html(
        out / "selection.html", text, "The same as selection.md; every number stands in selection.json beside it."
    )
    write_json(out / "selection.json", selection_record(selection, about))  # last: where it is, all is there
    return ["selection.json", "selection.md", "selection.html", *written, *figures.values()]


@styled
def _draw(selection: SelectionFunction, title: str, out: Path, figures: Mapping[str, str]) -> None:
    """Write the PNGs."""
    for one in selection.maps:
        axes = one.plot(axes_or_new(None, 7.4, 5.6), bar=f"recall at {selection.cut.words}")
        _save(out / figures[one.name], axes, title)
    _save(out / figures["medians"], selection.plot_medians(), title)
    save_figure(out / figures["drivers"], draw_drivers(selection.drivers, title))


def _save(path: Path, axes: Axes, title: str) -> None:
    axes.set_title(f"{title}\n{axes.get_title(loc='left')}", fontsize=9)
    save_figure(path, figure_of(axes))


def _write_table(rows: Sequence[Mapping[str, Any]], about: Any, path: Path) -> None:
    table = pa.Table.from_pylist([dict(row) for row in rows])
    fields = [
        field.with_metadata({"description": _UNITS[field.name]}) if field.name in _UNITS else field
        for field in table.schema
    ]
    words = json.dumps(about, sort_keys=True, allow_nan=False).encode()
    with replacing(path) as partial:
        pq.write_table(table.cast(pa.schema(fields, metadata={METADATA_KEY: words})), partial, compression="zstd")
