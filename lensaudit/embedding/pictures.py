"""The embedding drawn: the map, how well columns are read, and errors beside their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.colour import FAINT, GRID, INK, LENS, NON_LENS, UNLABELLED, recall_map
from lensaudit.display.figures import (
    axes_or_new,
    draw_pixels,
    figure_of,
    legend_under,
    light_grid,
    new_figure,
    space_panels,
    styled,
)
from lensaudit.display.images import picture_of, shown_bands
from lensaudit.display.numbers import count, decimal, probability
from lensaudit.embedding.result import AUROC, Error, Map, Neighbours, Readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lensaudit.lensset import Cutouts

COLOURS_OF = {1: LENS, 0: NON_LENS, -1: UNLABELLED}
CALLED = {1: "lens", 0: "non-lens", -1: "no label"}
SHOWN_ERRORS = 3
"""Of each kind, in the picture."""
SHOWN_NEIGHBOURS = 6
MOST_READ = 24
"""Columns in the picture, the best read."""


@styled
def draw_readability(rows: Sequence[Readable], ax: Axes | None = None, most: int = MOST_READ) -> Axes:
    """How well columns are read, beside image statistics, on one axis: AUROC is drawn as 2 AUROC − 1.

    Parameters
    ----------
    ax
        Where to draw; by default a figure of its own.
    """
    shown = [one for one in rows if np.isfinite(one.value)][:most]
    axes = axes_or_new(ax, 7.6, 0.9 + 0.22 * max(len(shown), 4))
    place = np.arange(len(shown))[::-1]
    axes.axvline(0, color=FAINT, linewidth=0.8)
    for what, colour, shift, marker in (("", LENS, 0.13, "o"), ("statistics", NON_LENS, -0.13, "s")):
        ends = np.array([[_skill(one, what, end) for end in ("low", "", "high")] for one in shown]).reshape(-1, 3)
        ends = np.clip(ends, -0.2, 1)
        words = "image statistics" if what else "the network’s layer"
        axes.hlines(place + shift, ends[:, 0], ends[:, 2], color=colour, linewidth=1.2)
        axes.plot(ends[:, 1], place + shift, marker, color=colour, markersize=3.6, linestyle="none", label=words)
    permuted = [_permuted(one) for one in shown]
    axes.plot(permuted, place, "|", color=INK, markersize=7, linestyle="none", label="shuffled, the largest of 20")
    axes.set_yticks(place, [f"{one.column} ({count(one.n)})" for one in shown])
    axes.set(
        xlim=(-0.22, 1.02), ylim=(-0.7, len(shown) - 0.3), xlabel="R², or 2 AUROC − 1 of a yes or no; 95 % intervals"
    )
    light_grid(axes, "x")
    legend_under(axes, 3)
    return axes


def _skill(one: Readable, what: str, end: str) -> float:
    """A number of `one` as R² or 2 AUROC − 1."""
    name = "_".join(part for part in (what, end) if part) or "value"
    value = float(getattr(one, name))
    return 2 * value - 1 if one.measure == AUROC else value


def _permuted(one: Readable) -> float:
    return 2 * one.permuted_high - 1 if one.measure == AUROC else one.permuted_high


@styled
def map_figure(found: Map, threshold: float, title: str) -> Figure:
    """The map by label, by p(lens) and by the columns asked for, a panel each."""
    panels: list[tuple[str, NDArray[np.float64] | None]] = [("label", None), ("p(lens)", found.p)]
    panels += list(found.colours.items())
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(4.1 * columns, 3.9 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(grid.flat, panels, strict=False):
        if values is None:
            _by_label(axes, found, threshold)
        else:
            _by_value(axes, found, values, name, (0, 1) if name == "p(lens)" else None)
        axes.set_xlabel("t-SNE, no unit")
    figure.suptitle(title)
    return figure


def _size(found: Map) -> float:
    return 5 if len(found.labels) > 800 else 12


def _by_label(axes: Axes, found: Map, threshold: float) -> None:
    called = found.p >= threshold
    for value, words in ((0, "non-lenses"), (1, "lenses"), (-1, "unlabelled")):
        here = found.labels == value
        if here.any():
            style: Any = {"s": _size(found), "color": COLOURS_OF[value], "alpha": 0.6, "linewidths": 0}
            axes.scatter(*found.positions[here].T, label=f"{count(int(here.sum()))} {words}", **style)
    wrong = ((found.labels == 1) & ~called) | ((found.labels == 0) & called)
    if wrong.any():
        style = {"s": _size(found) + 9, "facecolors": "none", "edgecolors": INK, "linewidths": 0.6}
        axes.scatter(*found.positions[wrong].T, label=f"{count(int(wrong.sum()))} called wrongly", **style)
    axes.set_title("label", fontsize=10)
    legend_under(axes, 2)


def _by_value(axes: Axes, found: Map, values: NDArray[np.float64], name: str, ends: tuple[float, float] | None) -> None:
    known = np.isfinite(values)
    size = _size(found)
    axes.scatter(found.positions[~known, 0], found.positions[~known, 1], s=size / 2, color=GRID, linewidths=0)
    if known.any():
        low, high = ends or tuple(np.percentile(values[known], (2, 98)))
        colours = recall_map() if ends else "viridis"
        x, y = found.positions[known].T
        drawn = axes.scatter(x, y, c=values[known], s=size, cmap=colours, vmin=low, vmax=high, linewidths=0)
        figure_of(axes).colorbar(drawn, ax=axes, label=name, orientation="horizontal", pad=0.02, aspect=30)
    axes.set_title(f"{name}, n = {count(int(known.sum()))}", fontsize=10)


@dataclass(frozen=True)
class Tile:
    """A cutout as it is shown, with its words and label."""

    picture: NDArray[np.float64]
    words: str
    label: int


Pixels = Callable[[str], Mapping[str, NDArray[np.float32]]]
"""Id → band → native image (h, w)."""


def cutouts_of(lens_set: Cutouts, bands: Sequence[str]) -> Pixels:
    """How to get at the pixels of a set that a picture needs."""
    needed = shown_bands([band for band in bands if band in lens_set.bands])

    def found(name: str) -> dict[str, NDArray[np.float32]]:
        row = lens_set.index_of(name)
        return {band: lens_set.images(band, row)[0] for band in needed}

    return found


def chosen_errors(neighbours: Neighbours | None, most: int | None = None) -> list[Error]:
    """The worst false negatives, then the worst false positives, `most` of each (None: `SHOWN_ERRORS`)."""
    shown = SHOWN_ERRORS if most is None else most
    errors = () if neighbours is None else neighbours.errors
    return [one for label in (1, 0) for one in [other for other in errors if other.label == label][:shown]]


def tiles_of(error: Error, own: Pixels, near: Pixels) -> list[Tile]:
    """The error, and its nearest neighbours."""
    first = Tile(picture_of(own(error.id)), f"{error.kind}\np = {probability(error.p)}", error.label)
    rest = [
        Tile(
            picture_of(near(one.id)),
            f"{CALLED[one.label]}, p = {probability(one.p)}\nat {decimal(one.distance, 3)}",
            one.label,
        )
        for one in error.neighbours[:SHOWN_NEIGHBOURS]
    ]
    return [first, *rest]


@styled
def neighbours_figure(rows: Sequence[Sequence[Tile]], arcsec: float, title: str) -> Figure:
    """A row for each error: itself, then its neighbours, each framed in the colour of its label."""
    columns = max(len(row) for row in rows)
    figure = new_figure(1.35 * columns, 1.72 * len(rows) + 0.4)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    space_panels(figure, 0.04)
    for line, tiles in zip(grid, rows, strict=True):
        for axes in line[len(tiles) :]:
            axes.set_axis_off()
        for axes, tile in zip(line, tiles, strict=False):
            draw_pixels(axes, tile.picture, arcsec if axes is line[0] else None)
            axes.set_title(tile.words, fontsize=6.5)
            for spine in axes.spines.values():
                spine.set(visible=True, color=COLOURS_OF[tile.label], linewidth=2)
    figure.suptitle(title, fontsize=9)
    return figure
