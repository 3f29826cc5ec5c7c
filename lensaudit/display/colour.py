"""Colours of everything that is drawn: one palette, one colour map of fractions, and one of signed numbers.

Lenses are blue and non-lenses vermillion wherever they are drawn apart (Okabe & Ito 2008, told apart with any colour
vision; vermillion is darkened to a contrast of 4.5 on white).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

LENS = "#0072b2"
NON_LENS = "#c04f00"
UNLABELLED = "#5c6670"
CONTROL = LENS
"""The untreated arm of a probe."""
TREATED = "#a8467c"
ALARM = "#b2182b"
"""What fails a test."""

INK = "#1d2733"
QUIET = "#5c6670"
FAINT = "#8a94a0"
GRID = "#e3e7ec"
BAND = "#f1f3f5"

SERIES = (LENS, NON_LENS, "#1c6e54", TREATED, "#7a5c00", "#3aa0d8", INK, FAINT)
"""Finders, methods or thresholds beside each other, each told apart on white."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
"""Line styles in turn, where `SERIES` begins again."""


class LineStyle(TypedDict):
    """What matplotlib takes to draw a line."""

    color: str
    linestyle: Any


def series_style(place: int) -> LineStyle:
    """``color`` and ``linestyle`` of line number `place` of a plot; no two of the first 24 are alike."""
    return {"color": SERIES[place % len(SERIES)], "linestyle": DASHES[place // len(SERIES) % len(DASHES)]}


def recall_map() -> LinearSegmentedColormap:
    """Colours of a recall in [0, 1]: pale where lenses are lost, ever darker blue where they are found.

    Sequential, its lightness falling throughout: one half is no special recall, and it survives a grey printer.
    """
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("recall", ["#f4efe6", "#a9cce3", "#4d9cca", "#00568a"])


def lens_fraction_map() -> LinearSegmentedColormap:
    """Colours of a fraction of lenses in [0, 1]: that of non-lenses at 0, pale at one half, that of lenses at 1."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("lens fraction", [NON_LENS, "#f4efe6", LENS])


def ink_on(background: ArrayLike) -> str:
    """Black or white, whichever is read more easily on the colour `background` (red, green, blue in [0, 1], …)."""
    linear = np.asarray(background, dtype=float)[:3] ** 2.2
    return "white" if float(linear @ (0.2126, 0.7152, 0.0722)) < 0.179 else "black"  # equal contrast there


BLUE = np.array([33, 102, 172]) / 255
RED = np.array([178, 24, 43]) / 255

LEAST_LOG_ODDS = 1e-3
"""Change of the log-odds (0.1 % of the odds) below which no colour is full; float32 rounding stays below."""

LEAST_P = 1e-6
"""|Δp| that float32 arithmetic may give by itself."""

POSITIVE, NEGATIVE = "positive attribution", "negative attribution"


@dataclass(frozen=True)
class SignedScale:
    """Colours of signed numbers: blue above zero (what raises the score of "lens"), red below, white at zero.

    Attributes
    ----------
    positive, negative
        Values, both above 0, whose colour is full blue and (with the other sign) full red.
    """

    positive: float
    negative: float

    @property
    def symmetric(self) -> bool:
        """Whether equal colours are equal numbers."""
        return self.positive == self.negative

    def colours(self, values: ArrayLike) -> NDArray[np.float64]:
        """Colours (..., 3) in [0, 1] of `values` (...): blue above 0, red below, white at 0 and where not finite."""
        numbers = np.nan_to_num(np.asarray(values, dtype=float), posinf=0.0, neginf=0.0)
        blue = np.clip(numbers / self.positive, 0, 1)[..., None]
        red = np.clip(-numbers / self.negative, 0, 1)[..., None]
        return np.asarray(1 - blue * (1 - BLUE) - red * (1 - RED))

    def ramp(self, steps: int = 201) -> NDArray[np.float64]:
        """Colours (steps, 3) from full red over white to full blue: those of a colour bar."""
        return SignedScale(1.0, 1.0).colours(np.linspace(-1, 1, steps))


def signed_map() -> LinearSegmentedColormap:
    """The colours of `SignedScale` for matplotlib: full red at the low end, white exactly in the middle, blue above."""
    from matplotlib.colors import LinearSegmentedColormap

    ramp = SignedScale(1.0, 1.0).ramp(257)  # odd: 0 is exactly white
    return LinearSegmentedColormap.from_list("signed", ramp.tolist(), N=257)


def symmetric_scale(values: ArrayLike, least: float = 0.0, percentile: float = 100.0) -> SignedScale:
    """One scale for both sides of `values`: full colour from the `percentile` of |value| on, `least` at least."""
    sizes = np.abs(np.nan_to_num(np.asarray(values, dtype=float), posinf=0.0, neginf=0.0))
    top = float(np.percentile(sizes, percentile)) if sizes.size else 0.0
    top = max(top or float(sizes.max(initial=0.0)), least) or 1.0
    return SignedScale(top, top)


def two_scales(values: ArrayLike, least: float) -> SignedScale:
    """Each side scaled to its own extreme, as Wilde et al. 2022 draw Δp: a strong colour may be a small number."""
    numbers = np.nan_to_num(np.asarray(values, dtype=float))
    ends = (float(side.max(initial=0.0)) for side in (numbers, -numbers))
    return SignedScale(*(max(end, least) for end in ends))
