"""Numbers of a cutout that need no finder: fluxes, colours, noise and its correlation, sharpness, concentration.

All are taken per band from native pixels. The noise is `mad_std` of evenly spaced pixels of large cutouts (its error
then stays near 2 %), the background what lies within 3 σ of the sky in the lowest rows, the middle a square a quarter
of the cutout wide, in which the lens and its arcs lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """A statistic: what it is in words, and whether it is in the unit of a pixel."""

    words: str
    of_pixels: bool = False


KINDS = {
    "total flux": Kind("flux of the whole cutout above the sky", of_pixels=True),
    "aperture flux": Kind("flux within a tenth of the cutout's width", of_pixels=True),
    "sky": Kind("level of the sky", of_pixels=True),
    "noise": Kind("noise of the background", of_pixels=True),
    "noise correlation 1": Kind("correlation of the noise of neighbouring pixels"),
    "noise correlation 2": Kind("correlation of the noise of pixels two apart"),
    "noise skewness": Kind("skewness of the background"),
    "bright fraction": Kind("fraction of pixels above 3 σ"),
    "peak": Kind("brightest pixel of the middle in σ"),
    "concentration": Kind("flux within a fortieth of the width over that within a tenth"),
    "sharpness": Kind("Laplacian of the middle over its contrast"),
    "asymmetry": Kind("middle less itself turned by 180° over its contrast"),
    "zero fraction": Kind("fraction of pixels that are exactly zero or not finite"),
}
"""Statistics of one band, by name. Colours of two bands are `COLOUR`."""

COLOUR = Kind("colour: ratio of the fluxes within a tenth of the width, in magnitudes")

_MOST = 5_000  # pixels that a median looks at
_GROUND = 10_000  # pixels, the lowest rows, in which the correlation and skewness of the noise are measured
_QUIET = 3.0  # sigmas

Statistics = dict[str, NDArray[np.float32]]


def band_statistics(images: Images) -> Statistics:
    """Every statistic of `KINDS` of one band's native images (n, h, w): float32 (n,); NaN where it does not exist.

    Pixels that are not finite count as sky. A constant image has no noise, so what is measured in σ is NaN.
    """
    images = np.asarray(images, np.float32)
    known = np.isfinite(images)
    empty = images == 0 if known.all() else (images == 0) | ~known
    images, sky, noise = _levels(images, known)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        light = (images - sky[:, None, None]) / noise[:, None, None]  # in σ
        ground = light[:, : max(3, -(-_GROUND // images.shape[2]))]
        quiet = np.where(np.abs(ground) < _QUIET, ground, np.float32(0))
        middle = _middle(light, 4)
        square = _mean(quiet, quiet)
        inner, outer = _within(middle, _side(images) / 40), _within(middle, _side(images) / 10)
        contrast = middle.std(axis=(1, 2))
        found = {
            "total flux": light.sum(axis=(1, 2)) * noise,
            "aperture flux": outer * noise,
            "sky": sky,
            "noise": noise,
            "noise correlation 1": _correlation(quiet, 1) / square,
            "noise correlation 2": _correlation(quiet, 2) / square,
            "noise skewness": np.einsum("nij,nij,nij->n", quiet, quiet, quiet) / quiet[0].size / square**1.5,
            "bright fraction": _fraction(light >= _QUIET),
            "peak": middle.max(axis=(1, 2)),
            "concentration": np.where(outer > 0, inner / outer, np.nan),
            "sharpness": _laplacian(middle).std(axis=(1, 2)) / contrast,
            "asymmetry": (middle - middle[:, ::-1, ::-1]).std(axis=(1, 2)) / contrast,
            "zero fraction": _fraction(empty),
        }
    return {name: _known(values) for name, values in found.items()}


def with_colours(bands: Mapping[str, Statistics]) -> Statistics:
    """Statistics of all bands as ``NAME BAND``, and the colours ``colour A−B`` of each band and the next."""
    found = {f"{name} {band}": values for band, one in bands.items() for name, values in one.items()}
    names = list(bands)
    for first, second in pairwise(names):
        blue, red = (bands[band]["aperture flux"] for band in (first, second))
        with np.errstate(divide="ignore", invalid="ignore"):
            colour = np.where((blue > 0) & (red > 0), -2.5 * np.log10(blue / red), np.nan)
        found[f"colour {first}−{second}"] = _known(colour)
    return found


def in_unit(found: Statistics, by: float) -> Statistics:
    """Statistics of one band where a pixel value is multiplied by `by`."""
    return {name: values * np.float32(by) if KINDS[name].of_pixels else values for name, values in found.items()}


def without_units(found: Statistics) -> Statistics:
    """Those that need no unit of a pixel: what is left where nobody knows that of both sets."""
    return {name: values for name, values in found.items() if not kind_of(name).of_pixels and not _is_colour(name)}


def kind_of(name: str) -> Kind:
    """What the statistic ``NAME BAND`` is."""
    return COLOUR if _is_colour(name) else KINDS[name.rpartition(" ")[0]]


def _is_colour(name: str) -> bool:
    return name.startswith("colour ")


def _levels(images: Images, known: NDArray[np.bool_]) -> tuple[Images, Images, Images]:
    """Images whose bad pixels are sky, and level and σ (n,) of the sky; σ is NaN where there is none."""
    step = max(1, round((images[0].size / _MOST) ** 0.5)) if len(images) else 1
    sky, noise = np.zeros(len(images), np.float32), np.zeros(len(images), np.float32)
    for row, (image, good) in enumerate(zip(images, known, strict=True)):
        some = image[::step, ::step].ravel() if good.all() else image[good]
        if len(some):
            sky[row] = _median(some)
            noise[row] = _median(np.abs(some - sky[row]))
    if not known.all():
        images = np.where(known, images, sky[:, None, None])
    sigma = np.where(noise > 0, np.float32(1.482602218505602) * noise, np.float32(np.nan))  # of `astropy.stats.mad_std`
    return images, sky, sigma


def _median(values: Images) -> float:
    """As `np.median`, without its checks: of few values they take most of the time."""
    half = len(values) // 2
    parted = np.partition(values, half)
    return float(parted[half]) if len(values) % 2 else float(parted[:half].max() + parted[half]) / 2


def _side(images: Images) -> int:
    return min(images.shape[1:])


def _middle(images: Images, part: int) -> Images:
    """Square in the middle, one `part` of the shorter side wide, 9 pixels at least."""
    side = min(_side(images), max(9, _side(images) // part))
    top, left = ((length - side) // 2 for length in images.shape[1:])
    return images[:, top : top + side, left : left + side]


def _within(middle: Images, radius: float) -> Images:
    """Sum (n,) over the pixels whose centre lies within `radius` pixels of the middle, 1.5 at least."""
    axis = np.arange(middle.shape[1]) - (middle.shape[1] - 1) / 2
    inside = (axis[:, None] ** 2 + axis[None, :] ** 2 <= max(radius, 1.5) ** 2).astype(np.float32)
    return np.asarray(np.einsum("nij,ij->n", middle, inside), np.float32)


def _mean(one: Images, other: Images) -> Images:
    return np.asarray(np.einsum("nij,nij->n", one, other) / one[0].size, np.float32)


def _correlation(quiet: Images, lag: int) -> Images:
    """Mean product (n,) of pixels `lag` apart along either axis."""
    down = _mean(quiet[:, lag:], quiet[:, :-lag])
    across = _mean(quiet[:, :, lag:], quiet[:, :, :-lag])
    return np.asarray((down + across) / 2, np.float32)


def _laplacian(images: Images) -> Images:
    inside = images[:, 1:-1, 1:-1]
    around = images[:, :-2, 1:-1] + images[:, 2:, 1:-1] + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    return np.asarray(around - 4 * inside)


def _fraction(which: NDArray[np.bool_]) -> Floats:
    """Of each image (n,); counting one after the other is quicker than a mean over axes."""
    return np.array([np.count_nonzero(one) / one.size for one in which])


def _known(values: NDArray[Any]) -> NDArray[np.float32]:
    """Float32 with NaN for what is not finite."""
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32)
