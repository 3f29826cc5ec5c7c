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

SQRT_CEILING = 10_000.0  # in counts: upper limit of the square root in the public notebook of Wilde et al. 2022
LOG_SCALE = 1000.0  # of log(1 + a x) / log(1 + a): SAOImage ds9's and astropy's usual one

Pixelwise = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Limits:
    """Values at which a stretch clips, and which fractions of the pixels of an ordinary set lie beyond them.

    Attributes
    ----------
    low, high
        Of native pixels, or with `of_output` of the stretched ones; infinite for none.
    ordinary_below
        Least and largest fraction below `low` that is ordinary.
    ordinary_above
        Largest ordinary fraction above `high`.
    of_output
        Whether the limits are those of the stretched image.
    """

    low: float
    high: float
    ordinary_below: tuple[float, float]
    ordinary_above: float
    of_output: bool = False


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
    limits
        Where it clips; None for nowhere.
    """

    native: Pixelwise
    unit: Pixelwise
    fitted: tuple[str, ...] = ()
    unscaled: bool = False
    limits: Limits | None = None

    @property
    def in_pixel_units(self) -> bool:
        """Whether it holds a number in the unit of a pixel: fitted statistics, or a fixed limit other than 0."""
        fixed = self.limits is not None and not self.limits.of_output and math.isfinite(self.limits.high)
        return bool(self.fitted) or fixed


def _unchanged(images: torch.Tensor) -> torch.Tensor:
    return images


def _square_root(images: torch.Tensor) -> torch.Tensor:
    return _rooted(images.clamp(min=0.0))


def _square_root_to_ceiling(images: torch.Tensor) -> torch.Tensor:
    return _rooted(images.clamp(0.0, SQRT_CEILING))


def _rooted(clipped: torch.Tensor) -> torch.Tensor:
    """Square root in place, where nothing else sees it."""
    if clipped.device.type != "cpu" or clipped.requires_grad:
        return clipped.sqrt()
    pixels = clipped.numpy()
    np.sqrt(pixels, out=pixels)  # torch's took nine times as long: half the sky is clipped to 0, a slow value for it
    return clipped


def _log(images: torch.Tensor) -> torch.Tensor:
    return torch.log1p(LOG_SCALE * images) / math.log1p(LOG_SCALE)


# Noise around a subtracted sky is negative in half of the pixels that hold no galaxy: .30 to .40 of our simulated
# Euclid sets. At .17 or .64, where the sky is off by .3 % of an image's range, ou66 loses .05 of its AUROC.
SKY_BELOW_ZERO = (0.20, 0.55)
NOISE_CLIP = 250.0

STRETCHES: dict[str, Stretch] = {
    "minmax": Stretch(_unchanged, _unchanged),
    "sqrt": Stretch(_square_root, _unchanged, limits=Limits(0.0, math.inf, SKY_BELOW_ZERO, 0.0)),
    "sqrt-minmax": Stretch(
        _square_root_to_ceiling, _unchanged, limits=Limits(0.0, SQRT_CEILING, SKY_BELOW_ZERO, 0.001)
    ),
    "log-minmax": Stretch(_unchanged, _log),
    # its floor lies about 2 σ above the sky, its ceiling is passed by .0025 of the training pixels
    "clip-log": Stretch(
        _unchanged, _unchanged, ("low", "high"), limits=Limits(0.0, 1.0, (0.30, 0.99), 0.02, of_output=True)
    ),
    "noise": Stretch(
        _unchanged,
        _unchanged,
        ("mean", "sigma"),
        limits=Limits(-NOISE_CLIP, NOISE_CLIP, (0.0, 0.001), 0.001, of_output=True),
    ),
    "native": Stretch(_unchanged, _unchanged, unscaled=True),
}
"""Name → stretch.

``minmax``
    Nothing: resize, then scale (Wilde et al. 2022, training sets; Cheng et al. 2020, linear).
``sqrt``
    Square root of the native pixels, negative ones counted as 0, then resize and scale: in the notebook of Wilde et
    al. 2022 the stretch was part of making the compound images, so it acts before the resizing. Scaling removes any
    factor, so that the unit of a pixel does not matter; the sky level does.
``sqrt-minmax``
    The same with the notebook's upper limit of 10 000 counts, which is in the unit of a pixel. For finders of earlier
    versions, and for those trained on images that reach it; where no pixel does, it is ``sqrt`` bit for bit.
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
