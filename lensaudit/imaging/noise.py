"""Noise of a band: white, or correlated from pixel to pixel as the band states; and that of a real sky measured.

Correlated noise is drawn exactly: white noise on a torus larger than the image by the table's reach, filtered by the
square root of the correlation's power spectrum (circulant embedding).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lensaudit.imaging.band import Band
from lensaudit.imaging.correlation import FINE, LEAST_POWER, Correlation, spectrum_of

Array = NDArray[np.float64]
MOST_LAG = 4
"""Pixels apart that `measured_correlation` looks at most."""
LEAST_CORRELATION = 0.02
LEAST_PIXELS = 2000
SIGNIFICANT = 4.0  # standard errors
OUTLIER = 4.0  # sigmas: of white noise one pixel in 16 000


def unit_noise(
    seed: int, band_index: int, shape: tuple[int, int], correlation: Correlation = ()
) -> NDArray[np.float32]:
    """Field of one band of a scene, of mean 0 and variance 1; white, or correlated as stated.

    Whatever the correlation, it depends on seed, band and shape alone.
    """
    rng = np.random.default_rng([seed, band_index])
    if not correlation:
        return rng.standard_normal(shape, dtype=np.float32)
    root = _root(correlation, shape)
    torus = _torus(correlation, shape)
    field = fft.irfft2(fft.rfft2(rng.standard_normal(torus)) * root, torus)
    return np.asarray(field[: shape[0], : shape[1]], dtype=np.float32)


def _torus(correlation: Correlation, shape: tuple[int, int]) -> tuple[int, int]:
    """So large that no two pixels of the image are nearer around it than across."""
    down, right = len(correlation) - 1, len(correlation[0]) - 1
    return fft.next_fast_len(shape[0] + down, real=True), fft.next_fast_len(shape[1] + right, real=True)


@lru_cache(maxsize=32)
def _root(correlation: Correlation, shape: tuple[int, int]) -> Array:
    """Square root of the power spectrum, scaled so that the variance is 1 to rounding."""
    torus = _torus(correlation, shape)
    power = np.maximum(spectrum_of(correlation, torus), 0.0)
    return np.sqrt(power[:, : torus[1] // 2 + 1] / power.mean())


def add_noise(
    noiseless: NDArray[np.float32], unit: NDArray[np.float32], band: Band, background_scale: float = 1.0
) -> NDArray[np.float32]:
    """Add background noise, times `background_scale`, and, where the band knows it, photon noise to an image."""
    background, electrons = (background_scale * band.background_sigma) ** 2, band.shot_electrons_per_unit
    photons = 0.0 if electrons is None else np.maximum(noiseless, 0.0) / electrons
    variance = np.asarray(background + photons, dtype=np.float32)
    return np.asarray(noiseless + unit * np.sqrt(variance, dtype=np.float32), dtype=np.float32)


@dataclass(frozen=True)
class Measured:
    """Correlation of a sky's noise, as `measured_correlation` finds it.

    Attributes
    ----------
    correlation
        As a band states it; empty where the noise is white within its error.
    error
        Standard error of one lag.
    wide
        Correlation a few pixels beyond `MOST_LAG`, taken off: light of faint galaxies, and of the sky's subtraction.
    pixels
        Of sky that were looked at.
    """

    correlation: Correlation
    error: float
    wide: float
    pixels: int


def measured_correlation(images: Iterable[NDArray[np.floating]], sky: NDArray[np.bool_]) -> Measured:
    """How far the noise of neighbouring pixels of the sky is correlated.

    The half of the images (h, w) that scatter least are looked at, so that galaxies weigh little: less their median, in
    units of their scatter, without what lies beyond 4 σ and the pixels around it. What is correlated still farther
    apart than the table reaches is taken off. Lags below four standard errors, or 0.02, count as none.

    Parameters
    ----------
    sky
        Which pixels (h, w) may hold sky.
    """
    height, width = sky.shape
    reach = MOST_LAG + 3
    torus = fft.next_fast_len(height + reach, real=True), fft.next_fast_len(width + reach, real=True)
    products, pairs = np.zeros(torus), np.zeros(torus)
    images = list(images)
    scatter = [_scatter(image, sky) for image in images]
    for image, sigma in zip(images, scatter, strict=True):
        if not 0 < sigma <= np.median(scatter):
            continue
        values, good = _in_sigmas(np.asarray(image, np.float64), sky, sigma)
        for total, part in ((products, values), (pairs, good.astype(np.float64))):
            total += fft.irfft2(np.abs(fft.rfft2(part, torus)) ** 2, torus)
    n = round(float(pairs[0, 0]))
    if n < LEAST_PIXELS or products[0, 0] <= 0:
        return Measured((), math.inf, math.nan, n)
    found = np.divide(products, pairs, out=np.zeros(torus), where=pairs > 0.5) / (products[0, 0] / pairs[0, 0])
    folded = (found[: reach + 1, : reach + 1] + np.roll(found[:, ::-1], 1, 1)[: reach + 1, : reach + 1]) / 2
    far = np.maximum.outer(np.arange(reach + 1), np.arange(reach + 1))
    wide = float(folded[far > MOST_LAG + 1].mean())
    near = (folded[: MOST_LAG + 1, : MOST_LAG + 1] - wide) / (1 - wide)
    error = math.sqrt(sum(4 * value**2 for value in near.ravel()) / n)
    near[np.abs(near) < max(SIGNIFICANT * error, LEAST_CORRELATION)] = 0.0
    near[0, 0] = 1.0
    return Measured(_drawable(near), error, wide, n)


def _scatter(image: NDArray[np.floating], sky: NDArray[np.bool_]) -> float:
    from astropy.stats import mad_std

    values = image[sky & np.isfinite(image)]
    return float(mad_std(values)) if values.size else 0.0


def _in_sigmas(image: Array, sky: NDArray[np.bool_], sigma: float) -> tuple[Array, NDArray[np.bool_]]:
    """Sky less its mean over its scatter, 0 where it is none, and where it is one."""
    from scipy.ndimage import binary_dilation

    good = sky & np.isfinite(image)
    light = np.where(good, (image - np.median(image[good])) / sigma, 0.0)
    good &= ~binary_dilation(np.abs(light) > OUTLIER, np.ones((5, 5), bool))
    values = np.where(good, light, 0.0)
    if good.any():
        values[good] -= values[good].mean()
    return values, good


def _drawable(table: Array) -> Correlation:
    """The nearest table that some noise can have: its power spectrum is nowhere negative.

    What is measured lag by lag need not be: negative power is cut off and the lags beyond the table with it, in turn,
    and what is left of it is lifted.
    """
    last = [int(np.flatnonzero(np.any(table != 0, axis=axis)).max()) + 1 for axis in (1, 0)]
    table = table[: last[0], : last[1]]
    if table.size == 1:
        return ()
    for _ in range(100):
        power = spectrum_of(_rows(table), FINE)
        if power.min() >= 0:
            break
        back = fft.ifft2(np.maximum(power, 0.0)).real
        table = back[: table.shape[0], : table.shape[1]] / back[0, 0]
    for smaller in np.linspace(1.0, 0.5, 101):  # it is written with three digits
        near = np.round(table * smaller, 3)
        near[0, 0] = 1.0
        if spectrum_of(_rows(near), FINE).min() >= LEAST_POWER:
            return _rows(near)
    return ()


def _rows(table: Array) -> Correlation:
    return tuple(tuple(float(value) for value in row) for row in table)
