"""Small FITS files in the layouts that are ingested; pixels are drawn from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits


def noise(seed: int, shape: tuple[int, int] = (12, 12), scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def sky_header(pixel_scale_arcsec: float = 0.1, crpix: tuple[float, float] = (6.5, 6.5)) -> fits.Header:
    header = fits.Header()
    for axis, (kind, sign) in enumerate((("RA---TAN", -1), ("DEC--TAN", 1)), 1):
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg"
        header[f"CRVAL{axis}"] = 50.0 + axis
        header[f"CRPIX{axis}"] = crpix[axis - 1]
        header[f"CD{axis}_{axis}"] = sign * pixel_scale_arcsec / 3600
    return header


def write_plane(path: Path, pixels: np.ndarray, header: fits.Header | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(pixels, header).writeto(path, overwrite=True)
    return path


def star(side: int = 5, off: tuple[float, float] = (0, 0), sigma: float = 0.8) -> np.ndarray:
    """A Gaussian PSF of sum 1, centred `off` (rows, columns) from the middle."""
    rows, columns = (np.exp(-(((np.arange(side) - (side - 1) / 2 - one) / sigma) ** 2) / 2) for one in off)
    stamp = np.outer(rows, columns)
    return (stamp / stamp.sum()).astype(np.float32)


def write_q1(path: Path, shape: tuple[int, int] = (30, 30), kind: str = "FLUX", **changes: np.ndarray | None) -> Path:
    """A Q1-like file at 1″ per pixel; `changes` replaces a band's pixels, ``None`` leaves the band out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus: list[fits.hdu.base.ExtensionHDU] = [fits.PrimaryHDU()]
    for seed, band in enumerate(("VIS", "Y", "J", "H")):
        pixels = changes.get(band, noise(seed, shape))
        name = "VIS" if band == "VIS" else f"NIR_{band}"
        if pixels is not None:
            header = sky_header(1.0, (shape[1] / 2 + 0.5, shape[0] / 2 + 0.5))
            header["MAGZERO"] = 24.6
            hdus.append(fits.ImageHDU(pixels, header, name=f"{name}_{kind}"))
            hdus.append(fits.ImageHDU(star(), name=f"{name}_PSF"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path
