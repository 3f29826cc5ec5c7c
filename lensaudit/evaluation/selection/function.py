"""The selection function of a finder on a set: its classes, and medians of the selected lenses against those of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.colour import FAINT, SERIES
from lensaudit.display.figures import axes_or_new, legend_under, styled
from lensaudit.errors import DataError
from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.driver_model import DriverModel
from lensaudit.evaluation.selection.drivers import driver_model
from lensaudit.evaluation.selection.parameters import (
    FEW,
    LADDER,
    Array,
    Classes,
    Cut,
    Parameter,
    Selected,
    Threshold,
    WithTruth,
    known_parameter,
    parameters_of,
    values_of,
)
from lensaudit.evaluation.selection.recall_maps import RecallMap, default_axes, recall_map
from lensaudit.records import Cells, Facts, Json, Number, Record, Shown
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


_STREAM = 0x3ED1A2  # keeps these resamples apart from other draws of the same seed


class Scored(Protocol):
    """What is asked of scores: :class:`lensaudit.finders.Scores` has it."""

    @property
    def p_lens(self) -> NDArray[np.float64]: ...
    @property
    def logit(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True, repr=False)
class SelectionFunction(Shown, Record):
    """Which lenses a finder selects.

    Attributes
    ----------
    cuts
        All thresholds at which medians are compared; maps and model are made at the first.
    maps
        Recall over θ_E × arc S/N and θ_E × source magnitude, as far as the set knows them.
    medians
        Parameter by parameter, every threshold.
    drivers
        The model of found and lost.
    n_lenses, n_non_lenses, n_unscored, n_unlabelled
        Scored lenses and non-lenses; labelled images without a score, and images of unknown label, left out.
    absent
        Words of parameters that no lens of the set has.
    notes
        What was left out, a sentence each.
    """

    ALSO = ("confidence", "few_below")

    cuts: tuple[Cut, ...]
    maps: tuple[RecallMap, ...]
    medians: tuple[MedianRow, ...]
    drivers: DriverModel
    n_lenses: int
    n_non_lenses: int
    n_unscored: int
    n_unlabelled: int
    absent: tuple[str, ...]
    notes: tuple[str, ...]

    def _facts(self) -> Facts:
        found = f"{self.cut.recall.k} of {self.n_lenses}"
        return {"lenses selected": found, "at": self.cut.words, "non-lenses": self.n_non_lenses}

    def _rows(self) -> list[Cells]:
        return [
            {"threshold": cut.words, "p": cut.p, "recall": str(cut.recall), "false positives": str(cut.false_positives)}
            for cut in self.cuts
        ]

    @property
    def cut(self) -> Cut:
        """The threshold that maps and model are made at."""
        return self.cuts[0]

    @property
    def confidence(self) -> float:
        """Of every interval."""
        return CONFIDENCE

    @property
    def few_below(self) -> int:
        """Fewer lenses than this are marked."""
        return FEW

    @styled
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the recall along the Einstein radius with its Wilson intervals, and the recall of all lenses.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``.

        Raises
        ------
        DataError
            The set knows no Einstein radius; `plot_medians` and ``drivers.plot`` draw what it knows.

        See Also
        --------
        SelectionFunction.plot_medians : medians of the selected against those of all.
        lensaudit.evaluation.selection.RecallMap.plot : each of `maps`, over two properties.
        lensaudit.evaluation.selection.DriverModel.plot : what drives being found.
        """
        if not self.maps:
            raise DataError("the set knows no Einstein radius to draw recall along; use plot_medians or drivers.plot")
        return self.maps[0].along("x").plot(ax, overall=self.cut.recall.value)

    @styled
    def plot_medians(self, ax: Axes | None = None) -> Axes:
        """Draw the median of the selected less that of all for every parameter and threshold; returns the axes.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        """
        rows = len({row.parameter.name for row in self.medians})
        axes = draw_medians(axes_or_new(ax, 8.6, 1.8 + 0.42 * rows), self.medians, self.cuts)
        note = f"of {self.n_lenses} lenses; 95 % bootstrap; hollow: fewer than {FEW} selected"
        axes.set_title(note, fontsize=9)
        legend_under(axes, 3)
        return axes

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return {**words, "n_non_lenses": words.pop("n_others")} if "n_others" in words else words


def selection_function(
    scores: Scored,
    lens_set: WithTruth,
    thresholds: Sequence[Threshold] = LADDER,
    *,
    seed: int = 1,
) -> SelectionFunction:
    """Measure which lenses a finder selects, at which medians, and what drives it.

    Only lenses count for recall; the fraction of the set's non-lenses that passes stands beside each threshold.

    Parameters
    ----------
    scores
        p and logit of every system, in the order of the set; NaN where there is none.
    lens_set
        A set with labels and truth columns; θ_E and sizes in arcsec, magnitudes AB.
    thresholds
        The first is that of the maps and the model; medians are compared at all of them.
    seed
        Of the bootstrap and the folds.

    Raises
    ------
    DataError
        The set has no scored lens, or no truth about its lenses.
    ValueError
        Scores are not as many as systems, or there is no threshold.

    References
    ----------
    Herle A., O'Riordan C. M., Vegetti S., 2024, MNRAS 534, 1093.
    """
    p, logit, labels = np.asarray(scores.p_lens, float), np.asarray(scores.logit, float), lens_set.labels
    if not p.shape == logit.shape == labels.shape or not thresholds:
        raise ValueError(f"{p.shape} scores for {labels.shape} systems, {len(thresholds)} thresholds")
    scored = np.isfinite(p) & ~np.isnan(logit)
    lens, other = (labels == 1) & scored, (labels == 0) & scored
    if not lens.any():
        raise DataError(f"{lens_set.path}: no image with the label lens has a score; a selection function needs lenses")
    require_truth(lens_set)
    parameters, absent = parameters_of(lens_set)
    selected, notes = _cuts(Classes(p[lens], logit[lens], p[other], logit[other]), thresholds, lens_set)
    values = values_of(parameters, lens_set, lens)
    found = selected[0].found
    maps = [
        recall_map(values[x.parameter.name], values[y.parameter.name], found, x, y) for x, y in default_axes(parameters)
    ]
    return SelectionFunction(
        cuts=tuple(one.cut for one in selected),
        maps=tuple(maps),
        medians=median_rows(parameters, values, selected, np.random.default_rng([seed, _STREAM])),
        drivers=driver_model(parameters, values, found, seed),
        n_lenses=int(lens.sum()),
        n_non_lenses=int(other.sum()),
        n_unscored=int(((labels >= 0) & ~scored).sum()),
        n_unlabelled=int((labels < 0).sum()),
        absent=absent,
        notes=notes,
    )


def require_truth(lens_set: WithTruth) -> None:
    """Raise DataError unless the set has lenses and knows something of them."""
    if not (lens_set.labels == 1).any():
        raise DataError(f"{lens_set.path}: holds no image with the label lens; a selection function needs lenses")
    if not parameters_of(lens_set)[0]:
        raise DataError(
            f"{lens_set.path}: knows nothing of its lenses (no θ_E, S/N, magnitudes …), as of most real ones; "
            "see lensaudit simulate, or declare columns of your own beside the cutouts"
        )


def _cuts(
    classes: Classes, thresholds: Sequence[Threshold], lens_set: WithTruth
) -> tuple[tuple[Selected, ...], tuple[str, ...]]:
    """Every threshold once, in the order asked for; a false-positive rate is left out where it cannot be measured."""
    made = {threshold: classes.cut(threshold) for threshold in dict.fromkeys(thresholds)}
    if made[thresholds[0]] is None:
        raise DataError(f"{lens_set.path}: has no scored non-lens to measure a false-positive rate on; use --threshold")
    gone = [threshold.words for threshold, one in made.items() if one is None]
    notes = (f"No non-lenses in the set: left out {', '.join(gone)}",) if gone else ()
    return tuple(one for one in made.values() if one is not None), notes
