"""NISP cutouts in colour, as in Wilde et al. 2022: red, green, blue = H, J, Y."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError

NISP_RGB = ("H", "J", "Y")
"""Bands shown as red, green and blue."""

SOFTENING = 5.0
"""Sky sigmas over which the stretch turns from linear to logarithmic: quiet noise, and both arcs and cores are seen."""

LEAST_RANGE = 20.0
"""Sky sigmas that white lies above black at least, so that an empty field stays dark."""


@dataclass(frozen=True)
class ColourScale:
    """What is black and what is white, of each of the bands H, J, Y: pictures with one scale can be compared.

    Attributes
    ----------
    sky, sigma
        Level and noise of the sky, in the images' units.
    top
        Intensity, the mean of the three bands in sigmas above the sky, that is shown as white.
    """

    sky: tuple[float, float, float]
    sigma: tuple[float, float, float]
    top: float


def colour_scale(cutout: Mapping[str, np.ndarray]) -> ColourScale:
    """Scale of one cutout: sky and sigma are the median and the 16 to 50 % range, white the 99.7 % percentile.

    Parameters
    ----------
    cutout
        Band → image (h, w), H, J and Y among them, in the same pixels; others are ignored, and so are pixels that are
        not finite. A constant band is all sky.

    Raises
    ------
    DataError
        One of the three is missing, or their shapes differ.
    """
    planes = _planes(cutout)
    levels = [_sky(plane) for plane in planes]
    signal = [(plane - sky) / sigma for plane, (sky, sigma) in zip(planes, levels, strict=True)]
    intensity = np.mean(signal, axis=0)
    finite = intensity[np.isfinite(intensity)]
    high = float(np.percentile(finite, 99.7)) if finite.size else 0.0
    skies, sigmas = zip(*levels, strict=True)
    return ColourScale(skies, sigmas, max(high, LEAST_RANGE))


def nisp_rgb(cutout: Mapping[str, np.ndarray], scale: ColourScale | None = None) -> NDArray[np.float64]:
    """Colour picture of a cutout, R, G, B = H, J, Y: float64 (h, w, 3) in [0, 1], rows as in the images.

    Each band is taken in sigmas of its own sky; an asinh of the mean intensity keeps the colour of bright and faint
    pixels alike (Lupton et al. 2004, by astropy). Draw it with ``origin="lower"``.

    Parameters
    ----------
    cutout
        Band → image (h, w), H, J and Y among them, in the same pixels and any unit. Pixels that are not finite are
        black.
    scale
        By default the cutout's own, see `colour_scale`; give that of another to show both alike, as a cutout before
        and after a change.

    Raises
    ------
    DataError
        One of the three is missing, or their shapes differ.
    """
    from astropy.visualization import AsinhStretch, ManualInterval, make_lupton_rgb

    planes = _planes(cutout)
    scale = colour_scale(cutout) if scale is None else scale
    signal = [(p - sky) / sigma / scale.top for p, sky, sigma in zip(planes, scale.sky, scale.sigma, strict=True)]
    known = np.isfinite(signal).all(axis=0)
    signal = [np.where(known, plane, 0.0) for plane in signal]
    stretch = AsinhStretch(min(SOFTENING / scale.top, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):  # astropy divides by an intensity of 0, then discards it
        return make_lupton_rgb(
            *signal, interval=ManualInterval(0.0, 1.0), stretch_object=stretch, output_dtype=np.float64
        )


def has_colour(bands: tuple[str, ...]) -> bool:
    """Whether H, J and Y are all among `bands`."""
    return all(band in bands for band in NISP_RGB)


def _planes(cutout: Mapping[str, np.ndarray]) -> list[NDArray[np.float64]]:
    missing = [band for band in NISP_RGB if band not in cutout]
    if missing:
        raise DataError(f"a colour picture needs bands H, J and Y, the cutout has {', '.join(cutout)}; add them")
    planes = [np.asarray(cutout[band], dtype=np.float64) for band in NISP_RGB]
    if planes[0].ndim != 2 or any(plane.shape != planes[0].shape for plane in planes):
        shapes = ", ".join(f"{band} {plane.shape}" for band, plane in zip(NISP_RGB, planes, strict=True))
        raise DataError(f"a colour picture needs H, J and Y of one image in the same pixels, not {shapes}")
    return planes


def _sky(plane: NDArray[np.float64]) -> tuple[float, float]:
    """Level and noise, robust while objects fill less than half of the cutout."""
    finite = plane[np.isfinite(plane)]
    if not finite.size:
        return 0.0, 1.0
    faint, median = np.percentile(finite, [15.87, 50])
    spread = float(finite.max() - median)
    sigma = max(float(median - faint), 1e-6 * spread)
    return float(median), sigma if sigma > 0 else 1.0
