"""The picture of one kernel: the images of a set that excite it most and least."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.explain.colour import NISP_RGB, has_colour, nisp_rgb
from lensaudit.explain.kernels.kav_table import KavTable, Kernel
from lensaudit.explain.occluding.map_picture import log_scaled
from lensaudit.lensset import LensSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

_PANEL = 1.5
"""Inches of one cutout with its words."""

_LONGEST_NAME = 24


@dataclass(frozen=True, eq=False)
class Shown:
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


def shown_bands(bands: Sequence[str]) -> tuple[str, ...]:
    """Bands of a finder that a sheet shows: H, J and Y as a colour picture, else ``VIS``, else the first."""
    if has_colour(tuple(bands)):
        return NISP_RGB
    return ("VIS",) if "VIS" in bands else (bands[0],)


def shown_images(
    lens_set: LensSet, table: KavTable, kernel: Kernel, rows: Sequence[int], bands: Sequence[str]
) -> list[Shown]:
    """Cutouts at `rows` of the set with what the table knows of them; `bands` from `shown_bands`."""
    values, p_lens = table.values(kernel), table.column("p_lens")
    labels, names = table.column("label"), table.column("id")
    shown = []
    for row in rows:
        cutout = {band: lens_set.images(band, [row])[0] for band in bands}
        picture = _picture(cutout)
        shown.append(Shown(picture, str(names[row]), int(labels[row]), float(values[row]), float(p_lens[row])))
    return shown


def sheet_figure(
    title: str, top: Sequence[Shown], bottom: Sequence[Shown], words: Sequence[str], footer: str
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
    from matplotlib.figure import Figure

    across = max(1, math.ceil(math.sqrt(max(len(top), len(bottom)))))
    down = max(1, math.ceil(max(len(top), len(bottom)) / across))
    width = _PANEL * (2 * across + 0.4)
    lines = [line for word in words for line in textwrap.wrap(word, int(width * 15))]
    head, foot = 0.75 + 0.17 * len(lines), 0.3
    height = head + foot + (_PANEL + 0.3) * down
    figure = Figure(figsize=(width, height), dpi=120)
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
    figure.text(0.01, 0.1 / height, footer, fontsize=7.5, color="0.35")
    return figure


def _draw_block(figure: Figure, cell: SubplotSpec, block: Sequence[Shown], across: int, down: int) -> None:
    grid = cell.subgridspec(down, across, wspace=0.06, hspace=0.24)
    for place, shown in enumerate(block):
        _draw(figure.add_subplot(grid[place // across, place % across]), shown)


def _draw(ax: Axes, shown: Shown) -> None:
    ax.imshow(shown.picture, cmap="gray", vmin=0, vmax=1, origin="lower", interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    label = {1: "lens, ", 0: "non-lens, "}.get(shown.label, "")
    value = f"{shown.value:+.3g}".replace("-", "−")
    ax.set_title(f"{_short(shown.name)}\nKAV {value}, {label}p {shown.p_lens:.2f}", fontsize=6.2, pad=2, loc="left")


def _picture(cutout: Mapping[str, np.ndarray]) -> np.ndarray:
    same = len({image.shape for image in cutout.values()}) == 1  # colour needs bands of one pixel scale
    return nisp_rgb(cutout) if has_colour(tuple(cutout)) and same else log_scaled(next(iter(cutout.values())))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}…{name[-8:]}"
