"""An instrument measured from a lens set: its scale, pixels, noise, zero points and PSF."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.stats import mad_std

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import Band, Instrument, OwnPsf
from lensaudit.imaging.band import About, instrument
from lensaudit.imaging.noise import measured_correlation
from lensaudit.imaging.own_psf import kernel_fwhm_arcsec, stamp_psf, stamp_values
from lensaudit.lensset.header import BandHeader
from lensaudit.lensset.simulation import instrument_of
from lensaudit.lensset.store import LensSet
from lensaudit.scenes.colours import effective_wavelength_nm, response

MEASURED = 200
"""Cutouts that the noise is measured on at most."""
EDGE = 0.2
"""Fraction of a cutout at each edge that counts as background: what is audited stands in the middle."""
FILTERS = {"VIS": "Euclid-VIS", "Y": "Euclid-Y", "J": "Euclid-J", "H": "Euclid-H"}


def instrument_like(lens_set: LensSet, filters: Mapping[str, str] | None = None, name: str = "") -> Instrument:
    """The instrument that would give cutouts like those of a set.

    Noise is the median over at most 200 cutouts of 1.4826 times the median absolute deviation of the background: the
    outer fifth at each side. Where neighbouring pixels of that background are correlated, so is the instrument's noise
    (`lensaudit.imaging.noise.measured_correlation`). The PSF is the mean of those the set holds; without any it is a
    Gaussian of two pixels.
    Electrons per unit are those of the set, or unknown, and light then adds no noise.

    Parameters
    ----------
    filters
        Band → response (`lensaudit.scenes.colours.response`), where the set does not name it.
    name
        Of the instrument; ``like-`` and the set's folder by default.

    Raises
    ------
    DataError
        A band has no zero point, cutouts that are not square, or a background without noise.
    UsageError
        A filter is not known, or the bands have no common grid.
    """
    given = dict(filters or {})
    if wrong := sorted(set(given) - set(lens_set.bands)):
        raise UsageError(f"--filter {wrong[0]}: the set has no such band; it has {', '.join(lens_set.bands)}")
    rows = np.unique(np.linspace(0, len(lens_set) - 1, min(len(lens_set), MEASURED)).astype(int))
    own = _instrument_or_none(lens_set)
    known = {} if own is None else {band.name: band for band in own.bands}
    bands = [
        _measured(lens_set, header, rows, given.get(header.name), known.get(header.name))
        for header in lens_set.header.bands
    ]
    made = name or f"like-{''.join(c if c.isalnum() else '-' for c in lens_set.path.resolve().name).strip('-')}"[:60]
    three_fold = own is not None and own.three_fold and not any(band.psf for band in bands)
    return instrument(made, bands, About(title=f"measured on {lens_set.path.name}", three_fold=three_fold))


def _instrument_or_none(lens_set: LensSet) -> Instrument | None:
    """The instrument a set was simulated with: what cannot be measured is taken from it.

    Ingested sets may bear the same name and have another unit.
    """
    try:
        return instrument_of(lens_set) if lens_set.has_scenes else None
    except (UsageError, DataError):
        return None


def _measured(lens_set: LensSet, header: BandHeader, rows: np.ndarray, given: str | None, known: Band | None) -> Band:
    name, (height, width) = header.name, header.shape
    where = f"{lens_set.path}: band {name}"
    if header.zero_point_mag is None:
        raise DataError(f"{where} has no zero point; ingest the set with --zero-point {name}=MAG")
    if height != width:
        raise DataError(f"{where} is {height}×{width} pixels; ingest square cutouts with --size-arcsec")
    filter_name = given or header.filter or (known.filter if known else None) or FILTERS.get(name)
    if filter_name is None:
        raise UsageError(f"{where}: its filter is not known; name it with --filter {name}=hsc2017-g, for instance")
    response(filter_name)
    scale = header.pixel_scale_arcsec
    images, sky = lens_set.images(name, rows), _edges((height, width))
    sigma = float(np.median([_background(image, sky) for image in images]))
    if not sigma > 0:
        raise DataError(f"{where}: its background is constant, so its noise cannot be measured")
    psf = _mean_psf(lens_set, header, rows) or (known.psf if known else None)
    if psf is not None and psf.values:
        fwhm = kernel_fwhm_arcsec(stamp_values(psf), psf.pixel_scale_arcsec)
    else:
        fwhm = known.fwhm_arcsec if known else 2 * scale
    electrons = header.electrons_per_unit or (known.shot_electrons_per_unit if known else None)
    return Band(
        name=name,
        pixels=height,
        pixel_scale_arcsec=scale,
        fwhm_arcsec=fwhm,
        wavelength_nm=known.wavelength_nm if known else effective_wavelength_nm(filter_name),
        zero_point_mag=header.zero_point_mag,
        filter=filter_name,
        unit=header.unit,
        sigma=sigma,
        electrons_per_unit=electrons,
        psf=psf,
        kernel_radius_arcsec=known.kernel_radius_arcsec if known else None,
        noise_correlation=measured_correlation(images, sky).correlation,
    )


def _edges(shape: tuple[int, int]) -> np.ndarray:
    """Outer part of a cutout (h, w)."""
    height, width = shape
    rows, columns = max(int(EDGE * height), 1), max(int(EDGE * width), 1)
    outer = np.ones(shape, bool)
    outer[rows : height - rows, columns : width - columns] = False
    return outer


def _background(image: np.ndarray, sky: np.ndarray) -> float:
    """σ of the pixels `sky` of one cutout (h, w)."""
    values = image[sky & np.isfinite(image)]
    return float(mad_std(values)) if values.size else 0.0


def _mean_psf(lens_set: LensSet, header: BandHeader, rows: np.ndarray) -> OwnPsf | None:
    if not lens_set.has_psf(header.name):
        return None
    mean = np.asarray(lens_set.psf(header.name, rows), dtype=np.float64).mean(axis=0)
    return stamp_psf(mean, header.pixel_scale_arcsec)
