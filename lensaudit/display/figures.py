r"""The one place that makes and saves figures: one style, one resolution, and every word in them is text.

Names, ids and labels come from other people's files; matplotlib takes a ``$`` in them for mathematics and stops at
``$\frac{``. So figures are drawn with words as they are and saved here, where all of them are made plain. Our own
``θ_E`` is set as a symbol with its index. Numbers on axes keep the mathematics of their formatters.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import quote

from lensaudit.display.colour import FAINT, GRID, INK, SignedScale
from lensaudit.display.images import bar_length
from lensaudit.display.numbers import signed
from lensaudit.files import replacing
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

DPI = 120
"""Pixels per inch of every PNG."""

FULL_WIDTH_IN = 9.4
HALF_WIDTH_IN = 4.6
"""Width of a figure of a page that stands alone, and of one of two beside each other."""

_STYLE: Any = {
    "svg.fonttype": "path",  # letters as outlines: the same on every machine, no font is asked for
    "figure.dpi": DPI,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 10,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
}

LONGEST_LINE = 240
"""Characters of a line of text in a figure; our own longest has 190."""

LONGEST_TICK = 60
"""Characters of a word beside an axis; longer ones would leave no room for the axes."""

_SYMBOLS = {"θ_E": r"$\theta_\mathrm{E}$"}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the look while figures are made."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """`draw` in the house's style; every function that makes a figure is decorated so."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with house_style():
            return draw(*args, **kwargs)

    return drawn


def new_figure(width: float = HALF_WIDTH_IN, height: float = 2.9, *, constrained: bool = True) -> Figure:
    """Return an empty figure of `width` × `height` inches; never touches pyplot.

    Parameters
    ----------
    constrained
        Whether matplotlib makes room for all words; False where the caller places everything itself.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained" if constrained else None)


def row_of_axes(width: float = HALF_WIDTH_IN, height: float = 2.9, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` × `height` inches and its row of axes."""
    figure = new_figure(width, height)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def axes_or_new(ax: Axes | None, width: float = HALF_WIDTH_IN, height: float = 3.4) -> Axes:
    """`ax`, or the axes of a figure of its own of `width` × `height` inches."""
    return row_of_axes(width, height)[1][0] if ax is None else ax


def space_panels(figure: Figure, inches: float = 0.1) -> None:
    """Keep the titles of one row of panels off the ticks of the row above."""
    layout: Any = figure.get_layout_engine()
    layout.set(h_pad=inches)


def figure_of(axes: Axes) -> Figure:
    """The figure that `axes` are part of."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def light_grid(axes: Axes, axis: Any = "both") -> None:
    """Faint grid lines behind the data."""
    axes.grid(True, axis=axis, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def legend_below(figure: Figure, axes: Axes, columns: int = 4, **options: Any) -> None:
    """Legend of `axes` below all panels, where it hides no data; each label once."""
    labelled = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if labelled:
        figure.legend(list(labelled.values()), list(labelled), loc="outside lower center", ncols=columns, **options)


def legend_under(axes: Axes, columns: int = 2, **options: Any) -> None:
    """Legend of `axes` under its own label, where it hides no data; each label once, and none without labels."""
    from matplotlib.transforms import ScaledTranslation

    labelled = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if not labelled:
        return
    below = axes.transAxes + ScaledTranslation(0, -_ROOM_FOR_LABEL_IN, figure_of(axes).dpi_scale_trans)
    place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below, "borderaxespad": 0}
    axes.legend(list(labelled.values()), list(labelled), ncols=columns, **{**place, **options})


_ROOM_FOR_LABEL_IN = 0.44


def draw_pixels(axes: Axes, picture: np.ndarray, width_arcsec: float | None = None, *, dark: bool = True) -> None:
    """Draw a picture in [0, 1], grey (h, w) or colour (h, w, 3), its first row at the bottom, without ticks.

    Parameters
    ----------
    width_arcsec
        Of the field; with it, the axes are in arcsec and a bar of a round length stands in the corner.
    dark
        Whether the picture is, so that the bar is white.
    """
    height, width = picture.shape[:2]
    scale = (width_arcsec or width) / width
    extent = (0.0, scale * width, 0.0, scale * height)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, origin="lower", interpolation="nearest", extent=extent)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(not dark)  # what is white needs a frame
    if width_arcsec is None:
        return
    length, colour = bar_length(width_arcsec), "white" if dark else "black"
    left, bottom = 0.05 * extent[1], 0.05 * extent[3]
    axes.plot([left, left + length], [bottom, bottom], color=colour, linewidth=2, solid_capstyle="butt")
    axes.text(left, bottom + 0.03 * extent[3], f"{length:g}″", color=colour, ha="left", va="bottom", fontsize=8)
    axes.set(xlim=extent[:2], ylim=extent[2:])


def draw_signed_bar(
    axes: Axes,
    scale: SignedScale,
    label: str,
    ends: tuple[str, str] | None = None,
    *,
    horizontal: bool = False,
) -> None:
    """Draw the colours of signed numbers, red below (left) and blue above (right), with what they are.

    Parameters
    ----------
    ends
        Words at the two ends; by default the values of the scale.
    """
    low, high = ends or (signed(-scale.negative), signed(scale.positive))
    words = ([-1, 0, 1], [low, "0", high])
    axes.spines[:].set_visible(True)
    if horizontal:
        axes.imshow(scale.ramp()[None], aspect="auto", extent=(-1, 1, 0, 1))
        axes.set_yticks([])
        axes.set_xticks(*words, fontsize=6.5)
        axes.tick_params(axis="x", length=2, pad=1)
        axes.set_xlabel(label, fontsize=6.5, labelpad=1)
        return
    axes.imshow(scale.ramp()[:, None], origin="lower", aspect="auto", extent=(0, 1, -1, 1))
    axes.set_xticks([])
    axes.set_yticks(*words)
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(label)


@dataclass(frozen=True)
class Picture:
    """What a page needs of a plot: its ``data:`` URI, what it shows in words, its size in CSS pixels."""

    uri: str
    alt: str
    width: int
    height: int


def svg_picture(figure: Figure, alt: str) -> Picture:
    """A line plot as SVG."""
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(svg_uri(svg_bytes(figure)), alt, width, height)


_COORDINATES = re.compile(r' (?:d|x|y|points)="[^"]*"')
_DIGITS = re.compile(r"(\.\d\d)\d+")
_COMMENTS_AND_BREAKS = re.compile(r"<!--.*?-->|\s*\n\s*", re.DOTALL)


def svg_uri(svg: bytes) -> str:
    """An SVG of matplotlib's as a ``data:`` URI that is short: in percent code, coordinates to a hundredth of a point.

    A quarter less than its bytes in base64.
    """
    text = _COMMENTS_AND_BREAKS.sub(lambda found: " " if "\n" in found[0] else "", svg.decode("utf-8"))
    text = _COORDINATES.sub(lambda found: _DIGITS.sub(r"\1", found[0]), text)
    return "data:image/svg+xml," + quote(text.strip(), safe=" !$()*+,-./;=?@[]^_`{|}~")


def save_figure(path: Path, figure: Figure, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write `figure` to `path` as PNG, whole or not at all, its words as text.

    Parameters
    ----------
    path
        Made with its folder if need be.
    figure
        Saved once: its texts are changed.
    metadata
        Text chunks of the PNG beside the name of this package.
    """
    with replacing(path) as partial, _as_text(figure), _drawn_once(figure):
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": "lensaudit", **(metadata or {})})


def svg_bytes(figure: Figure) -> bytes:
    """`figure` as SVG without date and background, the same bytes each time, its words as text."""
    import matplotlib

    stream = io.BytesIO()
    salted = matplotlib.rc_context({"svg.hashsalt": "lensaudit"})  # the same numbers, the same bytes
    with salted, _as_text(figure), _drawn_once(figure):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return stream.getvalue()


@contextmanager
def _drawn_once(figure: Figure) -> Iterator[None]:
    """Spare a third of the time: `savefig` draws twice, first for the layout, which needs only the sizes of things."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    draw = figure.draw

    def laid_out_or_drawn(renderer: Any) -> None:
        layout = figure.get_layout_engine()
        if isinstance(layout, ConstrainedLayoutEngine):  # the second time it is switched off
            layout.execute(figure)
        else:
            draw(renderer)

    figure.draw = laid_out_or_drawn  # type: ignore[method-assign]
    try:
        yield
    finally:
        del figure.draw


@contextmanager
def _as_text(figure: Figure) -> Iterator[None]:
    """Make all words plain, and leave out what matplotlib says of foreign words on the terminal.

    Signs that the font lacks are drawn as boxes; where words leave no room for the axes, they are drawn all the same.
    """
    _make_plain(figure)
    logger = logging.getLogger("matplotlib.mathtext")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
            warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _make_plain(figure: Figure) -> None:
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    on_axes: set[int] = set()
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        on_axes.update(id(text) for text in axis.findobj(Text) if text is not axis.label)
        if isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter):
            _make_ticks_plain(axis)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if id(text) not in on_axes:
            text.set_text(_plain(text.get_text()))


def _make_ticks_plain(axis: Axis) -> None:
    """Ticks whose labels are words, given one by one or by a function."""
    from matplotlib.ticker import FuncFormatter

    before: Any = axis.get_major_formatter()
    axis.set_major_formatter(FuncFormatter(lambda value, place: _plain(before(value, place), LONGEST_TICK)))


def _plain(text: str, length: int = LONGEST_LINE) -> str:
    """`text` so that matplotlib shows it as it stands, line by line, each of at most `length` characters."""
    lines = (printable(line, length).replace("$", r"\$") for line in text.split("\n"))
    plain = "\n".join(lines)
    for words, symbol in _SYMBOLS.items():
        plain = plain.replace(words, symbol)
    return plain
