"""Recall over two parameters at once, and medians of the selected lenses against those of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.parameters import (
    ARC_SNR,
    EINSTEIN_RADIUS,
    FEW,
    Array,
    Parameter,
    Selected,
    known_parameter,
)
from lensaudit.records import Counts, Floats, Json, Number, Record
from lensaudit.statistics import median_shifts, wilson_interval

# The same for every finder and set, so that two selection functions can be laid side by side.
THETA_E_EDGES = (0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
ARC_SNR_EDGES = (0.0, 20.0, 40.0, 80.0, 160.0, 640.0)
SOURCE_MAGNITUDE_EDGES = (20.0, 22.0, 23.0, 24.0, 25.0, 27.0)


@dataclass(frozen=True)
class Axis(Record):
    """A parameter with rising bin edges (bins + 1), in its unit."""

    parameter: Parameter
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0).all():
            raise ValueError("edges must be at least two rising numbers")

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "parameter" in words:
            return words
        name, unit = words["label"].removesuffix("]").partition(" [")[::2]
        return {"parameter": known_parameter(words["name"], name, unit), "edges": words["edges"]}


@dataclass(frozen=True, eq=False)
class RecallMap(Record):
    """Recall in the cells of two axes; rows are bins of `y`, columns bins of `x`.

    Attributes
    ----------
    x, y
        The axes. A cell holds its lower edges; the last one its upper edge too.
    n, k
        Lenses and those of them found, int64 (ny, nx).
    low, high
        95 % Wilson interval of `recall`, float64 (ny, nx); NaN in an empty cell.
    n_missing, n_outside
        Lenses that lack one of the two parameters, and that lie outside the edges.
    """

    x: Axis
    y: Axis
    n: Counts
    k: Counts
    low: Floats
    high: Floats
    n_missing: int
    n_outside: int

    @property
    def recall(self) -> Array:
        """k / n, float64 (ny, nx); NaN in an empty cell."""
        return np.divide(self.k, self.n, out=np.full(self.n.shape, np.nan), where=self.n > 0)

    @property
    def total(self) -> int:
        """Lenses in all cells."""
        return int(self.n.sum())

    @property
    def few(self) -> NDArray[np.bool_]:
        """Cells with fewer than 100 lenses, empty ones among them."""
        return self.n < FEW

    @property
    def name(self) -> str:
        """How files and tables name it."""
        return f"{self.x.parameter.name}-{self.y.parameter.name}"

    def cells(self) -> list[dict[str, Any]]:
        """One record per cell, row by row."""
        ends = [(axis.edges[:-1], axis.edges[1:]) for axis in (self.x, self.y)]
        return [
            {
                "map": self.name,
                "x_from": ends[0][0][i],
                "x_to": ends[0][1][i],
                "y_from": ends[1][0][j],
                "y_to": ends[1][1][j],
                "n": int(self.n[j, i]),
                "k": int(self.k[j, i]),
                "recall": float(self.recall[j, i]),
                "low": float(self.low[j, i]),
                "high": float(self.high[j, i]),
                "few": bool(self.few[j, i]),
            }
            for j, i in np.ndindex(self.n.shape)
        ]

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "cells" not in words:
            return words
        shape = len(words["y"]["edges"]) - 1, len(words["x"]["edges"]) - 1
        tables = {name: [cell[name] for cell in words["cells"]] for name in ("n", "k", "low", "high")}
        kinds = {"n": int, "k": int, "low": float, "high": float}
        return {**words, **{name: np.array(cells, kinds[name]).reshape(shape) for name, cells in tables.items()}}


def recall_map(x_values: ArrayLike, y_values: ArrayLike, found: ArrayLike, x: Axis, y: Axis) -> RecallMap:
    """Recall in the cells of two axes.

    Parameters
    ----------
    x_values, y_values
        The parameters of the lenses (n,), in the units of the axes; NaN where they do not apply.
    found
        Whether each lens was selected, boolean (n,).
    x, y
        Parameters and edges.
    """
    across, up, hit = np.asarray(x_values, float), np.asarray(y_values, float), np.asarray(found, bool)
    if not across.shape == up.shape == hit.shape or hit.ndim != 1:
        raise ValueError(f"values {across.shape}, {up.shape} and found {hit.shape} must be equally long lists")
    known = np.isfinite(across) & np.isfinite(up)
    edges = (np.asarray(y.edges), np.asarray(x.edges))
    n = _counts(up[known], across[known], edges)
    k = _counts(up[known & hit], across[known & hit], edges)
    low, high = np.full((2, *n.shape), np.nan)
    for cell in np.ndindex(n.shape):
        low[cell], high[cell] = wilson_interval(int(k[cell]), int(n[cell]), CONFIDENCE)
    return RecallMap(x, y, n, k, low, high, int((~known).sum()), int(known.sum() - n.sum()))


def default_axes(parameters: tuple[Parameter, ...]) -> list[tuple[Axis, Axis]]:
    """θ_E against arc S/N and against the magnitude of the source, as far as the set knows them."""
    if EINSTEIN_RADIUS not in parameters:
        return []
    against = [Axis(p, ARC_SNR_EDGES) for p in parameters if p == ARC_SNR]
    against += [Axis(p, SOURCE_MAGNITUDE_EDGES) for p in parameters if p.name.startswith("mag_source_")]
    return [(Axis(EINSTEIN_RADIUS, THETA_E_EDGES), other) for other in against]


def _counts(rows: Array, columns: Array, edges: tuple[Array, Array]) -> NDArray[np.int64]:
    return np.histogram2d(rows, columns, bins=edges)[0].astype(np.int64)


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
