"""Point-spread functions as kernels on a band's own pixels: Gaussian, three-fold (GalSim), or from a FITS file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lensaudit.errors import DataError, LensauditError
from lensaudit.imaging.band import COARSEST_RAY_ARCSEC, Band, OwnPsf
from lensaudit.imaging.own_psf import galsim_profile, stamp_psf, stamp_values
from lensaudit.scenes import Psf
from lensaudit.untrusted import printable

Array = NDArray[np.float64]

KERNEL_RADIUS_ARCSEC = {"VIS": 2.0, "g": 3.0}
NISP_KERNEL_RADIUS_ARCSEC = 3.0
# Euclid's primary mirror and its central obscuration (Laureijs et al. 2011).
EUCLID_MIRROR_M = 1.2
EUCLID_OBSCURATION = 0.37
TREFOIL_REFERENCE_NM = 700.0
TREFOIL_SYMMETRY_DEG = 120.0
# Pointing jitter and charge diffusion: with it the VIS kernel is 0.17″ wide and has the three-fold amplitude of
# 0.3 at 0.3–0.4″ that the real VIS kernels of the Q1 release show.
MIN_BLUR_ARCSEC = 0.10
MAX_CACHED_KERNELS = 512
EUCLID_SCALE_ARCSEC = 0.1
LARGEST_PSF = 2048
SAMPLED_PIXELS = 2.5
"""Pixels along the FWHM of a PSF that is well sampled."""


def kernel(psf: Psf, band: Band) -> Array:
    """Kernel (k, k), k odd, of `psf` in `band`: pixel response included, sum 1, read-only.

    Raises
    ------
    DataError
        The FITS file of a ``fits`` PSF cannot be used.
    """
    angle = psf.angle_deg
    if psf.kind == "gaussian":
        angle = 0.0
    if psf.kind == "trefoil":
        # The pattern repeats every 120°, so the cache need hold only that much.
        angle = angle % TREFOIL_SYMMETRY_DEG
    if psf.kind == "instrument" and band.psf is None:
        return kernel(Psf(fwhm_scale=psf.fwhm_scale), band)
    return _kernel(psf.kind, round(angle, 6), psf.trefoil_waves, psf.fwhm_scale, psf.path, psf.extension, band)


@lru_cache(maxsize=MAX_CACHED_KERNELS)
def _kernel(
    kind: str, angle_deg: float, trefoil_waves: float, fwhm_scale: float, path: str, extension: str, band: Band
) -> Array:
    if kind == "gaussian":
        values = gaussian_kernel(band.fwhm_arcsec * fwhm_scale, band.pixel_scale_arcsec, kernel_pixels(band))
    elif kind == "trefoil":
        values = trefoil_kernel(band, angle_deg=angle_deg, trefoil_waves=trefoil_waves, fwhm_scale=fwhm_scale)
    elif kind == "instrument":
        values = own_kernel(band, angle_deg=angle_deg, scale=fwhm_scale)
    else:
        values = fits_kernel(Path(path), extension, band, angle_deg=angle_deg)
    values = values / values.sum()
    values.setflags(write=False)
    return values


def kernel_pixels(band: Band) -> int:
    """Side of the kernel in pixels, odd."""
    radius = band.kernel_radius_arcsec or KERNEL_RADIUS_ARCSEC.get(band.name, NISP_KERNEL_RADIUS_ARCSEC)
    return 2 * math.ceil(radius / band.pixel_scale_arcsec) + 1


def gaussian_kernel(fwhm_arcsec: float, pixel_scale_arcsec: float, pixels: int) -> Array:
    """Gaussian of `fwhm_arcsec` sampled at pixel centres (pixels, pixels), sum 1.

    Sampled, as lenstronomy does, because the quoted FWHM already holds the pixel response.
    """
    sigma = fwhm_arcsec / pixel_scale_arcsec / math.sqrt(8.0 * math.log(2.0))
    offset = np.arange(pixels) - pixels // 2
    profile = np.exp(-(offset**2) / (2.0 * sigma**2))
    values = np.outer(profile, profile)
    return np.asarray(values / values.sum())


def trefoil_kernel(band: Band, *, angle_deg: float, trefoil_waves: float, fwhm_scale: float) -> Array:
    """Diffraction by Euclid's obscured mirror with trefoil aberration, blurred to the band's FWHM (GalSim)."""
    import galsim

    optics = _optics(band.wavelength_nm, trefoil_waves)
    diffraction = 1.03 * band.wavelength_nm * 1e-9 / EUCLID_MIRROR_M * 206264.806
    rest = (band.fwhm_arcsec * fwhm_scale) ** 2 - diffraction**2 - 0.9 * band.pixel_scale_arcsec**2
    blur = galsim.Gaussian(fwhm=max(math.sqrt(max(rest, 0.0)), MIN_BLUR_ARCSEC * fwhm_scale))
    profile = galsim.Convolve(optics, blur).rotate(angle_deg * galsim.degrees)
    pixels = kernel_pixels(band)
    image = profile.drawImage(nx=pixels, ny=pixels, scale=band.pixel_scale_arcsec)
    return np.asarray(image.array, dtype=np.float64)


@lru_cache(maxsize=32)
def _optics(wavelength_nm: float, trefoil_waves: float) -> Any:
    import galsim

    return galsim.OpticalPSF(
        lam=wavelength_nm,
        diam=EUCLID_MIRROR_M,
        obscuration=EUCLID_OBSCURATION,
        trefoil1=trefoil_waves * TREFOIL_REFERENCE_NM / wavelength_nm,
    )


def fits_kernel(path: Path, extension: str, band: Band, *, angle_deg: float = 0.0) -> Array:
    """Read a kernel from extension `extension` of a FITS file, turn it and bring it to the band's pixels.

    The pixel scale comes from the header (``CD1_1``, ``CDELT1`` or ``PIXSCALE``); where it has none, 0.1″, that of the
    Euclid release, is taken.

    Raises
    ------
    DataError
        The file or extension is missing, unreadable, not square, or holds NaN or no flux.
    """
    values, scale = read_kernel(path, extension)
    return resampled(values, band.pixel_scale_arcsec / scale, angle_deg, kernel_pixels(band))


def resampled(values: Array, ratio: float, angle_deg: float, pixels: int) -> Array:
    """A kernel turned counter-clockwise and brought to `pixels`² pixels, each `ratio` of its own."""
    from scipy.ndimage import affine_transform

    angle = math.radians(angle_deg)
    # Output (row, column) offsets → input offsets: undo the turn, then change the step.
    matrix = ratio * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre_in = (np.array(values.shape) - 1) / 2
    centre_out = np.array([pixels - 1, pixels - 1]) / 2
    turned = affine_transform(
        values, matrix, offset=centre_in - matrix @ centre_out, output_shape=(pixels, pixels), order=3
    )
    return np.asarray(np.maximum(turned, 0.0))


def own_kernel(band: Band, *, angle_deg: float = 0.0, scale: float = 1.0) -> Array:
    """Kernel (k, k) of the band's own PSF, turned counter-clockwise and `scale` times as large; sum 1."""
    psf, pixels = band.psf, kernel_pixels(band)
    assert psf is not None
    if psf.galsim:
        import galsim

        profile = galsim_profile(psf.galsim)
        if not profile.is_axisymmetric:
            profile = profile.rotate(angle_deg * galsim.degrees)
        # Light is summed over the rays of a coarse pixel, and so holds its response already; a PSF too narrow for its
        # pixels can only be drawn with it.
        wide = band.fwhm_arcsec >= SAMPLED_PIXELS * band.pixel_scale_arcsec
        method = "no_pixel" if wide and band.pixel_scale_arcsec > COARSEST_RAY_ARCSEC * (1 + 1e-9) else "auto"
        image = profile.dilate(scale).drawImage(nx=pixels, ny=pixels, scale=band.pixel_scale_arcsec, method=method)
        values: Array = np.maximum(np.asarray(image.array, dtype=np.float64), 0.0)
    else:
        ratio = band.pixel_scale_arcsec / psf.pixel_scale_arcsec / scale
        values = resampled(stamp_values(psf), ratio, angle_deg, pixels)
    return np.asarray(values / values.sum())


def measured_psf(path: Path, extension: str) -> OwnPsf:
    """A kernel from a FITS file, as `fits_kernel` reads one.

    Raises
    ------
    ValueError
        It cannot be used; the text names the file.
    """
    try:
        values, scale = read_kernel(path, extension)
    except LensauditError as refused:
        raise ValueError(str(refused)) from refused
    return stamp_psf(values, scale)


def check_kernel(path: Path, extension: str) -> None:
    """Raise what `fits_kernel` would, before anything is rendered."""
    read_kernel(path, extension)


def read_kernel(path: Path, extension: str, unsaid_arcsec: float = EUCLID_SCALE_ARCSEC) -> tuple[Array, float]:
    """Values (k, k) of a PSF in a FITS file, by an extension's name or number, and its arcsec per pixel.

    Parameters
    ----------
    unsaid_arcsec
        The pixel scale where the header says none.
    """
    from lensaudit.fits_input import number, open_fits, pixels_of

    with open_fits(path) as hdus:
        found = enumerate(hdus)
        hdu = next((hdu for i, hdu in found if hdu.name == extension.upper() or str(i) == extension), None)
        if hdu is None:
            names = printable(", ".join(hdu.name for hdu in hdus if hdu.name))
            raise DataError(f"{path}: no extension '{printable(extension, 60)}' for the PSF; it has {names}")
        where = f"{path}[{printable(extension, 60)}]"
        values = np.asarray(pixels_of(hdu, where, beside=hdus), dtype=np.float64)
        degrees = number(hdu.header, "CD1_1", where) or number(hdu.header, "CDELT1", where)
        scale = abs(degrees) * 3600.0 if degrees else number(hdu.header, "PIXSCALE", where) or unsaid_arcsec
    if values.shape[0] != values.shape[1] or max(values.shape) > LARGEST_PSF:
        raise DataError(f"{where}: a PSF must be a square image of at most {LARGEST_PSF} pixels a side; cut it out")
    with np.errstate(over="ignore"):
        total = float(values.sum())
    if not np.isfinite(values).all() or not 0 < total < math.inf:
        raise DataError(f"{where}: a PSF must be finite numbers with positive sum; correct the file")
    if not 1e-3 <= scale <= 60.0:
        raise DataError(f"{where}: its header gives {scale:.3g}″ per pixel; correct CD1_1, CDELT1 or PIXSCALE")
    return values, scale


@dataclass(frozen=True)
class Spectrum:
    """Fourier transform of the part of an image that holds light, with room for a kernel of `half` pixels.

    Attributes
    ----------
    frame
        Shape (h, w) of the image.
    window
        Rows and columns that light reaches through such a kernel; None where there is no light.
    padded
        Shape of the transformed piece, zeros included.
    """

    frame: tuple[int, int]
    half: int
    window: tuple[slice, slice] | None
    padded: tuple[int, int]
    values: NDArray[np.complex128] | None


def spectrum(image: Array, half: int) -> Spectrum:
    """Transform `image` (h, w); what does not depend on the kernel, so that several kernels share it."""
    frame = (image.shape[0], image.shape[1])
    light = image != 0.0
    rows, columns = np.flatnonzero(light.any(axis=1)), np.flatnonzero(light.any(axis=0))
    if not rows.size:
        return Spectrum(frame, half, None, (0, 0), None)
    window = (
        slice(max(int(rows[0]) - half, 0), min(int(rows[-1]) + half + 1, frame[0])),
        slice(max(int(columns[0]) - half, 0), min(int(columns[-1]) + half + 1, frame[1])),
    )
    piece = image[window]
    # Padding by half a kernel is enough: what wraps around lands in the rows and columns that are cut off.
    padded = (fft.next_fast_len(piece.shape[0] + half, real=True), fft.next_fast_len(piece.shape[1] + half, real=True))
    return Spectrum(frame, half, window, padded, fft.rfft2(piece, padded))


def convolved(light: Spectrum, psf_kernel: Array) -> Array:
    """The image behind a spectrum convolved with an odd kernel (k, k) of its half width, zero outside the frame."""
    filled = np.zeros(light.frame)
    if light.window is not None:
        filled[light.window] = convolved_piece(light, psf_kernel)
    return filled


def convolved_piece(light: Spectrum, psf_kernel: Array) -> Array:
    """The same within the window of the spectrum, outside of which there is nothing."""
    assert light.window is not None
    assert light.values is not None
    rows, columns = (slice(light.half, light.half + span.stop - span.start) for span in light.window)
    product = light.values * _transfer(psf_kernel.tobytes(), psf_kernel.shape[0], light.padded)
    return np.asarray(fft.irfft2(product, light.padded)[rows, columns])


def convolve(image: Array, psf_kernel: Array) -> Array:
    """Convolve `image` (h, w) with an odd kernel (k, k), zero outside the frame; same shape out."""
    return convolved(spectrum(image, psf_kernel.shape[0] // 2), psf_kernel)


@lru_cache(maxsize=256)
def _transfer(kernel_bytes: bytes, size: int, shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Fourier transform of a kernel, kept because a set's images share few kernels and shapes."""
    return np.asarray(fft.rfft2(np.frombuffer(kernel_bytes).reshape(size, size), shape))
