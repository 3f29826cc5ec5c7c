"""Stretches: what happens to the pixel values of a band before the finder sees them.

The names are what a recipe may say. A stretch acts on the native pixels (`Stretch.native`), the band is resized, and
then scaled: to [0, 1] by its own minimum and maximum, by a function of that (`Stretch.unit`), by figures fitted to
the training set (`lensaudit.finders.fitted`), or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

SQRT_CEILING = 10_000.0  # upper clip of the square-root stretch in the public notebook of Wilde et al. 2022
LOG_SCALE = 1000.0  # of log(1 + a x) / log(1 + a): SAOImage ds9's and astropy's usual one

Pixelwise = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Stretch:
    """One way to scale a band.

    Attributes
    ----------
    native
        Pixel-wise, non-decreasing function of native (n, h, w) images.
    unit
        Pixel-wise function of the resized image once it lies in [0, 1]; from [0, 1] to [0, 1].
    fitted
        Names of the figures it takes from the training set; with any, the image is not brought to [0, 1] by its own
        extremes.
    unscaled
        Whether the resized image stays in the units of its pixels.
    """

    native: Pixelwise
    unit: Pixelwise
    fitted: tuple[str, ...] = ()
    unscaled: bool = False


def _unchanged(images: torch.Tensor) -> torch.Tensor:
    return images


def _square_root(images: torch.Tensor) -> torch.Tensor:
    clipped = images.clamp(0.0, SQRT_CEILING)
    if clipped.device.type != "cpu" or clipped.requires_grad:
        return clipped.sqrt()
    pixels = clipped.numpy()
    np.sqrt(pixels, out=pixels)  # torch's took nine times as long: half the sky is clipped to 0, a slow value for it
    return clipped


def _log(images: torch.Tensor) -> torch.Tensor:
    return torch.log1p(LOG_SCALE * images) / math.log1p(LOG_SCALE)


STRETCHES: dict[str, Stretch] = {
    "minmax": Stretch(_unchanged, _unchanged),
    "sqrt-minmax": Stretch(_square_root, _unchanged),
    "log-minmax": Stretch(_unchanged, _log),
    "clip-log": Stretch(_unchanged, _unchanged, ("low", "high")),
    "noise": Stretch(_unchanged, _unchanged, ("mean", "sigma")),
    "native": Stretch(_unchanged, _unchanged, unscaled=True),
}
"""Name → stretch.

``minmax``
    Nothing: resize, then scale (Wilde et al. 2022, training sets; Cheng et al. 2020, linear).
``sqrt-minmax``
    Clip to [0, 10 000] counts and take the square root, then resize and scale: in the authors' notebook the stretch
    was part of making the compound images, so it acts before the resizing.
``log-minmax``
    Scale to [0, 1], then log(1 + 1000 x) / log(1001) (Forero Sanchez et al. 2019, the plain one; Cheng et al. 2020,
    logarithmic; neither says how the logarithm meets the negative pixels of the noise).
``clip-log``
    Forero Sanchez et al. 2019, "clip": with v_min and v_max the 0.25 % and 99.75 % percentiles of the band over the
    training set, clip to [−0.7 v_min, v_max], divide by v_max, take the logarithm, and scale that interval to [0, 1].
``noise``
    Lanusse et al. 2018: minus the mean image of the training set, over the noise σ of the band, clipped at ±250;
    masked pixels (NaN) are 0.
``native``
    Resize only: what an ensemble hands to its members, each of which has a stretch of its own.
"""


def usable(images: torch.Tensor, stretch: str) -> torch.Tensor:
    """Whether each (h, w) image of (n, h, w) can be scaled: finite everywhere, and not constant once stretched.

    Only the extremes are looked at: NaN and infinity reach them, and a stretch keeps their order. A stretch that
    masks (``noise``) needs half of the pixels.
    """
    if stretch == "noise":
        return _mostly_there(images)
    low, high = images.amin(dim=(-2, -1)), images.amax(dim=(-2, -1))  # ten times faster than aminmax on the CPU
    stretched = STRETCHES[stretch].native
    return torch.isfinite(low) & torch.isfinite(high) & (stretched(high) > stretched(low))


def _mostly_there(images: torch.Tensor) -> torch.Tensor:
    low, high = images.amin(dim=(-2, -1)), images.amax(dim=(-2, -1))
    if bool(torch.isfinite(low + high).all()):  # no pixel is masked
        return high > low
    there = torch.isfinite(images)
    low = torch.where(there, images, torch.inf).amin(dim=(-2, -1))
    high = torch.where(there, images, -torch.inf).amax(dim=(-2, -1))
    enough = there.float().mean(dim=(-2, -1)) >= 0.5
    return enough & (high > low) & ~torch.isinf(images).flatten(1).any(1)


def scale_to_unit(images: torch.Tensor, usable_images: torch.Tensor, out: torch.Tensor) -> None:
    """Scale each (h, w) image of (n, h, w) to [0, 1] by its own minimum and maximum, into `out`.

    One that is constant, or false in `usable_images` (n,), becomes NaN: never a zero that looks like an image.
    """
    low = images.amin(dim=(-2, -1), keepdim=True)
    span = images.amax(dim=(-2, -1), keepdim=True) - low
    span = torch.where(usable_images[:, None, None] & (span > 0), span, torch.nan)
    torch.sub(images, low, out=out).div_(span)
