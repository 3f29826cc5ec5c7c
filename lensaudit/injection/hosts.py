"""Hosts: real cutouts with what is needed to put an arc into them, checked and brought right.

A host comes with its point-spread function, its noise and its zero point in every band. What is not as it should be is
brought right and said, or refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.imaging import INSTRUMENTS, Band, Instrument, kernel
from lensaudit.imaging.psf import read_kernel
from lensaudit.lensset import BandHeader, LensSet, PsfHeader, RmsHeader
from lensaudit.lensset import instrument_of as drawn_with
from lensaudit.lensset.ingest.survey import (
    COMPACT,
    OF_GALAXIES,
    SAME_SCALE,
    WRONG_PSF,
    light_in_core,
    ready_psf,
    standard_deviation,
)
from lensaudit.scenes import EUCLID_SKY
from lensaudit.scenes.colours import effective_wavelength_nm

Array = NDArray[np.float64]

SUM_TOLERANCE = 0.01
FWHM_WINDOW_PIXELS = 12
ENOUGH_FOR_MEDIAN = 2000
LARGEST_RAY_STEP_ARCSEC = 0.05


@dataclass(frozen=True, eq=False)
class HostCutout:
    """One real cutout, band by band, as the injection takes it.

    Attributes
    ----------
    id
        Its name in the set.
    images
        Band → float32 (h, h), sky subtracted.
    psf
        Band → kernel (k, k): k odd, sum 1, centred, at the band's pixel scale.
    rms
        Band → σ of each pixel (h, h) in the image's unit, positive; bad pixels are +inf.
    zero_point_mag
        Band → AB magnitude of one pixel unit.
    pixel_scale_arcsec
        Band → arcsec per pixel.
    electrons_per_unit
        Band → electrons of one pixel unit; None where it is not known, and the arc then has no noise of its own.
    filters
        Band → filter, as `lensaudit.scenes.colours.response` names it; of VIS, Y, J and H it is known by the name.
    row
        Catalogue values.
    wcs
        Band → FITS header cards of its sky coordinates, where it has some.
    """

    id: str
    images: Mapping[str, NDArray[np.float32]]
    psf: Mapping[str, Array]
    rms: Mapping[str, NDArray[np.float32]]
    zero_point_mag: Mapping[str, float]
    pixel_scale_arcsec: Mapping[str, float]
    electrons_per_unit: Mapping[str, float | None] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)
    wcs: Mapping[str, str] = field(default_factory=dict)

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in order."""
        return tuple(self.images)


def host_bands(lens_set: LensSet) -> tuple[BandHeader, ...]:
    """The bands of a set as hosts have them: a simulated set stores neither PSF nor noise, but knows what it drew."""
    bands = lens_set.header.bands
    if not lens_set.has_scenes or any(band.psf is not None for band in bands):
        return bands
    drawn = drawn_with(lens_set)
    scene = lens_set.scene(0)
    assert scene is not None
    return tuple(
        band.model_copy(
            update={
                "psf": PsfHeader(side=len(kernel(scene.psf, drawn.band(band.name))), per_cutout=True),
                "rms": RmsHeader(per_cutout=True),
                "electrons_per_unit": drawn.band(band.name).shot_electrons_per_unit,
                "filter": drawn.band(band.name).filter,
            }
        )
        for band in bands
    )


def drawn_psf_and_rms(lens_set: LensSet, index: int) -> tuple[dict[str, Array], dict[str, NDArray[np.float32]]]:
    """PSF and background σ, by band, with which system `index` of a simulated set was drawn."""
    scene = lens_set.scene(index)
    assert scene is not None
    bands = [drawn_with(lens_set).band(band.name) for band in lens_set.header.bands]
    sigma = {band.name: scene.noise_scale * band.background_sigma for band in bands}
    return (
        {band.name: np.array(kernel(scene.psf, band)) for band in bands},
        {name: np.full(lens_set.shape[name], value, dtype=np.float32) for name, value in sigma.items()},
    )


class HostSource(Protocol):
    """Anything that hands out hosts by their number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> HostCutout: ...


def proper_psf(values: Any, where: str) -> tuple[Array, list[str]]:
    """A kernel as ingest stores one: odd, sum 1, centred, read-only; and what had to be done.

    Raises
    ------
    DataError
        It is no image of finite numbers with positive sum, or stands too far off its centre.
    """
    kernel = np.ascontiguousarray(values, dtype=np.float64)
    if kernel.ndim != 2:
        raise DataError(f"{where}: a PSF must be an image, not {kernel.shape}; cut it out")
    proper, done = _proper(_Stamp(kernel.tobytes(), (kernel.shape[0], kernel.shape[1]), where))
    return proper, list(done)


@dataclass(frozen=True)
class _Stamp:
    """The pixels of a PSF, whichever host brings them."""

    values: bytes
    shape: tuple[int, int]
    where: str = field(compare=False)


@lru_cache(maxsize=64)
def _proper(stamp: _Stamp) -> tuple[Array, tuple[str, ...]]:
    kernel = np.frombuffer(stamp.values).reshape(stamp.shape)
    found = ready_psf(kernel, stamp.where)
    done = ["PSFs were brought to an odd size and centred"] if found.moved else []
    if abs(found.total - 1.0) > SUM_TOLERANCE:
        done.append("PSFs were normalised to sum 1")
    as_given = not found.moved and found.pixels.shape == kernel.shape  # then without the rounding of what is stored
    kept = kernel if as_given else found.pixels.astype(np.float64)
    proper = kept / kept.sum()
    proper.setflags(write=False)
    return proper, tuple(done)


@lru_cache(maxsize=64)
def given_psf(words: str, scale_arcsec: float) -> Array:
    """The kernel that ``FILE`` or ``FILE[EXTENSION]`` holds, at a band's pixel scale.

    Where the header says no pixel scale (``CD1_1``, ``CDELT1``, ``PIXSCALE``), it is the band's.

    Raises
    ------
    DataError
        There is no such file or extension, or it is no PSF.
    """
    path, bracket, extension = words.removesuffix("]").partition("[")
    values, scale = read_kernel(Path(path), extension if bracket else "0", scale_arcsec)
    ratio = scale / scale_arcsec
    return values if abs(ratio - 1.0) <= SAME_SCALE else ready_psf(values, words, ratio).pixels.astype(np.float64)


@lru_cache(maxsize=64)
def about_given_psf(words: str, scale_arcsec: float) -> tuple[str, ...]:
    """What is to be said of the kernel of `given_psf`: that it is no point source, in the words of ingest."""
    inside = light_in_core(proper_psf(given_psf(words, scale_arcsec), words)[0])
    return (f"{words} has {OF_GALAXIES} ({inside:.2f}): {WRONG_PSF}",) if inside < COMPACT else ()


def proper_rms(values: Any, image: NDArray[Any], where: str) -> tuple[NDArray[np.float32], list[str]]:
    """σ of each pixel with bad ones as +inf: where it is not a positive number, or the image is no number.

    Raises
    ------
    DataError
        It has another shape than the image, or every pixel is bad.
    """
    rms = standard_deviation(np.asarray(values, dtype=np.float32), "rms")
    if rms.shape != image.shape:
        raise DataError(f"{where}: the RMS has {rms.shape} pixels, the image {image.shape}; cut both alike")
    good = np.isfinite(rms) & np.isfinite(image)
    if not good.any():
        raise DataError(f"{where}: the RMS has no positive number; correct it, or ingest without it")
    done = [] if good.all() else ["pixels without a positive, finite RMS count as bad"]
    return np.where(good, rms, np.float32(np.inf)), done


def estimated_rms(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """One σ for all pixels, from the median absolute deviation of the image: where a set has no RMS."""
    from astropy.stats import mad_std

    return np.full(image.shape, float(mad_std(image, ignore_nan=True)), dtype=np.float32)


def checked(host: HostCutout) -> tuple[HostCutout, list[str]]:
    """The host with its PSFs and RMS brought right, and what was done.

    Raises
    ------
    DataError
        It lacks a PSF or a zero point, or something of it cannot be used.
    """
    psf, rms, done = {}, {}, []
    filters = {**_names_of_euclid(host), **host.filters}
    for band, image in host.images.items():
        where = f"{host.id}: band {band}"
        if image.ndim != 2 or image.shape[0] != image.shape[1]:
            raise DataError(f"{where}: a host must be square, not {image.shape}; ingest it with --size-pixels")
        for what, given, option in (("PSF", host.psf, "--psf"), ("zero point", host.zero_point_mag, "--zero-point")):
            if given.get(band) is None:
                raise DataError(f"{where}: the hosts have no {what}; ingest it, or give {option} {band}=…")
        if not filters.get(band):
            raise DataError(f"{where}: its filter is not known; ingest it, or give --filter {band}=NAME (hsc2017-i …)")
        psf[band], about_psf = proper_psf(host.psf[band], where)
        rms[band], about_rms = proper_rms(host.rms[band] if band in host.rms else estimated_rms(image), image, where)
        done += [*about_psf, *about_rms]
        if band not in host.rms:
            done.append("hosts without RMS: σ is estimated from each cutout's pixels")
        if host.electrons_per_unit.get(band) is None:
            done.append("arcs are without shot noise where the electrons per pixel unit are not known")
    return replace(host, psf=psf, rms=rms, filters=filters), list(dict.fromkeys(done))


def _names_of_euclid(host: HostCutout) -> dict[str, str]:
    """Filters by the bands' names, where all of them are Euclid's; Y alone could be another survey's."""
    named = dict(zip(EUCLID_SKY.bands, EUCLID_SKY.filters, strict=True))
    return {band: named[band] for band in host.bands} if "VIS" in host.bands and set(host.bands) <= set(named) else {}


@dataclass(frozen=True)
class Sampling:
    """How finely light is drawn on a host's pixels.

    Attributes
    ----------
    pixels, scales
        Of each band: pixels of a side, and arcsec per pixel.
    """

    pixels: tuple[int, ...]
    scales: tuple[float, ...]
    ray_step_arcsec: float | None = None


@lru_cache(maxsize=32)
def ray_grid(sampling: Sampling) -> tuple[int, float]:
    """(cells of a side, arcsec) of the grid on which every band's pixels are whole blocks of rays.

    A known instrument's own grid, or the coarsest that is fine enough.

    Raises
    ------
    DataError
        There is none: pixel scales that are no multiples of each other, or cutouts that do not lie symmetrically.
    """
    known = None if sampling.ray_step_arcsec is not None else _known_instrument(sampling)
    if known is not None:
        return known.ray_pixels, known.ray_scale_arcsec
    finest = min(sampling.scales)
    coarsest = max(1, math.ceil(finest / (sampling.ray_step_arcsec or LARGEST_RAY_STEP_ARCSEC) - 1e-9))
    for divided in range(coarsest, coarsest + 6):
        step = finest / divided
        ratios = [scale / step for scale in sampling.scales]
        if any(abs(ratio - round(ratio)) > 1e-6 * ratio for ratio in ratios):
            continue
        blocks = [(count, round(ratio)) for count, ratio in zip(sampling.pixels, ratios, strict=True)]
        least = max(count * block for count, block in blocks)
        for cells in range(least, least + 2 * math.lcm(*(block for _, block in blocks)) + 1):
            if all((cells - count * block) % (2 * block) == 0 for count, block in blocks):
                return cells, step
    raise DataError(
        f"bands of {', '.join(map(str, sampling.pixels))} pixels of {', '.join(f'{s:g}″' for s in sampling.scales)}: "
        f"pixels of one are no whole blocks of another's, or lie askew; ingest bands of one scale, or --size-pixels"
    )


def _known_instrument(sampling: Sampling) -> Instrument | None:
    """The instrument whose pixels these are."""
    for known in INSTRUMENTS.values():
        pixels = tuple(band.pixels for band in known.bands)
        scales = [band.pixel_scale_arcsec for band in known.bands]
        if pixels == sampling.pixels and np.allclose(scales, sampling.scales):
            return known
    return None


def instrument_of(host: HostCutout, ray_step_arcsec: float | None = None) -> Instrument:
    """The instrument whose pixels, zero point and noise are a host's; σ is the median of the good pixels' RMS."""
    pixels = tuple(image.shape[0] for image in host.images.values())
    scales = tuple(float(host.pixel_scale_arcsec[band]) for band in host.bands)
    cells, step = ray_grid(Sampling(pixels, scales, ray_step_arcsec))
    bands = tuple(_band(host, band, round(scale / step) * step) for band, scale in zip(host.bands, scales, strict=True))
    euclid = set(host.filters.values()) <= set(EUCLID_SKY.filters)
    ordered = sorted(bands, key=lambda band: band.wavelength_nm)
    colour = (ordered[0].name, ordered[-1].name) if len(bands) > 1 else ()
    # Scenes of hosts in Euclid's bands, and their catalogue, are like all of Euclid's.
    return Instrument("hosts", bands, cells, step, colour=colour, three_fold=euclid)


def _band(host: HostCutout, band: str, scale: float) -> Band:
    return Band(
        name=band,
        pixels=host.images[band].shape[0],
        pixel_scale_arcsec=scale,
        fwhm_arcsec=fwhm_pixels(host.psf[band]) * scale,
        wavelength_nm=_wavelength_nm(host.filters[band]),
        zero_point_mag=float(host.zero_point_mag[band]),
        filter=host.filters[band],
        unit="host",
        sigma=middle_sigma(host.rms[band]),
        electrons_per_unit=host.electrons_per_unit.get(band),
    )


@lru_cache(maxsize=128)
def _wavelength_nm(filter_name: str) -> float:
    return effective_wavelength_nm(filter_name)


def middle_sigma(rms: NDArray[np.float32]) -> float:
    """Median of the good pixels' σ."""
    good = np.isfinite(rms)
    return middle(rms if good.all() else rms[good])


def middle(values: NDArray[Any]) -> float:
    """Median, of every k-th value where there are many: it is of noise and sky, and takes as long as all the rest."""
    flat = values.ravel()
    some = flat[:: max(1, flat.size // ENOUGH_FOR_MEDIAN)]
    half, odd = divmod(some.size, 2)
    ordered = np.partition(some, half if odd else (half - 1, half))  # np.median asks much more about its argument
    return float(ordered[half] if odd else ordered[half - 1 : half + 1].mean())


def fwhm_pixels(kernel: Array) -> float:
    """Full width at half maximum in pixels: of the circle as large as what is above half of the peak."""
    return _fwhm_pixels(np.ascontiguousarray(kernel, np.float64).tobytes(), len(kernel))


@lru_cache(maxsize=64)
def _fwhm_pixels(values: bytes, size: int) -> float:
    from scipy.ndimage import zoom

    kernel = np.frombuffer(values).reshape(size, size)
    middle, half = size // 2, min(size // 2, FWHM_WINDOW_PIXELS)
    # A wide kernel needs no finer pixels, a narrow one no others than its core's.
    while half > 2 and kernel[middle, middle + half] < 0.05 * kernel[middle, middle]:
        half -= 1
    fine = zoom(kernel[middle - half : middle + half + 1, middle - half : middle + half + 1], 4, order=3)
    # zoom keeps the outermost pixels' centres in place.
    step = 2 * half / (len(fine) - 1) if half else 1.0
    return float(2.0 * math.sqrt((fine > fine.max() / 2).sum() / math.pi) * step)
