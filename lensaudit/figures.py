r"""The one place that saves figures: every word in them is text and none a formula, whoever wrote it.

Names, ids and labels come from other people's files; matplotlib takes a ``$`` in them for mathematics and stops at
``$\frac{``. So figures are drawn with words as they are and saved here, where all of them are made plain. Our own
``θ_E`` is set as a symbol with its index. Numbers on axes keep the mathematics of their formatters.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensaudit.files import replacing
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LONGEST_LINE = 240
"""Characters of a line of text in a figure; our own longest has 190."""

LONGEST_TICK = 60
"""Characters of a word beside an axis; longer ones would leave no room for the axes."""

_SYMBOLS = {"θ_E": r"$\theta_\mathrm{E}$"}


def save_figure(
    path: Path, figure: Figure, *, dpi: float | None = None, metadata: Mapping[str, str] | None = None
) -> None:
    """Write `figure` to `path` as PNG, whole or not at all, its words as text.

    Parameters
    ----------
    path
        Made with its folder if need be.
    figure
        Saved once: its texts are changed.
    dpi
        Pixels per inch; by default the figure's own.
    metadata
        Text chunks of the PNG.
    """
    with replacing(path) as partial, _as_text(figure):
        figure.savefig(partial, format="png", dpi="figure" if dpi is None else dpi, metadata=dict(metadata or {}))


def svg_bytes(figure: Figure) -> bytes:
    """`figure` as SVG without date and background, the same bytes each time, its words as text."""
    stream = io.BytesIO()
    with _as_text(figure):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return stream.getvalue()


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
