"""Real galaxies as light: a stamp without its point-spread function, as surface brightness of unit flux.

A stamp comes from a catalogue in GalSim's real-galaxy format (the full COSMOS sample is one), or is the first image of
a FITS file whose ``PSF`` extension is its PSF. Deconvolution is GalSim's; what is left of the blur is a Gaussian of
`RESIDUAL_BLUR` of the PSF's width, without which noise would be all there is to see, and it shrinks with the galaxy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lensaudit.errors import DataError
from lensaudit.scenes import Stamp
from lensaudit.untrusted import printable

Array = NDArray[np.float64]

RESIDUAL_BLUR = 0.9
FOOTPRINT_SIGMA = 1.5
DETECTED_SIGMA = 6.0
SMOOTHED_PIXELS = 2.0
GROWN_PIXELS = 3
LARGEST_STAMP = 2048
LARGEST_STAMP_PSF = 1024


@dataclass(frozen=True, eq=False)
class RawStamp:
    """A galaxy as it was observed: image (h, w), its PSF, arcsec per pixel of both, and a digest of the pixels."""

    image: Array
    psf: Array
    step_arcsec: float
    psf_step_arcsec: float
    sha256: str


@dataclass(frozen=True, eq=False)
class StampImage:
    """Surface brightness of a galaxy of unit flux.

    Attributes
    ----------
    spline
        Coefficients of the cubic spline through it (h, w), per arcsec².
    step_arcsec
        Between its points.
    centre
        (row, column) of the centroid.
    half_light_arcsec
        Radius of the circle around the centroid that holds half of the light.
    reach_arcsec
        Beyond it there is none.
    """

    spline: Array
    step_arcsec: float
    centre: tuple[float, float]
    half_light_arcsec: float
    reach_arcsec: float

    def brightness(self, x: Array, y: Array) -> Array:
        """Flux per arcsec² at offsets (arcsec) from the centroid."""
        places = np.stack([y / self.step_arcsec + self.centre[0], x / self.step_arcsec + self.centre[1]])
        # A spline undershoots where light ends.
        return np.maximum(ndimage.map_coordinates(self.spline, places, order=3, prefilter=False), 0.0)


@lru_cache(maxsize=256)
def stamp_image(stamp: Stamp) -> StampImage:
    """The galaxy of a stamp, deconvolved and cut out; kept for the next use.

    Raises
    ------
    DataError
        The file is missing or cannot be used, or its pixels are others than the scene was made with.
    """
    raw = raw_stamp(Path(stamp.path), stamp.index)
    if raw.sha256 != stamp.sha256:
        raise DataError(
            f"{stamp.path}: galaxy {stamp.index} has other pixels than the scene was made with; restore the file"
        )
    return deconvolved(raw, f"{stamp.path}: galaxy {stamp.index}")


def raw_stamp(path: Path, index: int) -> RawStamp:
    """Read a stamp and its PSF.

    Raises
    ------
    DataError
        There is no such file or galaxy, or its pixels are no finite images.
    """
    where = f"{path}: galaxy {index}"
    image, psf, step, psf_step = _of_catalogue(path, index) if is_catalogue(path) else _of_file(path)
    for what, pixels, most in (("image", image, LARGEST_STAMP), ("PSF", psf, LARGEST_STAMP_PSF)):
        if pixels.ndim != 2 or max(pixels.shape) > most or min(pixels.shape) < 5 or not np.isfinite(pixels).all():
            raise DataError(f"{where}: its {what} must be 5 to {most} pixels a side, of finite numbers; leave it out")
    if psf.sum() <= 0:
        raise DataError(f"{where}: its PSF has no positive sum; leave it out")
    digest = hashlib.sha256(repr((image.shape, psf.shape, step, psf_step)).encode())
    digest.update(np.ascontiguousarray(image, "<f8").tobytes())
    digest.update(np.ascontiguousarray(psf, "<f8").tobytes())
    return RawStamp(image, psf, step, psf_step, digest.hexdigest())


@lru_cache(maxsize=64)
def is_catalogue(path: Path) -> bool:
    """Whether a FITS file is a catalogue of GalSim's real galaxies."""
    from lensaudit.fits_input import open_fits

    with open_fits(path) as hdus:
        return any("GAL_FILENAME" in (getattr(hdu, "columns", None) or _NoColumns).names for hdu in hdus)


class _NoColumns:
    names: tuple[str, ...] = ()


@lru_cache(maxsize=8)
def real_galaxies(path: Path) -> Any:
    """GalSim's `RealGalaxyCatalog` at `path`, its images beside it.

    Raises
    ------
    DataError
        GalSim cannot read it.
    """
    import galsim

    try:
        return galsim.RealGalaxyCatalog(path.name, dir=str(path.parent))
    except (OSError, KeyError, ValueError, TypeError, galsim.GalSimError) as error:
        words = printable(" ".join(str(error).split()), 120)
        raise DataError(f"{path}: cannot be read as GalSim's real galaxies ({words}); download it again") from error


def _of_catalogue(path: Path, index: int) -> tuple[Array, Array, float, float]:
    import galsim

    catalogue = real_galaxies(path)
    if not 0 <= index < catalogue.nobjects:
        raise DataError(f"{path}: has {catalogue.nobjects} galaxies, no number {index}; restore the file")
    try:
        image, psf = catalogue.getGalImage(index), catalogue.getPSFImage(index)
    except (OSError, KeyError, ValueError, IndexError, TypeError, galsim.GalSimError) as error:
        words = printable(" ".join(str(error).split()), 120)
        raise DataError(f"{path}: galaxy {index} cannot be read ({words}); put its images beside it") from error
    return _pixels(image.array), _pixels(psf.array), float(image.scale), float(psf.scale)


def _pixels(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)


def _of_file(path: Path) -> tuple[Array, Array, float, float]:
    from lensaudit.fits_input import number, open_fits, pixels_of
    from lensaudit.imaging.psf import read_kernel

    with open_fits(path) as hdus:
        images = [hdu for hdu in hdus if getattr(hdu, "is_image", False) and hdu.header.get("NAXIS") == 2]
        stamps = [hdu for hdu in images if not hdu.name.endswith("PSF")]
        psfs = [hdu.name for hdu in images if hdu.name.endswith("PSF")]
        if not stamps or not psfs:
            raise DataError(f"{path}: a stamp needs an image and an extension PSF; add what is missing")
        image = np.asarray(pixels_of(stamps[0], f"{path}"), dtype=np.float64)
        degrees = number(stamps[0].header, "CD1_1", f"{path}") or number(stamps[0].header, "CDELT1", f"{path}")
        step = abs(degrees) * 3600.0 if degrees else number(stamps[0].header, "PIXSCALE", f"{path}")
    if not step or not 1e-4 < step < 10:
        raise DataError(f"{path}: its header has no pixel scale; write PIXSCALE in arcsec per pixel")
    psf, psf_step = read_kernel(path, psfs[0], step)
    return image, psf, step, psf_step


def deconvolved(raw: RawStamp, where: str) -> StampImage:
    """A galaxy without its PSF: deconvolved, cut out along its own isophote, of unit flux.

    Raises
    ------
    DataError
        No galaxy stands out of the noise.
    """
    import galsim

    h, w = raw.image.shape
    psf = galsim.InterpolatedImage(galsim.Image(np.ascontiguousarray(raw.psf), scale=raw.psf_step_arcsec), flux=1.0)
    galaxy = galsim.InterpolatedImage(galsim.Image(np.ascontiguousarray(raw.image), scale=raw.step_arcsec))
    blur = galsim.Gaussian(fwhm=RESIDUAL_BLUR * psf.calculateFWHM())
    seen = galsim.Convolve(galaxy, galsim.Deconvolve(psf), blur)
    drawn = seen.drawImage(nx=w, ny=h, scale=raw.step_arcsec, method="no_pixel").array
    return _cut_out(np.asarray(drawn, dtype=np.float64), raw.step_arcsec, where)


def _cut_out(image: Array, step: float, where: str) -> StampImage:
    """The galaxy in the middle: sky removed, softly cut at 1.5 σ of the smoothed image, nothing below zero."""
    rim = np.concatenate([image[:3].ravel(), image[-3:].ravel(), image[:, :3].ravel(), image[:, -3:].ravel()])
    smooth = ndimage.gaussian_filter(image, SMOOTHED_PIXELS)
    rim_smooth = np.concatenate(
        [smooth[:3].ravel(), smooth[-3:].ravel(), smooth[:, :3].ravel(), smooth[:, -3:].ravel()]
    )
    sky, noise = float(np.median(rim)), 1.4826 * float(np.median(np.abs(rim_smooth - np.median(rim_smooth))))
    labels, count = ndimage.label(smooth > sky + FOOTPRINT_SIGMA * noise)
    middle = np.s_[image.shape[0] // 4 : -(image.shape[0] // 4), image.shape[1] // 4 : -(image.shape[1] // 4)]
    inner = np.where(labels > 0, smooth, -np.inf)[middle]
    if not count or inner.max() < sky + DETECTED_SIGMA * noise:
        raise DataError(f"{where}: nothing stands out of the noise; leave it out")
    label = labels[middle].ravel()[int(np.argmax(inner))]
    grown = ndimage.binary_dilation(labels == label, iterations=GROWN_PIXELS) & ((labels == 0) | (labels == label))
    soft = np.clip(ndimage.gaussian_filter(grown.astype(np.float64), 1.0) * 2.0 - 1.0, 0.0, 1.0)
    light = np.maximum(image - sky, 0.0) * np.where(grown, np.maximum(soft, 0.1), 0.0)
    light = np.pad(light, 2)
    light /= light.sum() * step**2
    rows, columns = np.indices(light.shape)
    weight = light * step**2
    centre = (float((weight * rows).sum()), float((weight * columns).sum()))
    radius = np.hypot(rows - centre[0], columns - centre[1]) * step
    order = np.argsort(radius, axis=None)
    half = float(np.interp(0.5, np.cumsum(weight.ravel()[order]), radius.ravel()[order]))
    reach = float(radius[light > 0].max()) + step
    spline = ndimage.spline_filter(light, order=3)
    spline.setflags(write=False)
    return StampImage(spline, step, centre, max(half, step), reach)
