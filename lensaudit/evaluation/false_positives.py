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
from lensaudit.records import Json, Record
from lensaudit.statistics import Proportion

Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class KindFrequency(Record):
    """How often a kind of non-lens is among the worst, beside its fraction of all non-lenses.

    Attributes
    ----------
    kind
        Such as ``spiral``.
    among_worst, among_all
        How many of the worst, and of all scored non-lenses, are of it.
    """

    ALSO = ("overrepresented",)

    kind: str
    among_worst: Proportion
    among_all: Proportion

    @property
    def overrepresented(self) -> bool:
        """Whether its fraction of all lies below the interval of its fraction among the worst."""
        return self.among_worst.low > self.among_all.value

    @classmethod
    def _modern(cls, words: Json) -> Json:
        if "n_worst" not in words:
            return words
        counts = {"among_worst": ("n_worst", "worst"), "among_all": ("n_all", "others")}
        return {"kind": words["kind"]} | {name: Proportion.of(words[k], words[n]) for name, (k, n) in counts.items()}


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


def frequencies_by_kind(kinds: Sequence[str], others: Rows, worst: Rows) -> list[KindFrequency]:
    """Fraction of every kind among the rows `worst` and among all `others`, the most frequent of the worst first."""
    among_worst = [kinds[row] for row in worst]
    among_all = [kinds[row] for row in others]
    found = [
        KindFrequency(
            kind,
            Proportion.of(among_worst.count(kind), len(worst)),
            Proportion.of(among_all.count(kind), len(others)),
        )
        for kind in dict.fromkeys(among_all)
    ]
    return sorted(found, key=lambda one: (-one.among_worst.k, one.kind))


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
