"""What of a lens a selection can depend on, and where the catalogue keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class WithTruth(Protocol):
    """What is asked of a lens set: :class:`lensaudit.lensset.LensSet` has it."""

    @property
    def path(self) -> Any: ...
    @property
    def labels(self) -> NDArray[np.int8]: ...
    @property
    def bands(self) -> Sequence[str]: ...
    @property
    def columns(self) -> Sequence[str]: ...
    def column(self, name: str) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Parameter:
    """One property of a lens.

    Attributes
    ----------
    name
        How tables name it; the catalogue's column where it is one.
    words, unit
        How a person reads it; no unit for a pure number.
    columns
        The catalogue's columns it is made of: one, or x and y of which it is the length.
    logarithmic
        Whether the model of what drives the selection takes its logarithm (base 10), as for what spans decades.
    driver
        Whether that model takes it at all; not what others fix already.
    """

    name: str
    words: str
    unit: str
    columns: tuple[str, ...]
    logarithmic: bool = False
    driver: bool = True

    @property
    def label(self) -> str:
        """Words with the unit in brackets."""
        return f"{self.words} [{self.unit}]" if self.unit else self.words

    def values(self, lens_set: WithTruth, rows: NDArray[np.bool_]) -> Array:
        """Values of the systems `rows`, float64; NaN where it does not apply."""
        parts = [np.asarray(lens_set.column(name), float)[rows] for name in self.columns]
        return parts[0] if len(parts) == 1 else np.hypot(*parts)

    def modelled(self, values: Array) -> Array:
        """The values as the model takes them; NaN where there is no logarithm."""
        if not self.logarithmic:
            return values
        return np.log10(values, out=np.full(len(values), np.nan), where=values > 0)


EINSTEIN_RADIUS = Parameter("theta_e_arcsec", "Einstein radius θ_E", "″", ("theta_e_arcsec",), logarithmic=True)
ARC_SNR = Parameter("arc_snr", "arc S/N", "", ("arc_snr",), logarithmic=True)
BANDS = ("VIS", "g", "H", "J", "Y")
"""Of which the magnitudes are taken: the first of these that the set has."""


def parameters_of(lens_set: WithTruth) -> tuple[tuple[Parameter, ...], tuple[str, ...]]:
    """Parameters the lenses of a set have, and the words of those that none of them has.

    Those of Herle, O'Riordan & Vegetti 2024 (MNRAS 534, 1093) that the simulation draws, and what pictures show of
    them: S/N, magnification, colours, places. Columns that other columns fix (the velocity dispersion, given θ_E and
    both redshifts; the brightness of the arc, given source and magnification) are left to the medians or left out.
    """
    lens = lens_set.labels == 1
    there, absent = [], []
    for parameter in _candidates(_band(lens_set, lens)):
        known = set(parameter.columns) <= set(lens_set.columns)
        if known and np.isfinite(parameter.values(lens_set, lens)).any():
            there.append(parameter)
        else:
            absent.append(parameter.words)
    return tuple(there), tuple(absent)


def values_of(parameters: Sequence[Parameter], lens_set: WithTruth, rows: NDArray[np.bool_]) -> Mapping[str, Array]:
    """Name of each parameter → its values for the systems `rows`."""
    return {parameter.name: parameter.values(lens_set, rows) for parameter in parameters}


def _band(lens_set: WithTruth, lens: NDArray[np.bool_]) -> str:
    """The band whose source magnitudes are known; the set's first where none is."""
    for band in BANDS:
        name = f"mag_source_{band}"
        if name in lens_set.columns and np.isfinite(np.asarray(lens_set.column(name), float)[lens]).any():
            return band
    return next(iter(lens_set.bands), BANDS[0])


def _candidates(band: str) -> tuple[Parameter, ...]:
    def plain(name: str, words: str, unit: str = "", logarithmic: bool = False, driver: bool = True) -> Parameter:
        return Parameter(name, words, unit, (name,), logarithmic, driver)

    return (
        EINSTEIN_RADIUS,
        ARC_SNR,
        plain(f"mag_source_{band}", f"source magnitude {band}", "mag"),
        plain("magnification", "magnification", logarithmic=True),
        plain("source_r_eff_arcsec", "source half-light radius", "″", logarithmic=True),
        plain("source_n_sersic", "source Sérsic index"),
        plain("colour_source_VIS_H", "source colour VIS − H", "mag"),
        plain("z_source", "source redshift"),
        plain(f"mag_lens_{band}", f"lens magnitude {band}", "mag"),
        plain("lens_r_eff_arcsec", "lens half-light radius", "″", logarithmic=True),
        plain("lens_axis_ratio", "axis ratio of the lens's mass"),
        plain("colour_lens_VIS_H", "lens colour VIS − H", "mag"),
        plain("z_lens", "lens redshift"),
        plain("sigma_v_km_s", "velocity dispersion of the lens", "km/s", driver=False),
        plain("arc_offset_arcsec", "arc's distance from the centre", "″", driver=False),
        Parameter("lens_offset_arcsec", "lens's distance from the centre", "″", ("lens_x_arcsec", "lens_y_arcsec")),
        plain("n_field", "field galaxies"),
    )
