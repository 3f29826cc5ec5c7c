"""The picture of one dream: where it began, what it became, how, and the real cutouts that excite the target most."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.colour import QUIET, SERIES
from lensaudit.display.figures import draw_pixels, light_grid, new_figure, styled
from lensaudit.display.images import colour_words as words_of_colours
from lensaudit.display.images import has_colour, main_band, prepared_rgb
from lensaudit.display.numbers import probability, significant
from lensaudit.explaining.dreaming.dream import Dream
from lensaudit.explaining.dreaming.settings import ClassTarget

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec


def grey_band(bands: Sequence[str]) -> int:
    """Index of the band that is shown where there is no colour, and beside it where there is."""
    return list(bands).index(main_band(bands))


def colour_words(bands: Sequence[str], brighten: float) -> str:
    """What the picture shows, in words."""
    if not has_colour(tuple(bands)):
        return str(bands[grey_band(bands)])
    return words_of_colours(bands, "R G B") + (f", {brighten:g} % brighter" if brighten else "")


STAGES = 7
"""Images of the path that are drawn between start and end."""

_LONGEST_NAME = 22


@dataclass(frozen=True, eq=False)
class Beside:
    """A real cutout.

    Attributes
    ----------
    picture
        Colour (h, w, 3) or grey (h, w) in [0, 1], first row at the bottom.
    id, label, value
        Name, 1 lens, 0 non-lens, and what the target gives for it.
    """

    picture: np.ndarray
    id: str
    label: int
    value: float


@dataclass(frozen=True, eq=False)
class View:
    """What stands around a dream.

    Attributes
    ----------
    finder
        Its name.
    began
        In words: ``uniform noise, seed 0``, or the cutout.
    beside
        Real cutouts, the most exciting first; empty where none were looked at.
    searched
        In words, what they were found among.
    brighten
        Per cent, see `prepared_rgb`.
    """

    finder: str
    began: str
    beside: tuple[Beside, ...] = ()
    searched: str = ""
    brighten: float = 0.0


@styled
def dream_figure(dream: Dream, view: View) -> Figure:
    """Start, dream in colour and band by band; stages of the path; curves and real cutouts."""
    figure = new_figure(11.5, 7.6, constrained=False)
    rows = figure.add_gridspec(
        3, 1, height_ratios=[1.75, 1.2, 1.6], left=0.045, right=0.985, bottom=0.115, top=0.885, hspace=0.3
    )
    figure.text(0.02, 0.955, f"{view.finder}: {_title(dream)}", fontsize=13)
    figure.text(0.02, 0.925, _subtitle(dream), fontsize=9, color=QUIET)
    _draw_images(figure, rows[0], dream, view)
    _draw_path(figure, rows[1], dream, view)
    _draw_lowest(figure, rows[2], dream, view)
    for line, text in enumerate(textwrap.wrap(legend(dream, view), 190)[:3]):
        figure.text(0.02, 0.048 - 0.019 * line, text, fontsize=7.5, color=QUIET)
    return figure


def legend(dream: Dream, view: View) -> str:
    """How the image was made, in words."""
    settings = dream.settings
    unit = {"rescale": "clipped to [0, 1] and stretched after each step", "clip": "clipped to [0, 1] after each step"}
    bounds = unit.get(settings.bounds, "not bounded, clipped for the picture")
    decay = f", weight decay {settings.decay:g}" if settings.decay else ""
    return (
        f"Start: {view.began}. {settings.steps} steps of {settings.optimiser} at rate {settings.rate:g}{decay}; pixels "
        f"{bounds}. Regularisation: {settings.regularisation}. Colours: {colour_words(dream.bands, view.brighten)}, "
        "linear, as the finder sees them; first row at the bottom."
        + (f" Cutouts: {view.searched}, each on its own scale." if view.beside else "")
    )


def draw_picture(ax: Axes, picture: np.ndarray, title: str = "", size: float = 8) -> None:
    """Draw a picture without ticks, the first row at the bottom."""
    draw_pixels(ax, picture)
    if title:
        ax.set_title(title, fontsize=size, pad=3)


def number(value: float) -> str:
    """A value with three digits."""
    return significant(value)


def _title(dream: Dream) -> str:
    if dream.dead:
        return f"{dream.target.name} is dead: no gradient reaches the image, which is still the start"
    what = f"the class “{dream.target.name}”" if isinstance(dream.target, ClassTarget) else dream.target.name
    return f"an image that excites {what}"


def _subtitle(dream: Dream) -> str:
    what = _what(dream)
    first, last = (probability(dream.p_lens[end]) for end in (0, -1))
    return f"{what}: {number(dream.values[0])} → {number(dream.values[-1])}     p(lens): {first} → {last}"


def _what(dream: Dream) -> str:
    if not isinstance(dream.target, ClassTarget):
        return "mean of the feature map before ReLU"
    return (
        f"output “{dream.target.name}”" if dream.settings.objective == "output" else f"log-odds “{dream.target.name}”"
    )


def _draw_images(figure: Figure, cell: SubplotSpec, dream: Dream, view: View) -> None:
    colour = "in colour" if len(dream.bands) > 1 else dream.bands[0]
    panels = [
        ("start " + colour, prepared_rgb(dream.start, dream.bands, view.brighten)),
        ("dream " + colour, prepared_rgb(dream.image, dream.bands, view.brighten)),
    ]
    if len(dream.bands) > 1:
        panels += [(band, np.clip(dream.image[n], 0, 1)) for n, band in _band_order(dream.bands)]
    grid = cell.subgridspec(1, max(6, len(panels)), wspace=0.06)
    for place, (title, picture) in enumerate(panels):
        draw_picture(figure.add_subplot(grid[place]), picture, title, 9)


def _band_order(bands: Sequence[str]) -> list[tuple[int, str]]:
    """The grey band first."""
    order = sorted(range(len(bands)), key=lambda n: n != grey_band(bands))
    return [(n, bands[n]) for n in order]


def _draw_path(figure: Figure, cell: SubplotSpec, dream: Dream, view: View) -> None:
    frames = np.unique(np.linspace(0, len(dream.path) - 1, STAGES + 2).round().astype(int))
    grid = cell.subgridspec(1, STAGES + 2, wspace=0.06)
    for place, frame in enumerate(frames):
        picture = prepared_rgb(dream.path[frame] / 255, dream.bands, view.brighten)
        draw_picture(figure.add_subplot(grid[place]), picture, f"step {dream.path_steps[frame]}", 7.5)


def _draw_lowest(figure: Figure, cell: SubplotSpec, dream: Dream, view: View) -> None:
    grid = cell.subgridspec(1, 3, width_ratios=[1, 1, 2.6], wspace=0.3)
    steps = np.arange(len(dream.values))
    _draw_curve(figure.add_subplot(grid[0]), steps, dream.values, _what(dream))
    marks: dict[str, Any] = {} if len(dream.p_steps) > 20 else {"marker": "o", "markersize": 3}
    scores = figure.add_subplot(grid[1])
    _draw_curve(scores, dream.p_steps, dream.p_lens, "p(lens)", **marks)
    scores.set_ylim(-0.03, 1.03)
    if not view.beside:
        return
    cells = grid[2].subgridspec(1, 4, wspace=0.06)
    for place, cutout in enumerate(view.beside[:4]):
        label = {1: ", lens", 0: ", non-lens"}.get(cutout.label, "")
        words = f"{short(cutout.id)}\n{number(cutout.value)}{label}"
        draw_picture(figure.add_subplot(cells[place]), cutout.picture, words, 7.5)
    box = grid[2].get_position(figure)
    words = f"cutouts with the highest values (the dream: {number(dream.values[-1])})"
    figure.text(box.x0, box.y0 - 0.01, words, fontsize=8.5, color=QUIET)


def _draw_curve(ax: Axes, steps: np.ndarray, values: np.ndarray, title: str, **marks: Any) -> None:
    ax.plot(steps, values, color=SERIES[0], linewidth=1.2, **marks)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(0, max(int(steps[-1]), 1))
    ax.set_title(title, fontsize=8, pad=3)
    ax.set_xlabel("step", fontsize=8, labelpad=1)
    ax.tick_params(labelsize=7)
    light_grid(ax)


def short(name: str) -> str:
    """The name, its middle left out where it is long."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}…{name[-8:]}"


MOST_BYTES = 1_000_000

SIDE = 200
"""Pixels along a side of one picture, at least; smaller images are enlarged by a whole number."""

FRAME_MS, LAST_MS = 250, 2000

_TRIES = ((5, 64, 1), (4, 16, 1), (4, 16, 2), (3, 8, 2), (3, 8, 4), (2, 4, 4), (2, 4, 16))
"""Levels of each colour, levels of grey, and which frames: the first that is small enough is taken."""


def path_gif(dream: Dream, brighten: float = 0.0) -> bytes:
    """The kept images one after the other, the last one longer, below 1 MB.

    The palette is fixed, some levels of red, green and blue and some of grey; levels, and then frames, are given up
    until it is small enough.
    """
    content = b""
    for levels, greys, every in _TRIES:
        kept = dream.path[::-1][::every][::-1]  # the last one always
        content = _written([_indices(image, dream, brighten, levels, greys) for image in kept], levels, greys)
        if len(content) < MOST_BYTES:
            break
    return content


def _indices(image: np.ndarray, dream: Dream, brighten: float, levels: int, greys: int) -> NDArray[np.uint8]:
    """Indices into the palette of one frame, the first row at the bottom: colour, and the grey band beside."""
    planes = image / 255
    if len(dream.bands) == 1:
        joined = _grey(planes[0], levels, greys)
    else:
        steps = (prepared_rgb(planes, dream.bands, brighten) * (levels - 1)).round().astype(np.uint8)
        colour = (steps[..., 0] * levels + steps[..., 1]) * levels + steps[..., 2]
        joined = np.concatenate([colour, _grey(planes[grey_band(dream.bands)], levels, greys)], axis=1)
    times = -(-SIDE // image.shape[-1])
    return joined[::-1].repeat(times, axis=0).repeat(times, axis=1)


def _grey(plane: np.ndarray, levels: int, greys: int) -> NDArray[np.uint8]:
    return (plane * (greys - 1)).round().astype(np.uint8) + np.uint8(levels**3)


def _palette(levels: int, greys: int) -> NDArray[np.uint8]:
    """Colours (levels³ + greys, 3)."""
    cube = np.stack(np.meshgrid(*[np.linspace(0, 255, levels)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.concatenate([cube, np.linspace(0, 255, greys)[:, None].repeat(3, axis=1)]).round().astype(np.uint8)


def _written(frames: list[NDArray[np.uint8]], levels: int, greys: int) -> bytes:
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in frames]
    for picture in pictures:
        picture.putpalette(_palette(levels, greys).tobytes())
    stream = BytesIO()
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_MS]
    options = {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0, "optimize": False}
    pictures[0].save(stream, "GIF", **options)
    return stream.getvalue()
