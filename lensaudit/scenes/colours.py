"""Colours of galaxies: SkyPy's k-correct templates seen through any filter, as in Wilde et al. 2022 through Euclid's.

A spectrum is a non-negative mix of five templates (Blanton & Roweis 2007). What a scene needs is only the AB
flux of each template in each band over redshift, so that table is computed once per process and filter with speclite
and interpolated; absorption by the intergalactic medium is not modelled (it would darken u behind z = 2).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.scenes.cosmology import distance_modulus_mag
from lensaudit.scenes.scene import FrozenMapping, Sky

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


def draw_unweighted_mix(spectrum: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw template coefficients by the Dirichlet parameters at z = 0 alone: no evolution, no weights.

    So does the public notebook of Wilde et al. 2022: it hands its weights to SkyPy where that expects the redshift at
    which the parameters are those of z = 1, and none as weights.
    """
    return rng.dirichlet(_MIXES[spectrum][0])


class SeenMagnitudes(FrozenMapping):
    """Magnitudes that remember the spectrum behind them, so that the galaxy can be seen through other filters.

    Attributes
    ----------
    mix, redshift
        The spectrum.
    anchor
        A filter, and the AB magnitude in it.
    """

    __slots__ = ("anchor", "mix", "redshift")

    def __init__(
        self, values: Mapping[str, float], mix: NDArray[np.float64], redshift: float, anchor: tuple[str, float]
    ) -> None:
        super().__init__({band: float(value) for band, value in values.items()})
        self.mix, self.redshift, self.anchor = mix, redshift, anchor

    def __reduce__(self) -> Any:
        return (SeenMagnitudes, (dict(self), self.mix, self.redshift, self.anchor))

    def shifted(self, values: Mapping[str, float], mag: float) -> SeenMagnitudes:
        """The same spectrum `mag` fainter, with these `values`."""
        return SeenMagnitudes(values, self.mix, self.redshift, (self.anchor[0], self.anchor[1] + mag))

    def through(self, sky: Sky) -> SeenMagnitudes:
        """The same galaxy in the bands of `sky`."""
        if unknown := [band for band, name in zip(sky.bands, sky.filters, strict=True) if not name]:
            raise UsageError(f"band {unknown[0]}: its filter is not known, so galaxies have no colours; name it")
        filter_name, magnitude = self.anchor
        reference = _flux_through(self.mix, self.redshift, filter_name)
        values = {
            band: magnitude - 2.5 * float(np.log10(_flux_through(self.mix, self.redshift, name) / reference))
            for band, name in zip(sky.bands, sky.filters, strict=True)
        }
        return SeenMagnitudes(values, self.mix, self.redshift, self.anchor)


class GreyMagnitudes(SeenMagnitudes):
    """Magnitudes of a galaxy whose rest-frame colours are zero in whatever band: catalogue magnitude + k-correction.

    SkyPy scales a spectrum to one absolute magnitude in several filters at once when it is given several, so that the
    observed colour is the difference of the k-corrections (public notebook of Wilde et al. 2022).
    """

    __slots__ = ()

    def __reduce__(self) -> Any:
        return (GreyMagnitudes, (dict(self), self.mix, self.redshift, self.anchor))

    def shifted(self, values: Mapping[str, float], mag: float) -> GreyMagnitudes:
        """The same spectrum `mag` fainter, with these `values`."""
        return GreyMagnitudes(values, self.mix, self.redshift, (self.anchor[0], self.anchor[1] + mag))

    def through(self, sky: Sky) -> GreyMagnitudes:
        """The same galaxy in the bands of `sky`."""
        return grey_magnitudes(sky, self.mix, self.redshift, self.anchor[1])


def grey_magnitudes(sky: Sky, mix: NDArray[np.float64], redshift: float, magnitude: float) -> GreyMagnitudes:
    """AB magnitudes in the bands of `sky` of a galaxy of absolute magnitude `magnitude` − distance modulus in each."""
    values = {  # the distance modulus is taken off for the absolute magnitude and put on again
        band: magnitude + k_correction_mag(mix, redshift, name)
        for band, name in zip(sky.bands, sky.filters, strict=True)
    }
    return GreyMagnitudes(values, mix, redshift, (sky.filter(sky.reference), magnitude))


def k_correction_mag(mix: NDArray[np.float64], redshift: float, filter_name: str) -> float:
    """Observed through a filter at `redshift` over the same filter at rest, in mag, distance apart."""
    ratio = _flux_through(mix, redshift, filter_name) / _flux_through(mix, 0.0, filter_name)
    return -2.5 * float(np.log10(ratio))


def magnitudes_on(sky: Sky, mix: NDArray[np.float64], redshift: float, magnitude: float) -> SeenMagnitudes:
    """AB magnitudes in the bands of `sky` of a spectrum that has `magnitude` in its reference band."""
    anchor = (sky.filter(sky.reference), float(magnitude))
    if all(SPECLITE_FILTERS.get(band) == name for band, name in zip(sky.bands, sky.filters, strict=True)):
        # One table for all of Euclid's bands, as sets have been made with: the last bit is theirs.
        values = apparent_magnitudes(mix, redshift, sky.bands, band=sky.reference, magnitude=magnitude)
        return SeenMagnitudes(values, mix, redshift, anchor)
    return SeenMagnitudes({}, mix, redshift, anchor).through(sky)


def apparent_magnitudes(
    mix: NDArray[np.float64], redshift: float, bands: tuple[str, ...], *, band: str, magnitude: float
) -> dict[str, float]:
    """AB magnitudes in `bands` of a spectrum that has `magnitude` in `band`."""
    flux = _observed_flux(mix, redshift)
    reference = flux[band]
    return {name: magnitude - 2.5 * float(np.log10(flux[name] / reference)) for name in bands}


def absolute_to_apparent(mix: NDArray[np.float64], redshift: float, absolute_r: float, sky: Sky) -> float:
    """Apparent AB magnitude in the reference band of a galaxy of rest-frame SDSS-r absolute magnitude `absolute_r`."""
    rest, band, name = float(mix @ _rest_flux()), sky.reference, sky.filter(sky.reference)
    seen = SPECLITE_FILTERS.get(band) == name
    observed = _observed_flux(mix, redshift)[band] if seen else _flux_through(mix, redshift, name)
    k_term = -2.5 * float(np.log10(observed / rest))
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


def _flux_through(mix: NDArray[np.float64], redshift: float, filter_name: str) -> float:
    """AB maggies of a spectrum through one filter, linear between the rows of its table."""
    table = _filter_table(filter_name)
    position = redshift / TABLE_MAX_REDSHIFT * (_TABLE_STEPS - 1)
    low = min(int(position), _TABLE_STEPS - 2)
    part = position - low
    return float(mix @ ((1.0 - part) * table[low] + part * table[low + 1]))


@lru_cache(maxsize=128)
def _filter_table(filter_name: str) -> NDArray[np.float64]:
    """AB maggies (z, template) through one filter of the templates put at 10 pc and redshifted."""
    curve = response(filter_name)
    return np.array([_maggies(curve, z) for z in np.linspace(0.0, TABLE_MAX_REDSHIFT, _TABLE_STEPS)])


@lru_cache(maxsize=1)
def _rest_flux() -> NDArray[np.float64]:
    return _maggies(response(REST_FILTER), 0.0)


GALSIM_CURVES = "galsim/"
ROMAN_CURVES = "roman/"
OWN_CURVE = "curve:"
CURVE_POINTS = 128


@lru_cache(maxsize=128)
def response(filter_name: str) -> Any:
    """Response of a filter, as speclite holds it.

    Parameters
    ----------
    filter_name
        A name of speclite's (``hsc2017-g``), ``galsim/ACS_wfc_F606W`` (a curve that GalSim carries), ``roman/F106``
        (`galsim.roman`), or a curve of the user's own as `packed_curve` writes it.

    Raises
    ------
    UsageError
        There is no such filter.
    """
    from speclite.filters import load_filter

    if filter_name.startswith(OWN_CURVE):
        return _own_response(*_unpacked(filter_name), f"own{hashlib.sha256(filter_name.encode()).hexdigest()[:12]}")
    if filter_name.startswith((GALSIM_CURVES, ROMAN_CURVES)):
        return _galsim_response(filter_name)
    try:
        return load_filter(filter_name)
    except (ValueError, OSError) as unknown:
        raise UsageError(
            f"filter '{filter_name}' is none of speclite's, such as hsc2017-g, nor galsim/ACS_wfc_F814W, roman/F158 or "
            "a curve of your own; correct its name"
        ) from unknown


def effective_wavelength_nm(filter_name: str) -> float:
    """Effective wavelength of a filter for a flat AB spectrum, as speclite computes it."""
    return float(response(filter_name).effective_wavelength.to_value("nm"))


def packed_curve(wavelength_nm: NDArray[np.float64], values: NDArray[np.float64]) -> str:
    """A response curve as a filter name: `CURVE_POINTS` samples in even steps, 16 bits each.

    Raises
    ------
    ValueError
        Wavelengths do not rise, a value is negative or not finite, or nothing passes.
    """
    wavelength_nm, values = np.asarray(wavelength_nm, float), np.asarray(values, float)
    if wavelength_nm.ndim != 1 or wavelength_nm.shape != values.shape or len(values) < 3:
        raise ValueError("a curve needs as many wavelengths as values, at least three")
    if not (np.isfinite(wavelength_nm).all() and np.isfinite(values).all() and (np.diff(wavelength_nm) > 0).all()):
        raise ValueError("a curve needs finite numbers, and wavelengths that rise")
    if values.min() < 0 or values.max() <= 0 or wavelength_nm[0] <= 0:
        raise ValueError("a response lies at or above 0, and somewhere above it")
    lit = np.flatnonzero(values > 1e-3 * values.max())
    first, last = max(int(lit[0]) - 1, 0), min(int(lit[-1]) + 1, len(values) - 1)
    low, high = float(wavelength_nm[first]), float(wavelength_nm[last])
    even = np.interp(np.linspace(low, high, CURVE_POINTS), wavelength_nm, values / values.max())
    packed = base64.b64encode(np.round(even * 65535).astype("<u2").tobytes()).decode()
    return f"{OWN_CURVE}{low:.6g}:{high:.6g}:{packed}"


def _unpacked(filter_name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        low, high, packed = filter_name.removeprefix(OWN_CURVE).split(":")
        values = np.frombuffer(base64.b64decode(packed, validate=True), "<u2") / 65535.0
        return np.linspace(float(low), float(high), len(values)), values
    except (ValueError, binascii.Error) as broken:
        raise UsageError("a curve is damaged; load the instrument from its YAML again") from broken


def _galsim_response(filter_name: str) -> Any:
    import galsim

    try:
        if filter_name.startswith(ROMAN_CURVES):
            band = roman_bands()[filter_name.removeprefix(ROMAN_CURVES)][1]
        else:
            band = galsim.Bandpass(f"{filter_name.removeprefix(GALSIM_CURVES)}.dat", wave_type="nm")
    except (KeyError, OSError, ValueError) as unknown:
        raise UsageError(f"filter '{filter_name}' is none that GalSim carries; correct its name") from unknown
    wavelength = np.asarray(band.wave_list, dtype=float)
    return _own_response(wavelength, np.asarray([band(w) for w in wavelength]), filter_name)


@lru_cache(maxsize=1)
def roman_bands() -> dict[str, tuple[str, Any]]:
    """Roman's curves by the mission's names, and GalSim's name of each: F106 is Y106 there."""
    import galsim.roman

    return {f"F{name[1:]}": (name, band) for name, band in galsim.roman.getBandpasses(AB_zeropoint=False).items()}


def _own_response(wavelength_nm: NDArray[np.float64], values: NDArray[np.float64], name: str) -> Any:
    from speclite.filters import FilterResponse

    keep = np.concatenate([[True], np.diff(wavelength_nm) > 0])
    wavelength, curve = wavelength_nm[keep] * 10.0, np.clip(values[keep], 0.0, None)
    if curve[0] > 0:  # a response must begin and end at zero
        wavelength, curve = np.r_[wavelength[0] - 1.0, wavelength], np.r_[0.0, curve]
    if curve[-1] > 0:
        wavelength, curve = np.r_[wavelength, wavelength[-1] + 1.0], np.r_[curve, 0.0]
    word = "".join(letter if letter.isalnum() else "_" for letter in name)
    return FilterResponse(wavelength, curve, {"group_name": "lensaudit", "band_name": f"b_{word}"})


def _maggies(response: object, z: float) -> NDArray[np.float64]:
    wavelength, templates = _templates()
    observed = wavelength * (1.0 + z)
    # Only the samples under the filter matter; handing speclite all 10 000 is twenty times slower.
    reach = response.wavelength  # type: ignore[attr-defined]
    first = max(int(np.searchsorted(observed, reach[0])) - 2, 0)
    last = int(np.searchsorted(observed, reach[-1])) + 2
    piece = np.ascontiguousarray(templates[:, first:last]) / (1.0 + z)
    observed = observed[first:last]
    if observed[0] > reach[0]:  # nothing comes through below the templates' 600 Å
        observed = np.r_[reach[0] - 1.0, observed[0] - 1e-3, observed]
        piece = np.concatenate([np.zeros((len(piece), 2)), piece], axis=1)
    return np.array(response.get_ab_maggies(piece, observed, axis=1))  # type: ignore[attr-defined]


@lru_cache(maxsize=1)
def _templates() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with warnings.catch_warnings():  # SkyPy's import sets up a test runner that astropy has deprecated
        warnings.simplefilter("ignore")
        from skypy.galaxies.spectrum import kcorrect

    # The file is big-endian single precision, which speclite does not search correctly.
    wavelength = np.asarray(kcorrect.wavelength.to_value("angstrom"), dtype=np.float64)
    flux = np.asarray(kcorrect.templates.to_value("erg s-1 cm-2 angstrom-1"), dtype=np.float64)
    return wavelength, flux
