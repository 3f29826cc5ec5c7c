"""``probe.md``: the result as a page of text, and its figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.colour import CONTROL, FAINT, INK, TREATED
from lensaudit.display.figures import (
    FULL_WIDTH_IN,
    draw_pixels,
    legend_below,
    light_grid,
    new_figure,
    row_of_axes,
    save_figure,
    styled,
)
from lensaudit.display.images import (
    NISP_RGB,
    colour_bands,
    colour_picture,
    colour_scale,
    grey,
    grey_scale,
    has_colour,
    main_band,
)
from lensaudit.display.numbers import decimal, p_short, probability, shortest, significant, with_interval
from lensaudit.display.page import markdown_table
from lensaudit.probes.columns import Curve
from lensaudit.probes.definition import ProbeDefinition
from lensaudit.probes.experiment import Experiment
from lensaudit.probes.finding import ALL_PAIRS, ARMS, BINOMIAL, Change, Finding, Recall, called, draw_arms
from lensaudit.probes.response import Response, draw_doses
from lensaudit.probes.result import Example, ProbeResult
from lensaudit.statistics import pairs_that_never_tell
from lensaudit.untrusted import in_markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def page(result: ProbeResult) -> str:
    """The probe as Markdown: verdict, numbers, what was done, reference, limits."""
    parts = [
        f"# {in_markdown(result.definition.title)}: {in_markdown(result.finder.name)}",
        in_markdown(result.definition.question),
        f"**{result.verdict.word}** — {result.verdict.sentence}",
        in_markdown(result.definition.meaning),
        "## Recall of the same systems in both arms",
        _findings_table(result.findings),
        "![recall of both arms](recall.png)",
        "\n".join(
            f"* {in_markdown(f.which)}: **{f.verdict.word}**. {f.verdict.sentence}"
            for f in result.findings
            if f.verdict
        ),
        *_responses(result),
        "## Where the recall goes" if result.curves else "",
        "![recall against truth columns](curves.png)" if result.curves else "",
        "## The change of each pair",
        "![histogram of the change of logit](effect.png)",
        "## Examples",
        "![example pairs](pairs.png)",
        "## What was done",
        "\n".join(f"* {in_markdown(line)}" for line in _method(result)),
        *_published(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def findings_rows(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """One row of text per finding, under `FINDINGS_HEAD`."""
    return [
        (
            finding.population,
            finding.subset,
            "" if finding.dose is None else shortest(finding.dose),
            str(finding.n),
            *(with_interval(one.value, one.low, one.high) for one in (finding.control, finding.treated)),
            *(_change(one) for one in (finding.recall_change, finding.logit_change)),
            p_short(finding.p_value),
            p_short(finding.p_holm),
            finding.verdict.word if finding.verdict else "",
        )
        for finding in findings
    ]


FINDINGS_HEAD = (
    "population",
    "pairs",
    "dose",
    "n",
    "recall control",
    "recall treated",
    "change of recall",
    "mean change of logit",
    "p",
    "Holm p",
    "verdict",
)


def _findings_table(findings: Iterable[Finding]) -> str:
    return markdown_table(FINDINGS_HEAD, ([in_markdown(cell) for cell in row] for row in findings_rows(findings)))


def _responses(result: ProbeResult) -> list[str]:
    """Where the loss leaves the tolerance, and what the doses mean."""
    doses = result.definition.doses
    if doses is None or not result.responses:
        return []
    parts = ["## Along the strength", "![recall along the strength of the edit](doses.png)"]
    for one in result.responses:
        parts.append(in_markdown(crossing_sentence(one, result)))
        head = ("median over the systems", "control", *(shortest(dose) for dose in doses.values))
        known = {name: values for name, values in one.truth.items() if not all(map(math.isnan, values))}
        rows = [(name, *(significant(value) for value in values)) for name, values in known.items()]
        parts.append(markdown_table(head, rows))
    return parts


def crossing_sentence(one: Response, result: ProbeResult) -> str:
    """Where the loss of recall exceeds the tolerance, in one sentence."""
    tolerated, population = shortest(result.settings.tolerance), called(one.population)
    if math.isnan(one.crossing):
        return f"{population}: at no dose is the measured loss above the tolerated {tolerated}."
    interval = f"95 % interval {_end(one.low)} to {_end(one.high)}" if one.crossed > 0 else "no interval"
    return (
        f"{population}: the loss exceeds the tolerated {tolerated} from dose {significant(one.crossing)} on "
        f"({interval})."
    )


def _end(value: float) -> str:
    return "beyond the last dose" if math.isnan(value) else significant(value)


def _method(result: ProbeResult) -> list[str]:
    settings, finder, rule = result.settings, result.finder, result.definition.lens_rule
    arms = result.definition.arms()
    hosts = settings.hosts
    drawn = f"pairs of each population, seed {settings.seed}, mode {settings.mode}"
    asked = drawn if hosts is None else f"pairs in {hosts.words}, seed {settings.seed}"
    same = "scene with the same noise seed" if hosts is None else "host, and the noise of their arcs has the same seed"
    reused = hosts is not None and hosts.reused
    over_hosts = ", or over hosts, each of which holds several arcs, where that is wider" if reused else ""
    lines = [
        f"{settings.n} {asked}. {result.mode_note}",
        f"Both arms of a pair are the same {same}; the edits are "
        f"{arms[0].describe()} (control) and {arms[-1].describe()} (treated{', last dose' if len(arms) > 2 else ''}).",
        f"Finder {finder.name} ({finder.origin}), bands {', '.join(finder.bands)}, stretch {finder.stretch}, "
        f"found means p ≥ {shortest(finder.threshold)}, weights {finder.weights_hash[:12]}.",
        f"{result.verdict.word}: {result.verdict.state.definition}.",
        f"{_tolerated(result)}: {shortest(settings.tolerance)}. Up to {pairs_that_never_tell(settings.tolerance)} "
        "pairs cannot exclude such a change even where both arms agree.",
        "Intervals are 95 %: Wilson for a recall, Tango's paired score interval for its change, paired bootstrap for "
        f"the logit{over_hosts}. p is {result.findings[0].p_is}, and corrected after Holm over the findings above.",
    ]
    lines.append(
        "The edit is to be seen (more than 20 pixels of the first band change by more than 0.5 σ) in "
        + ", ".join(f"{k} of {settings.n} {called(label)}" for label, k in result.visible_edits.items())
        + "; where it is not, no finder can react to it."
    )
    if rule:
        lines.append(
            f"{rule.name}: only pairs whose both arms fulfil {rule.describe()}. Drawn at random, many scenes hold no "
            f"visible arc; the rule is fulfilled by {_counts(result)}."
        )
    return lines


def _tolerated(result: ProbeResult) -> str:
    if result.findings[0].test == BINOMIAL:
        return "Tolerated fraction of scenes without a lens that are called one"
    return f"Tolerated {'change' if result.definition.nature == 'nuisance' else 'loss'} of recall"


def _counts(result: ProbeResult) -> str:
    return "; ".join(
        f"{counts['control']} control, {counts['treated']} treated and {counts['both']} both of {counts['n']} "
        + called(label)
        for label, counts in result.rule_counts.items()
    )


def _published(result: ProbeResult) -> list[str]:
    published = result.definition.published
    if published is None:
        return []
    labels = list(dict.fromkeys(label for recalls in published.recall.values() for label in recalls))
    rows = [
        (in_markdown(name), *(decimal(recalls.get(label), 4) for label in labels))
        for name, recalls in published.recall.items()
    ]
    return [
        f"## Reference: {in_markdown(published.caption)}",
        f"{in_markdown(published.source)}; recall at threshold {shortest(published.threshold)}. These are other "
        "images than ours: the table stands beside our numbers and enters none of them.",
        markdown_table(("finder", *(in_markdown(called(label)) for label in labels)), rows),
    ]


def _change(change: Change) -> str:
    return with_interval(change.value, change.low, change.high, sign=True)


COLOUR = {"control": CONTROL, "treated": TREATED}
MARKER = {"control": "o", "treated": "s"}


def errors(recalls: Sequence[Recall]) -> NDArray[np.float64]:
    """Distances (2, n) from the values to their intervals, as `errorbar` wants them."""
    distances = [(one.value - one.low, one.high - one.value) for one in recalls]
    return np.maximum(np.array(distances, dtype=float).T, 0.0)


def recall_axis(axes: Axes) -> None:
    """A recall axis from 0 to 1 with a light grid."""
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("recall at the finder's threshold")
    light_grid(axes, "y")


@styled
def recall_figure(result: ProbeResult) -> Figure:
    """Control and last dose of every finding with pairs, 95 % intervals, number of pairs and the verdict."""
    last = result.definition.arms()[-1].dose
    findings = [finding for finding in result.findings if finding.n > 0 and finding.dose == last]
    figure = new_figure(FULL_WIDTH_IN, 1.6 + 0.62 * len(findings))
    axes = figure.add_subplot()
    words = [f.verdict.word if f.verdict else "" for f in findings]
    names = [f"{f.which}\n(n = {f.n} pairs)\n{word}" for f, word in zip(findings, words, strict=True)]
    draw_arms(axes, findings, names)
    axes.set_title(f"{result.definition.title}: {result.finder.name}", fontsize=10, loc="left")
    legend_below(figure, axes)
    return figure


@styled
def curves_figure(result: ProbeResult) -> Figure:
    """One row per population, one column per truth column; n of each bin below it."""
    populations = list(dict.fromkeys(curve.population for curve in result.curves))
    columns = list(dict.fromkeys(curve.column for curve in result.curves))
    figure = new_figure(4.4 * len(columns), 3.0 * len(populations))
    grid = figure.subplots(len(populations), len(columns), squeeze=False)
    for curve in result.curves:
        _draw(grid[populations.index(curve.population), columns.index(curve.column)], curve)
    legend_below(figure, grid[0, 0])
    return figure


def _draw(axes: Axes, curve: Curve) -> None:
    places = np.arange(len(curve.bins))
    for arm, shift in zip(ARMS, (-0.08, 0.08), strict=True):
        filled = [(place, getattr(one, arm)) for place, one in zip(places, curve.bins, strict=True) if one.control.n]
        recalls = [one for _, one in filled]
        x = np.array([place for place, _ in filled], dtype=float) + shift
        if recalls:
            heights = [one.value for one in recalls]
            axes.errorbar(
                x, heights, errors(recalls), fmt=MARKER[arm], color=COLOUR[arm], capsize=2, markersize=4, label=arm
            )
    names = [f"{shortest(one.low)}–{shortest(one.high)}\nn = {one.control.n}" for one in curve.bins]
    axes.set_xticks(places, names, fontsize=7)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xlabel(f"{curve.label} of the treated arm" + (f"; {curve.outside} pairs outside" if curve.outside else ""))
    axes.set_title(called(curve.population), fontsize=9)
    recall_axis(axes)


@styled
def doses_figure(result: ProbeResult) -> Figure:
    """One panel for each population: `draw_doses`."""
    populations = list(dict.fromkeys(finding.population for finding in result.findings))
    figure, grid = row_of_axes(4.4 * len(populations), 3.3, columns=len(populations))
    for axes, population in zip(grid, populations, strict=True):
        findings = result.dosed(population)
        draw_doses(axes, findings, result.dose_scale, result.response(population))
        axes.set_title(f"{called(population)}, n = {findings[0].n} pairs", fontsize=9)
    legend_below(figure, grid[0], 4)
    return figure


BINS = 40


@styled
def effect_figure(result: ProbeResult) -> Figure:
    """One histogram per population of logit(treated) − logit(control), with the mean and its interval."""
    last = result.definition.arms()[-1].dose
    findings = [finding for finding in result.findings if finding.subset == ALL_PAIRS and finding.dose == last]
    figure = new_figure(4.2 * len(findings), 3.0)
    population = result.column("population")
    change = result.column("logit_treated") - result.column("logit_control")
    for axes, finding in zip(figure.subplots(1, len(findings), squeeze=False)[0], findings, strict=True):
        axes.hist(change[population == finding.population], bins=_edges(change), color=FAINT, alpha=0.6)
        mean = finding.logit_change
        axes.axvspan(mean.low, mean.high, color=COLOUR["treated"], alpha=0.3, linewidth=0)
        axes.axvline(
            mean.value,
            color=COLOUR["treated"],
            label=f"mean {with_interval(mean.value, mean.low, mean.high, 2, sign=True)}",
        )
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
        dose = "" if last is None else f", dose {shortest(last)}"
        axes.set_title(f"{called(finding.population)}{dose}, n = {finding.n} pairs", fontsize=9)
        axes.set_xlabel("change of logit, treated − control")
        axes.set_ylabel("pairs")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return figure


def _edges(change: np.ndarray) -> np.ndarray:
    """The same bins for all populations; at least one wide where nothing changes."""
    reach = max(float(np.abs(change).max()), 0.5)
    return np.linspace(-reach, reach, BINS + 1)


SIDE_INCH = 1.7


@styled
def gallery_figure(result: ProbeResult, experiments: Mapping[str, Experiment]) -> Figure:
    """One row per example; per arm a colour picture, where there is one, and the main band, on one scale for both."""
    rows = [_panels(example, experiments[example.population]) for example in result.examples]
    figure = new_figure(SIDE_INCH * len(rows[0]) + 1.2, (SIDE_INCH + 0.28) * len(rows))
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for line, panels, example in zip(grid, rows, result.examples, strict=True):
        for axes, (title, width, picture) in zip(line, panels, strict=True):
            draw_pixels(axes, picture, width)
            axes.set_title(title, fontsize=7, pad=2)
        line[0].set_ylabel(f"{example.pair_id}\n{example.reason}", fontsize=6.5)
    return figure


def _panels(example: Example, experiment: Experiment) -> list[tuple[str, float, NDArray[np.float64]]]:
    """Title, width [arcsec] and picture of each panel of one row: all of the control, then all of the treated arm."""
    fields = experiment.source.fields
    band = main_band(fields.bands)
    width = fields.pixel_scale_arcsec[band] * fields.shape[band][1]
    last = len(experiment.arms) - 1
    control, treated = (experiment.images(example.index, number) for number in (0, last))
    greys = grey_scale(control[band], treated[band])
    panels: list[tuple[str, float, NDArray[np.float64]]] = []
    for arm, cutout, p in (("control", control, example.p_control), ("treated", treated, example.p_treated)):
        title = f"{arm} p = {probability(p)}"
        if has_colour(fields.bands):
            three = colour_bands(fields.bands)
            both = {name: np.concatenate([control[name], treated[name]], axis=1) for name in three}
            words = f"{'NISP ' if three == NISP_RGB else ''}{''.join(three)}"
            panels.append((f"{title}, {words}", width, colour_picture(cutout, colour_scale(both))))
        panels.append((f"{title}, {band}", width, grey(cutout[band], greys)))
    return panels


_FROM_NUMBERS = {"recall": recall_figure, "doses": doses_figure, "curves": curves_figure, "effect": effect_figure}


def figure_files(definition: ProbeDefinition) -> dict[str, str]:
    """Name of each figure this probe has → its file, in the order of the page."""
    doses = ("doses",) if definition.doses and len(definition.doses.values) > 1 else ()
    names = ("recall", *doses, *(("curves",) if definition.curves else ()), "effect", "pairs")
    return {name: f"{name}.png" for name in names}


def draw_figures(result: ProbeResult, experiments: Mapping[str, Experiment], folder: Path) -> None:
    """Draw every figure the result has something for into `folder`; `experiments` are those of each population."""
    for name, file in result.figures.items():
        figure = gallery_figure(result, experiments) if name == "pairs" else _FROM_NUMBERS[name](result)
        save_figure(folder / file, figure)


__all__ = [
    "curves_figure",
    "doses_figure",
    "draw_figures",
    "effect_figure",
    "figure_files",
    "gallery_figure",
    "recall_figure",
]
