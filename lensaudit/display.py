"""How signed attribution is coloured, the one place for pictures and pages: blue, white, red.

Positive attribution (what raises the score of "lens") is blue, negative attribution red, zero white. By default both
sides share one symmetric scale, so that equal colours are equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLUE = np.array([33, 102, 172]) / 255
RED = np.array([178, 24, 43]) / 255

LEAST_LOG_ODDS = 1e-3
"""Change of the log-odds (0.1 % of the odds) below which no colour is full; float32 rounding stays below."""

LEAST_P = 1e-6
"""|Δp| that float32 arithmetic may give by itself."""

POSITIVE, NEGATIVE = "positive attribution", "negative attribution"


@dataclass(frozen=True)
class SignedScale:
    """Colours of signed numbers.

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
        """Colours (steps, 3) from full red over white to full blue."""
        return SignedScale(1.0, 1.0).colours(np.linspace(-1, 1, steps))


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


def signed(value: float) -> str:
    """A number with its sign, as ``+0.250``, ``−4.0e−03`` and ``0``."""
    text = "0" if value == 0 else f"{value:+.3g}" if 0.01 <= abs(value) < 1000 else f"{value:+.1e}"
    return text.replace("-", "−")
