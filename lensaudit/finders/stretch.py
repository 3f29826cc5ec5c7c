"""Stretches: what happens to the pixel values of a band before the finder sees them.

Each acts on the native pixels; the resized band is then always brought to [0, 1] by its own minimum and maximum.
The names are what a recipe may say. A stretch never decreases with the pixel value.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

SQRT_CEILING = 10_000.0  # upper clip of the square-root stretch in the public notebook of Wilde et al. 2022


def _unchanged(images: torch.Tensor) -> torch.Tensor:
    return images


def _square_root(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(0.0, SQRT_CEILING).sqrt()


STRETCHES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "minmax": _unchanged,
    "sqrt-minmax": _square_root,
}
"""Name → pixel-wise, non-decreasing function of native (n, h, w) images.

``minmax``
    Nothing: resize, then scale (Wilde et al. 2022, training sets).
``sqrt-minmax``
    Clip to [0, 10 000] counts and take the square root, then resize and scale: in the authors' notebook the stretch
    was part of making the compound images, so it acts before the resizing.
"""


def usable(images: torch.Tensor, stretch: str) -> torch.Tensor:
    """Whether each (h, w) image of (n, h, w) can be scaled: finite everywhere, and not constant once stretched.

    Only the extremes are looked at: NaN and infinity reach them, and a stretch keeps their order.
    """
    low, high = images.amin(dim=(-2, -1)), images.amax(dim=(-2, -1))  # ten times faster than aminmax on the CPU
    stretched = STRETCHES[stretch]
    return torch.isfinite(low) & torch.isfinite(high) & (stretched(high) > stretched(low))


def scale_to_unit(images: torch.Tensor, usable_images: torch.Tensor, out: torch.Tensor) -> None:
    """Scale each (h, w) image of (n, h, w) to [0, 1] by its own minimum and maximum, into `out`.

    One that is constant, or false in `usable_images` (n,), becomes NaN: never a zero that looks like an image.
    """
    low = images.amin(dim=(-2, -1), keepdim=True)
    span = images.amax(dim=(-2, -1), keepdim=True) - low
    span = torch.where(usable_images[:, None, None] & (span > 0), span, torch.nan)
    torch.sub(images, low, out=out).div_(span)
