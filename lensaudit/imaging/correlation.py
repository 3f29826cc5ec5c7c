"""How far the noise of a pixel is correlated with that of its neighbours, as a table that a band states.

A coadd is made of resampled exposures, so that neighbouring pixels share noise. `table[dy][dx]` is the correlation of
pixels ``dy`` rows and ``dx`` columns apart, the same on all four sides, 0 beyond the table.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Correlation = tuple[tuple[float, ...], ...]
"""Of the noise of pixels ``[dy][dx]`` rows and columns apart, 1 at [0][0]; empty: none."""
FARTHEST_LAG = 16  # rows, columns
LEAST_POWER = -1e-3  # of a mean of 1: tables are rounded
FINE = (128, 128)
"""Grid on which a power spectrum is looked at."""
PIXELS_PER_FWHM2 = 2.266
"""Pixels of the background that a Gaussian PSF's flux is measured against: 4 π σ² = 2.266 FWHM² (LSST's n_eff)."""


def quadrants(table: Correlation) -> list[tuple[int, int, float]]:
    """(rows, columns, correlation) of all lags on all four sides."""
    return [
        (down, right, value)
        for dy, row in enumerate(table)
        for dx, value in enumerate(row)
        for down in {dy, -dy}
        for right in {dx, -dx}
    ]


def spectrum_of(table: Correlation, torus: tuple[int, int]) -> NDArray[np.float64]:
    """Power spectrum of noise of that correlation on a torus (h, w): its mean is the variance, 1."""
    whole = np.zeros(torus)
    for down, right, value in quadrants(table):
        whole[down, right] += value
    return np.asarray(np.fft.fft2(whole).real)


@lru_cache(maxsize=64)
def check_correlation(table: Correlation) -> None:
    """Raise ValueError, in words, where no noise can have this correlation."""
    if not table:
        return
    if max(len(table), *map(len, table)) > FARTHEST_LAG or len({len(row) for row in table}) > 1 or not table[0]:
        raise ValueError(f"noise_correlation must be rows of equal length, at most {FARTHEST_LAG} of {FARTHEST_LAG}")
    if table[0][0] != 1 or not all(-1 <= value <= 1 for row in table for value in row):
        raise ValueError("noise_correlation must begin with 1, a pixel with itself, and lie between -1 and 1")
    least = float(spectrum_of(table, FINE).min())
    if least < LEAST_POWER:
        raise ValueError(
            f"no noise can have this noise_correlation: its power spectrum falls to {least:.3g}; give smaller "
            "correlations, or more of those of pixels farther apart"
        )


def noise_pixels(correlation: Correlation, fwhm: float, aperture: float | None = None) -> float:
    """Pixels of white noise that scatter as much as what a limiting magnitude is measured on.

    A point source is weighted by a Gaussian PSF, whose white noise is that of 4 π s² pixels; an aperture counts its
    pixels alike. Correlated noise scatters more in both: by the sum of the correlations, each weighted by how much of
    the weight overlaps itself that far away.

    Parameters
    ----------
    fwhm, aperture
        FWHM of the PSF, and the aperture's diameter where it is one, in pixels.
    """
    white = PIXELS_PER_FWHM2 * fwhm**2 if aperture is None else math.pi * (aperture / 2) ** 2
    if not correlation:
        return white
    total = 0.0
    for dy, dx, value in quadrants(correlation):
        apart = math.hypot(dy, dx)
        total += value * (_of_gaussians(apart, fwhm) if aperture is None else _of_circles(apart, aperture / 2))
    return white * max(total, 0.0)


def _of_gaussians(apart: float, fwhm: float) -> float:
    return math.exp(-(apart**2) * 8 * math.log(2) / fwhm**2 / 4)


def _of_circles(apart: float, radius: float) -> float:
    """Fraction of a circle that overlaps the same circle `apart` away."""
    half = apart / 2 / radius
    return 0.0 if half >= 1 else (2 * math.acos(half) - 2 * half * math.sqrt(1 - half**2)) / math.pi
