"""What is true of each lens, as columns that kernels are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.lensset import LensSet

Rows = NDArray[np.integer[Any]]

_AT_ONCE = 100
"""Lenses whose light is read at a time: as many as a chunk of a set holds at most."""


@dataclass(frozen=True)
class TruthColumn:
    """One quantity of a lens.

    Attributes
    ----------
    name
        In result files; ends in the unit.
    words
        What it is.
    higher, lower
        When it is high, when it is low: "the kernel answers more strongly …".
    source
        Column of the catalogue it comes from; empty for those measured on the lensed light itself.
    change
        From the catalogue's values to this quantity's.
    """

    name: str
    words: str
    higher: str
    lower: str
    source: str = ""
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]] = np.asarray

    def of(self, value: float) -> str:
        """Words for an association of this sign."""
        return self.higher if value > 0 else self.lower


def _plain(name: str, words: str, higher: str, lower: str) -> TruthColumn:
    return TruthColumn(name, words, higher, lower, name)


ARC_X = TruthColumn("arc_x_arcsec", "x of the arc", "when the arc lies to the right", "when the arc lies to the left")
ARC_Y = TruthColumn("arc_y_arcsec", "y of the arc", "when the arc lies at the top", "when the arc lies at the bottom")

TRUTH = (
    _plain("theta_e_arcsec", "Einstein radius", "for larger Einstein radii", "for smaller Einstein radii"),
    _plain("arc_snr", "S/N of the arc", "for arcs of higher S/N", "for arcs of lower S/N"),
    _plain("colour_source_VIS_H", "source colour VIS − H", "for redder sources", "for bluer sources"),
    _plain("colour_lens_VIS_H", "lens colour VIS − H", "for redder lens galaxies", "for bluer lens galaxies"),
    _plain("arc_offset_arcsec", "arc's distance from the centre", "for arcs far from the centre", "for central arcs"),
    ARC_X,
    ARC_Y,
    TruthColumn(
        "arc_angle_cos",
        "cos of the arc's angle",
        "when the arc is right of its lens",
        "when the arc is left of its lens",
        "arc_angle_rad",
        np.cos,
    ),
    TruthColumn(
        "arc_angle_sin",
        "sin of the arc's angle",
        "when the arc is above its lens",
        "when the arc is below its lens",
        "arc_angle_rad",
        np.sin,
    ),
    _plain("lens_x_arcsec", "x of the lens", "when the lens lies to the right", "when the lens lies to the left"),
    _plain("lens_y_arcsec", "y of the lens", "when the lens lies at the top", "when the lens lies at the bottom"),
)
"""All of them. x runs with the columns of an image and y with its rows, from the centre: right and top are those of our
pictures, whose first row is at the bottom. The arc's angle is seen from the main galaxy; as a circular quantity it is
compared by its cosine and sine."""


def truth_values(lens_set: LensSet, rows: Rows) -> tuple[tuple[TruthColumn, ...], NDArray[np.float64]]:
    """Those of `TRUTH` that the set knows, and their values for the images at `rows`, float64 (rows, columns).

    The position of an arc is the centroid of its noiseless light in the first band; it is NaN where there is no light.
    """
    known, values = [], []
    centroids = _centroids(lens_set, rows) if lens_set.has_truth else None
    for column in TRUTH:
        if column.source in lens_set.columns:
            known.append(column)
            values.append(column.change(lens_set.column(column.source)[rows].astype(np.float64)))
        elif not column.source and centroids is not None:
            known.append(column)
            values.append(centroids[:, 0 if column is ARC_X else 1])
    return tuple(known), np.stack(values, axis=1) if values else np.empty((len(rows), 0))


def _centroids(lens_set: LensSet, rows: Rows) -> NDArray[np.float64]:
    """x and y of the lensed light's centroid, arcsec from the cutout's centre, float64 (rows, 2)."""
    band = lens_set.bands[0]
    scale, (height, width) = lens_set.pixel_scale_arcsec[band], lens_set.shape[band]
    x, y = (scale * (np.arange(side) - (side - 1) / 2) for side in (width, height))
    found = np.full((len(rows), 2), np.nan)
    for first in range(0, len(rows), _AT_ONCE):
        light = lens_set.source_light(band, rows[first : first + _AT_ONCE]).astype(np.float64)
        total = light.sum(axis=(1, 2))
        moments = np.stack([light.sum(axis=1) @ x, light.sum(axis=2) @ y], axis=1)
        shining = total > 0
        found[first : first + _AT_ONCE][shining] = moments[shining] / total[shining, None]
    return found
