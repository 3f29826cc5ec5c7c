"""Pictures of kernels: images that excite one most and least, all correlations, and these in plain words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lensaudit.display.colour import GRID, QUIET, signed_map
from lensaudit.display.figures import draw_pixels, new_figure, styled
from lensaudit.display.images import picture_of
from lensaudit.explaining.kernels.association import Correlations, Effects
from lensaudit.explaining.kernels.kav_table import KavTable, Kernel
from lensaudit.explaining.kernels.study import SILENT, KernelStudy
from lensaudit.lensset import Cutouts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec
    from matplotlib.image import AxesImage


_PANEL = 1.5
"""Inches of one cutout with its words."""

_LONGEST_NAME = 24


@dataclass(frozen=True, eq=False)
class ExcitingImage:
    """One cutout of a sheet.

    Attributes
    ----------
    picture
        Grey (h, w) or colour (h, w, 3) in [0, 1], first row at the bottom.
    name
        Of the image.
    label
        1 lens, 0 non-lens, anything else unlabelled.
    value
        The kernel's activation value.
    p_lens
        The finder's score.
    """

    picture: np.ndarray
    name: str
    label: int
    value: float
    p_lens: float


def shown_images(
    lens_set: Cutouts, table: KavTable, kernel: Kernel, rows: Sequence[int], bands: Sequence[str]
) -> list[ExcitingImage]:
    """Cutouts at `rows` of the set with what the table knows of them; `bands` from `shown_bands`."""
    values, p_lens = table.values(kernel), table.column("p_lens")
    labels, names = table.column("label"), table.column("id")
    shown = []
    for row in rows:
        cutout = {band: lens_set.images(band, [row])[0] for band in bands}
        picture = picture_of(cutout)
        shown.append(ExcitingImage(picture, str(names[row]), int(labels[row]), float(values[row]), float(p_lens[row])))
    return shown


@styled
def sheet_figure(
    title: str, top: Sequence[ExcitingImage], bottom: Sequence[ExcitingImage], words: Sequence[str], footer: str
) -> Figure:
    """Two blocks of cutouts, highest and lowest activation values.

    Parameters
    ----------
    title
        The finder and the kernel.
    top, bottom
        Most extreme first; empty for a dead kernel.
    words
        What is known of the kernel, a line each.
    footer
        What the cutouts show.
    """
    across = max(1, math.ceil(math.sqrt(max(len(top), len(bottom)))))
    down = max(1, math.ceil(max(len(top), len(bottom)) / across))
    width = _PANEL * (2 * across + 0.4)
    lines = [line for word in words for line in textwrap.wrap(word, int(width * 15))]
    head, foot = 0.75 + 0.17 * len(lines), 0.3
    height = head + foot + (_PANEL + 0.3) * down
    figure = new_figure(width, height, constrained=False)
    grid = figure.add_gridspec(
        1, 2, left=0.01, right=0.99, bottom=foot / height, top=1 - head / height, wspace=0.4 / across / 2
    )
    for cell, block, name in ((grid[0], top, "highest"), (grid[1], bottom, "lowest")):
        _draw_block(figure, cell, block, across, down)
        box = cell.get_position(figure)
        words_of = f"{name} activation values" if block else "no activation values"
        figure.text(box.x0, box.y1 + 0.24 / height, words_of, fontsize=9, fontweight="bold")
    figure.text(0.01, 1 - 0.25 / height, title, fontsize=12)
    for number, line in enumerate(lines):
        figure.text(0.01, 1 - (0.45 + 0.17 * number) / height, line, fontsize=8.5)
    figure.text(0.01, 0.1 / height, footer, fontsize=7.5, color=QUIET)
    return figure


def _draw_block(figure: Figure, cell: SubplotSpec, block: Sequence[ExcitingImage], across: int, down: int) -> None:
    grid = cell.subgridspec(down, across, wspace=0.06, hspace=0.24)
    for place, shown in enumerate(block):
        _draw(figure.add_subplot(grid[place // across, place % across]), shown)


def _draw(ax: Axes, shown: ExcitingImage) -> None:
    draw_pixels(ax, shown.picture)
    label = {1: "lens, ", 0: "non-lens, "}.get(shown.label, "")
    value = f"{shown.value:+.3g}".replace("-", "−")
    ax.set_title(f"{_short(shown.name)}\nKAV {value}, {label}p {shown.p_lens:.2f}", fontsize=6.2, pad=2, loc="left")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}…{name[-8:]}"


_ACROSS = 3
_NOTHING = GRID  # where a layer has no such kernel, or a dead one


@styled
def correlation_figure(study: KernelStudy) -> Figure:
    """A panel per truth column: a row per layer, a cell per kernel, blue where high values go with high ones.

    White: not significant after the correction for all of them. Grey: no such kernel, or a dead one. The study must
    have correlations.
    """
    found = study.correlations
    assert found is not None
    layers = list(dict.fromkeys(kernel.layer for kernel in study.kernels))
    down = math.ceil(len(found.columns) / _ACROSS)
    panel = min(0.45 + 0.13 * len(layers), 4.0) + 0.55
    height = down * panel + 1.3
    figure = new_figure(12, height, constrained=False)
    grid = figure.add_gridspec(
        down,
        _ACROSS,
        left=0.06,
        right=0.9,
        bottom=0.75 / height,
        top=1 - 0.85 / height,
        wspace=0.14,
        hspace=0.6 / panel,
    )
    limit = _limit(found)
    for index in range(len(found.columns)):
        ax = figure.add_subplot(grid[index // _ACROSS, index % _ACROSS])
        image = _draw_heat_map(ax, study, found, index, layers, limit)
        if index % _ACROSS == 0:
            ax.set_ylabel("layer", fontsize=8)
        if index + _ACROSS >= len(found.columns):
            ax.set_xlabel("kernel", fontsize=8)
    bar = figure.add_axes((0.925, 0.75 / height, 0.014, 1 - 1.6 / height))
    figure.colorbar(image, cax=bar).set_label("Spearman's ρ among lenses", fontsize=8)
    bar.tick_params(labelsize=7)
    figure.text(0.06, 1 - 0.32 / height, f"{study.table.record['finder']}: what its kernels go with", fontsize=13)
    figure.text(0.06, 0.2 / height, _legend(found), fontsize=8, color=QUIET)
    return figure


def _draw_heat_map(
    ax: Axes, study: KernelStudy, found: Correlations, index: int, layers: list[str], limit: float
) -> AxesImage:
    widest = 1 + max(kernel.number for kernel in study.kernels)
    rho = np.full((len(layers), widest), np.nan)
    for kernel, value, sure in zip(study.kernels, found.rho[:, index], found.significant[:, index], strict=True):
        # Zero is white: not significant. NaN stays the grey of the background.
        rho[layers.index(kernel.layer), kernel.number] = value if sure or np.isnan(value) else 0.0
    ax.set_facecolor(_NOTHING)
    image = ax.imshow(np.ma.masked_invalid(rho), cmap=signed_map(), vmin=-limit, vmax=limit, aspect="auto")
    image.set_interpolation("nearest")
    steps = max(1, math.ceil(len(layers) / 25))
    ax.set_yticks(range(0, len(layers), steps), layers[::steps])
    ax.tick_params(labelsize=7, length=2)
    ax.set_title(f"{found.columns[index].words}, n {found.n[index]}", fontsize=9, loc="left", pad=3)
    return image


def _limit(found: Correlations) -> float:
    """Largest significant |ρ|, rounded up to a tenth."""
    largest = float(np.abs(found.rho[found.significant]).max(initial=0.1))
    return min(1.0, math.ceil(largest * 10) / 10)


def _legend(found: Correlations) -> str:
    tested = int(np.isfinite(found.p).sum())
    return (
        "Blue: high values go with high ones; red: with low ones. White: not significant at 0.05 after Holm's "
        f"correction for all {tested} pairs.\nGrey: no such kernel, or a dead one. A correlation is no cause: "
        "truth columns hang together."
    )


Measure = Literal["rho", "top"]
MEASURES: tuple[Measure, Measure] = ("rho", "top")
STRONGER = {"rho": "higher", "top": "highest more often"}


@dataclass(frozen=True)
class Statement:
    """What one kernel answers to.

    Attributes
    ----------
    kernel
        The kernel.
    column
        Name of the truth column.
    measure
        ``rho``: Spearman's ρ. ``top``: AUROC of its highest lenses against the others.
    words
        "higher when the arc lies to the right".
    value, low, high
        The statistic and its 95 % interval.
    p_holm
        p-value, corrected for all kernels and columns.
    n, n_top
        Lenses compared, and those of the top group.
    silent
        Whether its maps stay below 0, see `KernelStudy`.
    """

    kernel: Kernel
    column: str
    measure: Measure
    words: str
    value: float
    low: float
    high: float
    p_holm: float
    n: int
    n_top: int
    silent: bool

    @property
    def finding(self) -> str:
        """What was found, without the kernel's name."""
        if self.measure == "rho":
            numbers = f"rho {_signed(self.value)} ({_signed(self.low)} to {_signed(self.high)}), n {self.n}"
        else:
            numbers = f"AUROC {self.value:.2f} ({self.low:.2f} to {self.high:.2f}), top {self.n_top} of {self.n}"
        return f"{self.words} ({self.column}), {numbers}"

    def __str__(self) -> str:
        return f"{self.kernel}: {self.finding}{'; silent: its maps stay below 0' if self.silent else ''}"

    def summary(self) -> dict[str, Any]:
        """JSON-able facts; the statistic is under ``rho`` or ``auroc``."""
        return {
            "layer": self.kernel.layer,
            "kernel": self.kernel.number,
            "column": self.column,
            "measure": self.measure,
            "words": self.words,
            "rho" if self.measure == "rho" else "auroc": self.value,
            "low": self.low,
            "high": self.high,
            "p_holm": self.p_holm,
            "n": self.n,
            "n_top": self.n_top,
            "silent": self.silent,
        }


def statement(study: KernelStudy, kernel: int, column: int, measure: Measure = "rho") -> Statement:
    """Of the kernel and the truth column at these positions; the study must have correlations."""
    effects, top_lenses = _effects(study, measure), study.top_lenses
    assert effects is not None
    assert top_lenses is not None
    value = float(effects.value[kernel, column])
    return Statement(
        kernel=study.kernels[kernel],
        column=effects.columns[column].name,
        measure=measure,
        words=f"{STRONGER[measure]} {effects.columns[column].of(value - effects.neutral)}",
        value=value,
        low=float(effects.low[kernel, column]),
        high=float(effects.high[kernel, column]),
        p_holm=float(effects.p_holm[kernel, column]),
        n=int(effects.n[column]),
        n_top=int(top_lenses.n_top[column]),
        silent=study.state[kernel] == SILENT,
    )


def strongest_statements(study: KernelStudy, each: int = 3, measure: Measure = "rho") -> list[Statement]:
    """The `each` surest statements of every truth column, in the order of the columns; significant ones only."""
    effects = _effects(study, measure)
    if effects is None:
        return []
    columns = range(len(effects.columns))
    return [
        statement(study, kernel, column, measure) for column in columns for kernel in effects.strongest(column, each)
    ]


def statements_of(
    study: KernelStudy, kernel: int, count: int | None = None, measure: Measure = "rho"
) -> list[Statement]:
    """The `count` surest statements about one kernel, by default all; significant ones only."""
    effects = _effects(study, measure)
    if effects is None:
        return []
    strength = effects.strength[kernel]
    order = [int(column) for column in (-strength).argsort(kind="stable")[:count] if strength[column] > 0]
    return [statement(study, kernel, column, measure) for column in order]


def _effects(study: KernelStudy, measure: Measure) -> Effects | None:
    return study.correlations if measure == "rho" else study.top_lenses


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
