"""The worst false positives: which non-lenses a finder takes for lenses most surely, and of which kind they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.display.figures import draw_pixels, new_figure, save_figure, styled
from lensaudit.display.images import grey
from lensaudit.errors import DataError
from lensaudit.statistics import wilson_interval

Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class KindShare:
    """How often a kind of non-lens is among the worst, beside its share of all non-lenses.

    Attributes
    ----------
    kind
        Such as ``spiral``.
    n_worst, worst
        How many of the worst are of it, and how many the worst are.
    n_all, others
        The same for all scored non-lenses.
    """

    kind: str
    n_worst: int
    worst: int
    n_all: int
    others: int

    @property
    def share_worst(self) -> float:
        """Of the worst, in [0, 1]."""
        return self.n_worst / self.worst

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of `share_worst`."""
        return wilson_interval(self.n_worst, self.worst)

    @property
    def share_all(self) -> float:
        """Of all non-lenses."""
        return self.n_all / self.others

    @property
    def overrepresented(self) -> bool:
        """Whether its share of all lies below the interval of its share among the worst."""
        return self.interval[0] > self.share_all

    def as_json(self) -> dict[str, Any]:
        """Counts and shares."""
        low, high = self.interval
        return {
            "kind": self.kind,
            "n_worst": self.n_worst,
            "worst": self.worst,
            "n_all": self.n_all,
            "others": self.others,
            "share_worst": self.share_worst,
            "low": low,
            "high": high,
            "share_all": self.share_all,
        }


def worst_rows(labels: ArrayLike, logit: ArrayLike, count: int) -> NDArray[np.int64]:
    """Rows of the `count` non-lenses of highest log-odds, the worst first; fewer where there are fewer.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown (n,).
    logit
        Log-odds (n,); NaN is left out.

    Raises
    ------
    DataError
        No non-lens has a score.
    """
    label, scores = np.asarray(labels), np.asarray(logit, dtype=np.float64)
    rows = np.flatnonzero((label == 0) & np.isfinite(scores))
    if not len(rows):
        raise DataError("the set has no scored non-lens, so that there is no false positive; give one that has some")
    return rows[np.argsort(-scores[rows], kind="stable")][:count]


def shares_by_kind(kinds: Sequence[str], others: Rows, worst: Rows) -> list[KindShare]:
    """Share of every kind among the rows `worst` and among all `others`, the most frequent of the worst first."""
    among_worst = [kinds[row] for row in worst]
    among_all = [kinds[row] for row in others]
    found = [
        KindShare(kind, among_worst.count(kind), len(worst), among_all.count(kind), len(others))
        for kind in dict.fromkeys(among_all)
    ]
    return sorted(found, key=lambda share: (-share.n_worst, share.kind))


COLUMNS = 6
_INCHES = 1.7


@styled
def plot_gallery(
    path: Path, images: Sequence[NDArray[np.float32]], captions: Sequence[str], arcsec: float, title: str
) -> None:
    """Write `path` as PNG: cutouts of one band, the worst first, each on its own grey scale, dark sky.

    Parameters
    ----------
    images
        Native cutouts (h, w), not necessarily finite.
    captions
        One short line each.
    arcsec
        Width of a cutout on the sky, for the bar.
    """
    rows = math.ceil(len(images) / COLUMNS)
    figure = new_figure(COLUMNS * _INCHES, rows * (_INCHES + 0.25) + 0.5)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat[len(images) :]:
        axes.set_axis_off()
    for axes, image, caption in zip(grid.flat, images, captions, strict=False):
        draw_pixels(axes, grey(image), arcsec)
        axes.set_title(caption, fontsize=7)
    figure.suptitle(title, fontsize=9)
    save_figure(path, figure)
