"""Medians of the selected lenses against those of all lenses: the numbers and their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lensaudit.display.colour import FAINT, SERIES
from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.parameters import FEW, Array, Cut, Parameter, Selected, known_parameter
from lensaudit.records import Json, Number, Record
from lensaudit.statistics import median_shifts

if TYPE_CHECKING:
    from matplotlib.axes import Axes


RESAMPLES = 1000


@dataclass(frozen=True)
class Median(Record):
    """A median, or a difference of two, with its 95 % bootstrap interval; NaN where there is nobody."""

    value: Number
    low: Number
    high: Number


@dataclass(frozen=True)
class MedianRow(Record):
    """One parameter at one threshold.

    Attributes
    ----------
    parameter
        What it is.
    threshold
        The cut's words.
    everyone, selected, shift
        Median of all lenses, of the selected ones, and the second less the first, in the parameter's unit.
    spread
        Half the distance between the 16th and the 84th percentile of all lenses: the unit in which shifts compare.
    n, n_selected
        Lenses with a value, and of them the selected ones.
    """

    ALSO = ("few", "moved")

    parameter: Parameter
    threshold: str
    everyone: Median
    selected: Median
    shift: Median
    spread: Number
    n: int
    n_selected: int

    @property
    def few(self) -> bool:
        """Fewer than 100 lenses selected."""
        return self.n_selected < FEW

    @property
    def moved(self) -> bool:
        """Whether the interval of the shift leaves out zero."""
        return self.shift.low > 0 or self.shift.high < 0

    def row(self) -> dict[str, Any]:
        """A row of a flat table, with NaN where there is nobody."""
        words: dict[str, Any] = {
            "parameter": self.parameter.name,
            "label": self.parameter.label,
            "threshold": self.threshold,
        }
        for name in ("everyone", "selected", "shift"):
            median = getattr(self, name)
            words |= {name: median.value, f"{name}_low": median.low, f"{name}_high": median.high}
        counted = {"n": self.n, "n_selected": self.n_selected, "few": self.few, "moved": self.moved}
        return {**words, "spread": self.spread, **counted}

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "label" not in words:
            return words
        name, unit = words["label"].removesuffix("]").partition(" [")[::2]
        medians = {one: _with_ends(words, one) for one in ("everyone", "selected", "shift")}
        return {**words, "parameter": known_parameter(words["parameter"], name, unit), **medians}


def _with_ends(words: Json, name: str) -> Json:
    """A value and its interval from a flat row."""
    return {"value": words[name], "low": words[f"{name}_low"], "high": words[f"{name}_high"]}


def median_rows(
    parameters: Sequence[Parameter],
    values: Mapping[str, Array],
    cuts: Sequence[Selected],
    generator: np.random.Generator,
) -> tuple[MedianRow, ...]:
    """The table of Herle, O'Riordan & Vegetti 2024 (MNRAS 534, 1093): parameter by parameter, every threshold.

    Parameters
    ----------
    values
        Name of each parameter → values of the lenses (n,); NaN is left out for that parameter alone.
    cuts
        Thresholds with whom they select.
    generator
        Of the resamples.
    """
    if not parameters or not cuts:
        return ()
    table = np.column_stack([values[parameter.name] for parameter in parameters])
    members = np.column_stack([one.found for one in cuts])
    found = median_shifts(table, members, generator, resamples=RESAMPLES, confidence=CONFIDENCE)
    return tuple(
        MedianRow(
            parameter,
            one.cut.words,
            Median(*(float(part[i]) for part in (found.everyone, found.everyone_low, found.everyone_high))),
            Median(*(float(part[c, i]) for part in (found.members, found.members_low, found.members_high))),
            Median(*(float(part[c, i]) for part in (found.shift, found.shift_low, found.shift_high))),
            _spread(table[:, i]),
            int(found.n_everyone[i]),
            int(found.n_members[c, i]),
        )
        for i, parameter in enumerate(parameters)
        for c, one in enumerate(cuts)
    )


def _spread(values: Array) -> float:
    low, high = np.quantile(values[np.isfinite(values)], [0.16, 0.84])
    return float(high - low) / 2


def draw_medians(axes: Axes, medians: Sequence[MedianRow], cuts: Sequence[Cut]) -> Axes:
    """Draw the medians of the selected less those of all, in units of the spread of all; returns `axes`.

    95 % bootstrap intervals; hollow where fewer than 100 lenses are selected. The caller places the legend.
    """
    names = list(dict.fromkeys(row.parameter.name for row in medians))
    words = [cut.words for cut in cuts]
    labelled = set()
    for row in medians:
        if not np.isfinite(row.shift.value) or not row.spread > 0:
            continue
        which = words.index(row.threshold)
        height = names.index(row.parameter.name) + 0.7 * ((which + 0.5) / len(cuts) - 0.5)
        colour = SERIES[which % len(SERIES)]
        axes.hlines(height, row.shift.low / row.spread, row.shift.high / row.spread, color=colour, linewidth=1.2)
        label = "" if which in labelled else f"{row.threshold}: {cuts[which].recall.k} lenses"
        labelled.add(which)
        face = "white" if row.few else colour
        axes.plot(row.shift.value / row.spread, height, "o", color=colour, markerfacecolor=face, ms=4, label=label)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    titles = {row.parameter.name: row.parameter.words for row in medians}
    axes.set_yticks(range(len(names)), labels=[titles[name] for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("median of the selected − median of all lenses, in half-widths of the central 68 % of all")
    return axes
