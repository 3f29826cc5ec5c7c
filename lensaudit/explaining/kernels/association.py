"""What each kernel goes with among the lenses of a set: by rank correlation, and by what its highest lenses share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.evaluation.selection.parameters import colour_of, own_parameters
from lensaudit.lensset import Cutouts, LensSet
from lensaudit.statistics import holm, spearman, top_groups

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

    @property
    def quantity(self) -> str:
        """The name without the bands of a colour."""
        return self.name.rsplit("_", 2)[0] if self.name.startswith("colour_") else self.name

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


def truth_values(lens_set: Cutouts, rows: Rows) -> tuple[tuple[TruthColumn, ...], NDArray[np.float64]]:
    """Those of `TRUTH` that the set knows, colours in its bands, and the user's own columns, and their values.

    Values are float64 (rows, columns). The position of an arc is the centroid of its noiseless light in the first band;
    it is NaN where there is no light.
    """
    known, values = [], []
    centroids = _centroids(lens_set, rows) if isinstance(lens_set, LensSet) and lens_set.has_truth else None
    for column in _in_bands_of(lens_set):
        if column.source in lens_set.columns:
            known.append(column)
            values.append(column.change(lens_set.column(column.source)[rows].astype(np.float64)))
        elif not column.source and centroids is not None:
            known.append(column)
            values.append(centroids[:, 0 if column is ARC_X else 1])
    for own in own_parameters(lens_set, rows, [column.source for column in known]):
        known.append(_plain(own.name, own.words, f"for higher {own.words}", f"for lower {own.words}"))
        values.append(np.asarray(lens_set.column(own.name), np.float64)[rows])
    return tuple(known), np.stack(values, axis=1) if values else np.empty((len(rows), 0))


def _in_bands_of(lens_set: Cutouts) -> list[TruthColumn]:
    """`TRUTH` with Euclid's colours replaced by those that the set has."""
    colour = colour_of(lens_set)
    between, words = "_".join(colour), " − ".join(colour)
    moved = []
    for column in TRUTH:
        if column.name.startswith("colour_"):
            name = column.name.replace("VIS_H", between)
            column = replace(column, name=name, source=name, words=column.words.replace("VIS − H", words))
        moved.append(column)
    return moved


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


Array = NDArray[np.float64]

ALPHA = 0.05
"""Chance of any false statement among all kernels and columns of a set."""

TOP_FRACTION = 0.05
"""Of the lenses that are a kernel's highest."""


@dataclass(frozen=True, eq=False)
class Effects(ABC):
    """One statistic of every kernel with every truth column, among the lenses that were scored.

    Attributes
    ----------
    columns
        The quantities (c).
    value, low, high
        The statistic and its 95 % interval, float64 (kernels, c); NaN where it is not defined, as for dead kernels and
        constant columns.
    p, p_holm
        Two-sided p-value of no effect, and corrected for all kernels and columns (Holm), float64 (kernels, c).
    n
        Lenses compared (c).
    """

    columns: tuple[TruthColumn, ...]
    value: Array
    low: Array
    high: Array
    p: Array
    p_holm: Array
    n: NDArray[np.int64]

    @property
    @abstractmethod
    def neutral(self) -> float:
        """The value without an effect."""

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Where the corrected p-value is below 0.05: bool (kernels, c)."""
        return np.nan_to_num(self.p_holm, nan=1.0) < ALPHA

    @property
    def strength(self) -> Array:
        """Distance from the neutral value of the nearer end of the interval, float64; 0 where not significant."""
        nearer = np.where(self.value > self.neutral, self.low - self.neutral, self.neutral - self.high)
        return np.where(self.significant, np.maximum(np.nan_to_num(nearer), 0), 0.0)

    def strongest(self, column: int, count: int) -> list[int]:
        """Positions of the `count` kernels that go with a column most surely, significant ones only."""
        strength = self.strength[:, column]
        order = np.argsort(-strength, kind="stable")[:count]
        return [int(index) for index in order if strength[index] > 0]


class Correlations(Effects):
    """Spearman's ρ, see `lensaudit.statistics.association`: a rise or fall throughout."""

    @property
    def rho(self) -> Array:
        """ρ in [−1, 1], float64 (kernels, c)."""
        return self.value

    @property
    def neutral(self) -> float:
        """No correlation."""
        return 0.0


@dataclass(frozen=True, eq=False)
class TopLenses(Effects):
    """What a kernel's most exciting lenses have in common, as when one looks at them.

    AUROC of a quantity between its highest 5 % of lenses and the others, see `lensaudit.statistics.top_groups`.

    Attributes
    ----------
    n_top
        Lenses in the top group (c).
    """

    n_top: NDArray[np.int64]

    @property
    def auroc(self) -> Array:
        """AUROC in [0, 1], float64 (kernels, c)."""
        return self.value

    @property
    def neutral(self) -> float:
        """The highest are like the others."""
        return 0.5


@dataclass(frozen=True, eq=False)
class RawEffects:
    """Effects of some kernels before any correction: value, low, high, p of each statistic, (4, kernels, columns)."""

    rho: Array
    top: Array

    @classmethod
    def of(cls, values: NDArray[np.float32], live: NDArray[np.bool_], truth: Array) -> RawEffects:
        """Compare `values` (lenses, kernels) of the `live` kernels with `truth` (lenses, columns); the rest is NaN."""
        rho, top = np.full((2, 4, len(live), truth.shape[1]), np.nan)
        if live.any():
            ranks, groups = spearman(values[:, live], truth), top_groups(values[:, live], truth, TOP_FRACTION)
            rho[:, live] = ranks.rho, ranks.low, ranks.high, ranks.p
            top[:, live] = groups.auroc, groups.low, groups.high, groups.p
        return cls(rho, top)


def corrected(
    parts: Sequence[RawEffects], columns: tuple[TruthColumn, ...], truth: Array
) -> tuple[Correlations, TopLenses]:
    """All kernels' effects together, with Holm's correction for each statistic."""
    sizes = top_groups(np.empty((len(truth), 0)), truth, TOP_FRACTION)
    rho, rho_low, rho_high, rho_p = np.concatenate([part.rho for part in parts], axis=1)
    area, area_low, area_high, area_p = np.concatenate([part.top for part in parts], axis=1)
    correlations = Correlations(columns, rho, rho_low, rho_high, rho_p, _holm(rho_p), sizes.n)
    top_lenses = TopLenses(columns, area, area_low, area_high, area_p, _holm(area_p), sizes.n, sizes.n_top)
    return correlations, top_lenses


def _holm(p: Array) -> Array:
    """Corrected p-values of those that are defined."""
    adjusted = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    adjusted[tested] = holm(p[tested])
    return adjusted
