"""What a survey gives beside an image, made what a set holds: point-spread functions, noise and masks.

A PSF in a set is odd, centred, of sum 1 and at the scale of its band. A stamp is left as it is where it can be. Where
it must be moved or rescaled, its pixels are taken as light collected over their areas: the new pixels are differences
of its cumulative sum, interpolated by a quintic spline. That keeps the light, and the light's centre goes to the middle
of the central pixel. Of stamps less than two pixels wide no interpolation knows better than some per cent of the peak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging.own_psf import kernel_fwhm_arcsec
from lensaudit.lensset.coordinates import scale_arcsec
from lensaudit.lensset.header import LARGEST_PSF
from lensaudit.lensset.ingest.plan import NOISE_KINDS, PixelPolicy
from lensaudit.lensset.ingest.sources import Image, Sources
from lensaudit.lensset.ingest.systems import Plate

Pixel = TypeVar("Pixel", bound=np.generic)


@dataclass(frozen=True)
class Crop:
    """First row and column (from 0) and the shape of the part that is kept."""

    row: int
    column: int
    shape: tuple[int, int]


def centre_crop(shape: tuple[int, int], size: int | None, where: str, pixel_scale_arcsec: float) -> Crop:
    """The central `size` × `size` pixels of an image; ``None`` keeps all.

    Raises
    ------
    DataError
        The image is smaller than that; the message begins with `where`.
    """
    if size is None:
        return Crop(0, 0, shape)
    if min(shape) < size:
        largest = min(shape) * pixel_scale_arcsec
        raise DataError(
            f"{where}: {shape[0]}×{shape[1]} pixels are too small, {size}×{size} are needed; "
            f"give --size-arcsec {largest:g} or less, or leave the file out"
        )
    return Crop((shape[0] - size) // 2, (shape[1] - size) // 2, (size, size))


def cut(pixels: NDArray[Pixel], crop: Crop) -> NDArray[Pixel]:
    """The part of `pixels` that `crop` keeps, as a copy."""
    rows, columns = crop.shape
    return pixels[crop.row : crop.row + rows, crop.column : crop.column + columns].copy()


@dataclass(frozen=True)
class Frame:
    """What became of an image, which becomes of its noise and PSF as well.

    Attributes
    ----------
    image
        The whole of it, as it was read.
    crop
        What was kept.
    pixel_scale_arcsec
        As it is believed.
    factor
        What its pixels were multiplied by, to be in the zero point of the set.
    bad
        Pixels of the crop that were NaN or masked: bool (rows, columns).
    """

    image: Image
    crop: Crop
    pixel_scale_arcsec: float
    factor: float
    bad: NDArray[np.bool_]


OFF_CENTRE = 0.5
"""Pixels (of the band) between centroid and middle from which on a stamp is moved."""

SUM_ONE = 1e-4
"""A sum that differs less from 1 is that of a normalised stamp with rounded pixels."""

SAME_SCALE = 0.01
"""Relative difference of pixel scales that is none: a fifth of a pixel at the edge of a 41-pixel stamp."""

_ROUNDING = 1e-16
"""Of the largest pixel: less than this is left of differences in double precision, and denormal numbers are slow."""

MOST_LOST = 0.01
"""Fraction of the light that may lie outside the side that the set has."""


CORE = 1.5
"""FWHM round the middle, in which a point source has most of its light."""

COMPACT = 0.65
"""The least fraction that it has there: 0.69 to 1 in PSFs of Euclid, HSC, DES and HST; 0.62 in an exponential disc,
less in what is steeper or not alone."""

OF_GALAXIES = f"less than {COMPACT:.0%} of the light within {CORE:g} FWHM of the middle, as galaxies have, not stars"
WRONG_PSF = "arcs would be blurred by it; see that --psf names point sources"


def light_in_core(stamp: NDArray[np.floating]) -> float:
    """Fraction of the light of a PSF, or of what is taken for one, within `CORE` FWHM of the middle."""
    pixels = np.asarray(stamp, np.float64)
    distance = np.hypot(*(np.indices(pixels.shape) - (np.array(pixels.shape)[:, None, None] - 1) / 2))
    return float(pixels[distance <= CORE * kernel_fwhm_arcsec(pixels, 1.0)].sum() / pixels.sum())


@dataclass(frozen=True)
class Psf:
    """A point-spread function, ready to be stored, and what it was.

    Attributes
    ----------
    pixels
        float32 (k, k): odd k, sum 1, centroid within half a pixel of the middle.
    total
        Sum of the stamp as given.
    offset
        Its centroid's distance from its middle, in its own pixels.
    shape
        Its rows and columns.
    scale
        Its pixel in units of the band's.
    moved
        Whether its pixels were interpolated.
    """

    pixels: NDArray[np.float32]
    total: float
    offset: float
    shape: tuple[int, int]
    scale: float
    moved: bool

    def remarks(self) -> list[str]:
        """What was done to it, in words."""
        words = []
        if abs(self.scale - 1) > SAME_SCALE:
            words.append(f"its pixels, {self.scale:.4g} of the band's, were resampled to the band's")
        if even := [side for side in self.shape if side % 2 == 0]:
            words.append(f"its {even[0]} pixels along a side were brought to an odd number, its centre to a pixel's")
        if self.offset > OFF_CENTRE:
            words.append(f"its centroid lay {self.offset:.2g} pixels off the middle and was brought there")
        if abs(self.total - 1) > SUM_ONE:
            words.append(f"its sum was {self.total:.4g} and is 1 now")
        if light_in_core(self.pixels) < COMPACT:
            words.append(f"it has {OF_GALAXIES}: {WRONG_PSF}")
        return words


def ready_psf(stamp: NDArray[np.floating], where: str, scale: float = 1.0, side: int | None = None) -> Psf:
    """The point-spread function in `stamp`.

    Parameters
    ----------
    stamp
        (rows, columns).
    where
        Begins the messages: file, band and extension.
    scale
        A pixel of the stamp in units of the band's.
    side
        Odd number of pixels that the set has: a smaller stamp is surrounded by zeros, a larger one cut. None: its own.

    Raises
    ------
    DataError
        It has NaN, no light, its light lies far from its middle or its brightest pixel, or it is too large.
    """
    given = np.asarray(stamp, np.float64)
    shape = (given.shape[0], given.shape[1])
    total, centre = _total(given, where), _centroid(given)
    middle = (np.array(shape) - 1) / 2
    offset = float(np.hypot(*(centre - middle)))
    _refuse_stray(given, centre, offset, where)
    longest = max(math.ceil(n * scale - 1e-6) for n in shape)
    odd = longest + 1 - longest % 2
    if odd > LARGEST_PSF:
        raise DataError(f"{where}: the PSF has {odd} pixels along a side, more than {LARGEST_PSF}; cut it")
    moved = offset > OFF_CENTRE or abs(scale - 1) > SAME_SCALE or any(n % 2 == 0 for n in shape)
    as_is = [((odd - n) // 2,) * 2 for n in shape]
    pixels = _resampled(given, centre, scale, odd) if moved else np.pad(given, as_is)
    pixels = _of_side(pixels, side or odd, where)
    brought = (pixels / pixels.sum()).astype(np.float32)
    if float(np.hypot(*(_centroid(brought.astype(np.float64)) - (len(brought) - 1) / 2))) > OFF_CENTRE:
        raise DataError(f"{where}: the PSF cannot be centred, its light is cut off at an edge; cut it round the star")
    return Psf(brought, total, offset, shape, scale, moved)


def _total(given: NDArray[np.float64], where: str) -> float:
    bad = int((~np.isfinite(given)).sum())
    if bad:
        raise DataError(f"{where}: {bad} of {given.size} pixels of the PSF are NaN or infinite; give a whole one")
    total = float(given.sum())
    if not 0 < total < np.inf:
        raise DataError(
            f"{where}: the PSF's sum is {total:.4g}, it must be positive; correct the file or the extension"
        )
    return total


def _centroid(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(row, column), counted from 0."""
    rows, columns = (np.arange(n) for n in pixels.shape)
    return np.array([rows @ pixels.sum(axis=1), pixels.sum(axis=0) @ columns]) / pixels.sum()


def _refuse_stray(given: NDArray[np.float64], centre: NDArray[np.float64], offset: float, where: str) -> None:
    """Raise DataError where the light is not one peak about the middle, as of a galaxy or a stamp cut elsewhere."""
    peak = np.array(np.unravel_index(int(given.argmax()), given.shape))
    astray, side = float(np.hypot(*(peak - centre))), max(given.shape)
    if offset > max(2.0, side / 16):
        raise DataError(
            f"{where}: the PSF's centroid lies {offset:.3g} pixels off the middle of {side}; cut it round the star, "
            "or correct the extension"
        )
    if astray > max(2.0, side / 16):
        raise DataError(
            f"{where}: the PSF's brightest pixel lies {astray:.3g} pixels off its centroid, so it is no point source; "
            "correct the extension"
        )


def _resampled(given: NDArray[np.float64], centre: NDArray[np.float64], scale: float, side: int) -> NDArray[np.float64]:
    """`given` on `side` × `side` pixels, 1 / `scale` of its own wide, about `centre`."""
    for axis in (0, 1):
        n = given.shape[axis]
        summed = np.concatenate([np.zeros((1, given.shape[1 - axis])), np.cumsum(np.moveaxis(given, axis, 0), axis=0)])
        edges = centre[axis] + 0.5 + (np.arange(side + 1) - side / 2) / scale
        order = max(1, min(5, n - 1 + n % 2))  # odd, and at most the number of pixels
        spline = make_interp_spline(np.arange(n + 1), summed, k=order)
        given = np.moveaxis(np.diff(spline(np.clip(edges, 0, n)), axis=0), 0, axis)
    return np.where(np.abs(given) < _ROUNDING * given.max(), 0, given)


def _of_side(pixels: NDArray[np.float64], side: int, where: str) -> NDArray[np.float64]:
    """`pixels` (odd and square) with zeros round them, or without their edges, on `side` × `side`."""
    spare = (side - len(pixels)) // 2
    if spare >= 0:
        return np.pad(pixels, spare)
    kept = pixels[-spare:spare, -spare:spare]
    lost = 1 - kept.sum() / pixels.sum()
    if abs(lost) > MOST_LOST:
        raise DataError(
            f"{where}: the PSF has {len(pixels)} pixels along a side, the set {side}, outside which {lost:.1%} of its "
            "light would be lost; cut all to one size, or ingest it into a set of its own"
        )
    return kept


def read_psf(plate: Plate, band: str, sources: Sources, like: Frame, side: int | None = None) -> Psf:
    """The point-spread function at `plate`, at the pixel scale of `like` and of `side` pixels, see `ready_psf`."""
    stamp = sources.get(plate).stamp(plate, band, "PSF")
    scale = 1.0
    if stamp.scale_arcsec is not None:
        wcs = like.image.sky.wcs
        own = like.pixel_scale_arcsec if wcs is None else scale_arcsec(wcs)  # a scale that is given corrects both
        scale = stamp.scale_arcsec / own
        scale = 1.0 if abs(scale - 1) <= SAME_SCALE else scale
    return ready_psf(stamp.pixels, stamp.where, scale, side)


NO_WEIGHT = 1e15
"""Standard deviations from which on a pixel has no weight: what SWarp and Euclid write for it is 1e16 and more."""


def read_noise(plate: Plate, band: str, kind: str, sources: Sources, like: Frame) -> NDArray[np.float32]:
    """Noise of the pixels of `like` from the map of this kind at `plate`, in their unit: float32 (rows, columns).

    Pixels that are bad there or in the image, without weight or of a noise that is none are +inf.

    Raises
    ------
    DataError
        The map has another shape, or no good pixel.
    """
    stamp = sources.get(plate).stamp(plate, band, NOISE_KINDS[kind])
    found = stamp.pixels
    if found.shape == like.image.pixels.shape:
        found = found[like.crop.row :, like.crop.column :][: like.crop.shape[0], : like.crop.shape[1]]
    if found.shape != like.crop.shape:
        there, wanted = ("×".join(map(str, shape)) for shape in (found.shape, like.image.pixels.shape))
        raise DataError(f"{stamp.where}: {there} pixels, the image has {wanted}; give the noise of the same pixels")
    rms = standard_deviation(found, kind)
    good = np.isfinite(rms)
    if not good.any():
        raise DataError(
            f"{stamp.where}: no pixel has a positive, finite {NOISE_KINDS[kind]}; leave the system out (or give "
            "--skip-bad), or correct the extension"
        )
    return np.where(good & ~like.bad, times(rms, like.factor, stamp.where), np.float32(np.inf))


def standard_deviation(noise: NDArray[np.generic], kind: str) -> NDArray[np.float32]:
    """Noise maps of a kind (see `NOISE_KINDS`) as standard deviations; +inf where they are not positive and finite.

    Examples
    --------
    >>> standard_deviation(np.array([4.0, 0.0, -1.0, np.nan]), "weight").tolist()
    [0.5, inf, inf, inf]
    """
    with np.errstate(all="ignore"):
        if kind == "rms":
            rms = noise.astype(np.float32)
        else:
            root = np.sqrt(noise.astype(np.float64))
            rms = (root if kind == "variance" else 1 / root).astype(np.float32)
        good = (rms > 0) & (rms < NO_WEIGHT)
    return np.where(good, rms, np.float32(np.inf))


def masked_pixels(plate: Plate, band: str, policy: PixelPolicy, sources: Sources, image: Image) -> NDArray[np.bool_]:
    """Which pixels a mask marks as bad: those that are true, or have one of the bits that the user names.

    FITS has no logicals: of integers, without bits named, those that are 1 are bad where no other value but 0 is there.
    """
    stamp = sources.get(plate).stamp(plate, band, "mask")
    mask = stamp.pixels
    if mask.shape != image.pixels.shape:
        raise DataError(f"{stamp.where}: {mask.shape} pixels, the image has {image.pixels.shape}; correct the mask")
    if mask.dtype == bool:
        return mask
    if mask.dtype.kind not in "iu":
        raise DataError(f"{stamp.where}: holds no logicals or integers; save it as one of them")
    if not policy.bad_bits:
        if not np.isin(mask, (0, 1)).all():
            raise UsageError(
                f"{stamp.where}: holds bits (values up to {mask.max()}); name those of bad pixels with --mask-bits"
            )
        return np.asarray(mask == 1)
    bits = np.uint64(sum(1 << bit for bit in policy.bad_bits))
    return np.asarray((mask.astype(np.uint64) & bits) != 0)


def times(pixels: NDArray[np.float32], factor: float, where: str) -> NDArray[np.float32]:
    """`pixels` brought to the zero point of the set."""
    if factor == 1:
        return pixels
    with np.errstate(over="ignore", under="ignore"):
        brought = (pixels * np.float64(factor)).astype(np.float32)
    if not np.isfinite(brought[np.isfinite(pixels)]).all():
        raise DataError(f"{where}: pixels overflow when its zero point is brought to the set's (times {factor:g})")
    return brought
