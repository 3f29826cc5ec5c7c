"""Colours of galaxies: SkyPy's k-correct templates seen through speclite's filters, as in Wilde et al. 2022.

A spectrum is a non-negative mix of five templates (Blanton & Roweis 2007). What a scene needs is only the AB
flux of each template in each band over redshift, so that table is computed once per process with speclite and
interpolated; absorption by the intergalactic medium is not modelled.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.scenes.cosmology import distance_modulus_mag

SPECLITE_FILTERS = {
    "VIS": "Euclid-VIS",
    "Y": "Euclid-Y",
    "J": "Euclid-J",
    "H": "Euclid-H",
    "g": "lsst2016-g",
}
REST_FILTER = "sdss2010-r"
BAND_INDEX = {band: index for index, band in enumerate(SPECLITE_FILTERS)}
TABLE_MAX_REDSHIFT = 3.9  # beyond it the templates, which begin at 600 Å, no longer fill the VIS band
_TABLE_STEPS = 118

# Dirichlet parameters of the template mixes of red and blue galaxies at z = 0 and z = 1, and the templates'
# weights (Herbel et al. 2017, as used by SkyPy's example configurations).
_MIXES = {
    "red": (
        np.array([2.461, 2.358, 2.568, 2.268, 2.402]),
        np.array([2.410, 2.340, 2.200, 2.540, 2.464]),
        np.array([3.84e9, 1.57e6, 3.91e8, 4.66e10, 3.03e7]),
    ),
    "blue": (
        np.array([2.079, 3.524, 1.917, 1.992, 2.536]),
        np.array([2.265, 3.862, 1.921, 1.685, 2.480]),
        np.array([3.47e9, 3.31e6, 2.13e9, 1.64e10, 1.01e9]),
    ),
}
SPECTRA = tuple(_MIXES)


def draw_template_mix(
    spectrum: str, redshift: float, rng: np.random.Generator, *, max_vis_h_mag: float | None = None
) -> NDArray[np.float64]:
    """Draw the five template coefficients of a ``red`` or ``blue`` galaxy; they sum to 1.

    The Dirichlet parameters move geometrically between their values at z = 0 and z = 1 (and on). With
    `max_vis_h_mag`, the first of 24 draws with a bluer observed VIS − H is taken, or the bluest of them.
    """
    if spectrum not in _MIXES:
        raise UsageError(f"spectrum '{spectrum}' is not one of {', '.join(SPECTRA)}")
    alpha0, alpha1, weight = _MIXES[spectrum]
    alpha = alpha0 ** (1.0 - redshift) * alpha1**redshift
    mixes = rng.dirichlet(alpha, size=1 if max_vis_h_mag is None else 24) * weight
    mixes /= mixes.sum(axis=1, keepdims=True)
    if max_vis_h_mag is None:
        return mixes[0]
    flux = mixes @ _template_flux(redshift)
    colour = -2.5 * np.log10(flux[:, BAND_INDEX["VIS"]] / flux[:, BAND_INDEX["H"]])
    blue = np.flatnonzero(colour < max_vis_h_mag)
    return mixes[blue[0] if blue.size else int(np.argmin(colour))]


def apparent_magnitudes(
    mix: NDArray[np.float64], redshift: float, bands: tuple[str, ...], *, band: str, magnitude: float
) -> dict[str, float]:
    """AB magnitudes in `bands` of a spectrum that has `magnitude` in `band`."""
    flux = _observed_flux(mix, redshift)
    reference = flux[band]
    return {name: magnitude - 2.5 * float(np.log10(flux[name] / reference)) for name in bands}


def absolute_to_apparent(mix: NDArray[np.float64], redshift: float, absolute_r: float, band: str) -> float:
    """Apparent AB magnitude in `band` of a galaxy of rest-frame SDSS-r absolute magnitude `absolute_r`."""
    rest = float(mix @ _rest_flux())
    k_term = -2.5 * float(np.log10(_observed_flux(mix, redshift)[band] / rest))
    return absolute_r + distance_modulus_mag(redshift) + k_term


def _observed_flux(mix: NDArray[np.float64], redshift: float) -> dict[str, float]:
    return dict(zip(SPECLITE_FILTERS, (mix @ _template_flux(redshift)).tolist(), strict=True))


def _template_flux(redshift: float) -> NDArray[np.float64]:
    """AB maggies (template, band) at `redshift`, linear between the rows of the table."""
    grid, table = _flux_table()
    position = redshift / (grid[1] - grid[0])
    low = min(int(position), len(grid) - 2)
    part = position - low
    return (1.0 - part) * table[low] + part * table[low + 1]


@lru_cache(maxsize=1)
def _flux_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Redshift grid and AB maggies (z, template, band) of the templates put at 10 pc and redshifted."""
    from speclite.filters import load_filter

    filters = [load_filter(name) for name in SPECLITE_FILTERS.values()]
    grid = np.linspace(0.0, TABLE_MAX_REDSHIFT, _TABLE_STEPS)
    table = np.empty((len(grid), 5, len(filters)))
    for row, z in enumerate(grid):
        for column, response in enumerate(filters):
            table[row, :, column] = _maggies(response, z)
    return grid, table


@lru_cache(maxsize=1)
def _rest_flux() -> NDArray[np.float64]:
    from speclite.filters import load_filter

    return _maggies(load_filter(REST_FILTER), 0.0)


def _maggies(response: object, z: float) -> NDArray[np.float64]:
    wavelength, templates = _templates()
    observed = wavelength * (1.0 + z)
    # Only the samples under the filter matter; handing speclite all 10 000 is twenty times slower.
    reach = response.wavelength  # type: ignore[attr-defined]
    first = max(int(np.searchsorted(observed, reach[0])) - 2, 0)
    last = int(np.searchsorted(observed, reach[-1])) + 2
    piece = np.ascontiguousarray(templates[:, first:last]) / (1.0 + z)
    return np.array(response.get_ab_maggies(piece, observed[first:last], axis=1))  # type: ignore[attr-defined]


@lru_cache(maxsize=1)
def _templates() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with warnings.catch_warnings():  # SkyPy's import sets up a test runner that astropy has deprecated
        warnings.simplefilter("ignore")
        from skypy.galaxies.spectrum import kcorrect

    # The file is big-endian single precision, which speclite does not search correctly.
    wavelength = np.asarray(kcorrect.wavelength.to_value("angstrom"), dtype=np.float64)
    flux = np.asarray(kcorrect.templates.to_value("erg s-1 cm-2 angstrom-1"), dtype=np.float64)
    return wavelength, flux
