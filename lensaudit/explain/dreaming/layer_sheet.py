"""All kernels of a layer on one page: each one's image, and the real cutout that excites it most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.explain.dreaming.colours import prepared_rgb
from lensaudit.explain.dreaming.dream import Dream
from lensaudit.explain.dreaming.dream_picture import Beside, View, draw_picture, legend, number
from lensaudit.explain.dreaming.target import KernelTarget

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 10
_PANEL = 1.1
"""Inches of one image with its words."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One kernel of the sheet.

    Attributes
    ----------
    dream
        Its image.
    beside
        The real cutout that excites it most; None where none was looked at.
    """

    dream: Dream
    beside: Beside | None


def layer_figure(tiles: Sequence[Tile], view: View) -> Figure:
    """One tile for each kernel, in their order; `view` says what stands around them, its cutouts are not drawn."""
    from matplotlib.figure import Figure

    each = 2 if any(tile.beside is not None for tile in tiles) else 1
    across = min(len(tiles), ACROSS)
    down = math.ceil(len(tiles) / across)
    width, tall = max(across * _PANEL, 6.5), _PANEL * each + 0.28
    height = down * tall + 1.05
    figure = Figure(figsize=(width, height), dpi=100)
    grid = figure.add_gridspec(
        down, across, left=0.01, right=0.99, bottom=0.42 / height, top=1 - 0.78 / height, wspace=0.06, hspace=0.2
    )
    first = tiles[0].dream
    assert isinstance(first.target, KernelTarget)
    dead = sum(tile.dream.dead for tile in tiles)
    words = f"{view.finder}: images that excite the {len(tiles)} kernels of layer {first.target.layer}"
    figure.text(0.01, 1 - 0.25 / height, words + (f", {dead} of them dead" if dead else ""), fontsize=12)
    below = "Above the image, below it the cutout with the highest value. " if each == 2 else ""
    figure.text(0.01, 1 - 0.45 / height, f"{below}Numbers: kernel, mean of its feature map before ReLU.", fontsize=8)
    for place, tile in enumerate(tiles):
        cell = grid[place // across, place % across].subgridspec(each, 1, hspace=0.02)
        _draw_tile(figure.add_subplot(cell[0]), tile.dream, view.brighten)
        if tile.beside is not None:
            ax = figure.add_subplot(cell[1])
            draw_picture(ax, tile.beside.picture)
            ax.set_xlabel(number(tile.beside.value), fontsize=6.5, labelpad=1)
    for line, text in enumerate(_wrapped(legend(first, view), width)):
        figure.text(0.01, (0.24 - 0.13 * line) / height, text, fontsize=6.5, color="0.25")
    return figure


def _draw_tile(ax: Axes, dream: Dream, brighten: float) -> None:
    assert isinstance(dream.target, KernelTarget)
    if dream.dead:
        draw_picture(ax, np.ones((2, 2)), f"{dream.target.kernel}: dead", 7)
        ax.text(0.5, 0.5, "dead", ha="center", va="center", transform=ax.transAxes, fontsize=8, color="0.5")
        return
    title = f"{dream.target.kernel}: {number(dream.values[-1])}"
    draw_picture(ax, prepared_rgb(dream.image, dream.bands, brighten), title, 7)


def _wrapped(text: str, width: float) -> list[str]:
    import textwrap

    return textwrap.wrap(text, int(width * 19))[:2]
