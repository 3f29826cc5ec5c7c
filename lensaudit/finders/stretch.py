"""From native cutouts to a finder's input: resizing, stretches, and the statistics some take from the training set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from lensaudit.errors import DataError

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
        Names of the statistics it takes from the training set; with any, the image is not brought to [0, 1] by its own
        extremes.
    unscaled
        Whether the resized image stays in the units of its pixels.
    together
        Whether all bands are brought to [0, 1] by the extremes of all of them, instead of each by its own.
    limits
        Where it clips; None for nowhere.
    """

    native: Pixelwise
    unit: Pixelwise
    fitted: tuple[str, ...] = ()
    unscaled: bool = False
    together: bool = False
    limits: Limits | None = None

    @property
    def in_pixel_units(self) -> bool:
        """Whether it holds a number in the unit of a pixel: fitted statistics, or a fixed limit other than 0."""
        fixed = self.limits is not None and not self.limits.of_output and math.isfinite(self.limits.high)
        return bool(self.fitted) or fixed

    def join(self, images: torch.Tensor) -> None:
        """Scale (n, bands, h, w) by the extremes of all bands, in place, if they go together; NaN where a band is."""
        if self.together:
            low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
            images.sub_(low).div_(high - low)


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
_NOTEBOOK = Limits(0.0, SQRT_CEILING, SKY_BELOW_ZERO, 0.001)
NOISE_CLIP = 250.0

DECLARED = "declared"
"""Of a recipe whose preprocessing is a list of steps, see `lensaudit.finders.preprocessing`."""

STRETCHES: dict[str, Stretch] = {
    "minmax": Stretch(_unchanged, _unchanged),
    "sqrt": Stretch(_square_root, _unchanged, limits=Limits(0.0, math.inf, SKY_BELOW_ZERO, 0.0)),
    "sqrt-minmax": Stretch(_square_root_to_ceiling, _unchanged, limits=_NOTEBOOK),
    "sqrt-together": Stretch(_square_root_to_ceiling, _unchanged, together=True, limits=_NOTEBOOK),
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
    DECLARED: Stretch(_unchanged, _unchanged, unscaled=True),
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
``sqrt-together``
    The same root and limit, then all bands scaled by their common minimum and maximum: the reading of the paper that
    its recall on compound lenses agrees with better (docs/compound-population.md).
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

NAMED = tuple(name for name in STRETCHES if name != DECLARED)
"""What a user may say."""


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


def why_constant(image: torch.Tensor, stretch: str) -> str:
    """Why nothing is left of finite pixels once they are stretched."""
    limits = STRETCHES[stretch].limits
    low, high = float(image.min()), float(image.max())
    if low == high or limits is None:
        return "is constant"
    if limits.of_output:
        return f"has no pixel between the limits of stretch {stretch}: its unit is another, or its sky"
    if high <= limits.low:
        return f"has no pixel above {limits.low:g} (the largest is {high:.4g}): stretch {stretch} clips all of them"
    return f"has no pixel below {limits.high:g} (the smallest is {low:.4g}): stretch {stretch} clips all of them"


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


_BLOCKS = {"shrink": 16, "grow": 32}
"""Rows of a matrix multiplied at once: 66 from 200 pixels took half the time of the whole matrix, 200 from 66 too."""
_TRUNCATE = 4.0  # scipy.ndimage.gaussian_filter ends its kernel after so many standard deviations


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """Resize (n, h, w) images to (n, size, size), equal to scikit-image's ``resize`` within 1e-6 of the peak."""
    height, width = images.shape[-2:]
    if height != size:  # rows first: their long, contiguous lines suit the matrix product
        parts = [block.weights @ images[..., block.pixels, :] for block in _blocks(height, size, images.device)]
        images = torch.cat(parts, dim=-2)
    if width != size:
        parts = [images[..., block.pixels] @ block.weights.T for block in _blocks(width, size, images.device)]
        images = torch.cat(parts, dim=-1)
    return images


@dataclass(frozen=True)
class _Block:
    """Some consecutive rows of a resize matrix, cut to the native pixels that they use."""

    pixels: slice
    weights: torch.Tensor


@lru_cache(maxsize=64)
def _blocks(native: int, size: int, device: torch.device) -> tuple[_Block, ...]:
    """The matrix is a band about its diagonal: in blocks most of its zeros are never multiplied."""
    matrix = resize_matrix(native, size).astype(np.float32)
    blocks = []
    block = _BLOCKS["grow" if size > native else "shrink"]
    for first in range(0, size, block):
        rows = matrix[first : first + block]
        used = np.flatnonzero(rows.any(axis=0))
        pixels = slice(int(used[0]), int(used[-1]) + 1)
        with torch.inference_mode(False):  # what is kept must serve gradients later, too
            blocks.append(_Block(pixels, torch.from_numpy(np.ascontiguousarray(rows[:, pixels])).to(device)))
    return tuple(blocks)


def resize_matrix(native: int, size: int) -> np.ndarray:
    """Weights (size, native), float64, that take one axis of `native` pixels to `size` pixels."""
    interpolation = _interpolation(native, size)
    sigma = max(0.0, (native / size - 1) / 2)
    return interpolation @ _gaussian(native, sigma) if sigma > 0 else interpolation


def _interpolation(native: int, size: int) -> np.ndarray:
    """Linear interpolation at the centres of the new pixels; beyond the edge the image is mirrored."""
    centres = (np.arange(size) + 0.5) * native / size - 0.5
    left = np.floor(centres).astype(int)
    weight = centres - left
    matrix = np.zeros((size, native))
    rows = np.arange(size)
    np.add.at(matrix, (rows, _mirrored(left, native)), 1 - weight)
    np.add.at(matrix, (rows, _mirrored(left + 1, native)), weight)
    return matrix


def _gaussian(native: int, sigma: float) -> np.ndarray:
    """Gaussian filter of `sigma` pixels as a (native, native) matrix; beyond the edge the image is mirrored."""
    radius = int(_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((native, native))
    for offset, weight in zip(offsets, weights, strict=True):
        rows = np.arange(native)
        np.add.at(matrix, (rows, _mirrored(rows + offset, native)), weight)
    return matrix


def _mirrored(index: np.ndarray, n: int) -> np.ndarray:
    """Reflect indices at the centres of the first and last pixel: (c b | a b c | b a)."""
    if n == 1:
        return np.zeros_like(index)
    folded = np.abs(index) % (2 * (n - 1))
    return np.where(folded < n, folded, 2 * (n - 1) - folded)


Statistics = Mapping[str, torch.Tensor]

PERCENTILES = (0.25, 99.75)
FLOOR_SHARE = 0.7
LEAST_FLOOR = 1e-3
"""Floor of ``clip-log`` over v_max where v_min is not negative, as in images without noise."""

_MAD_TO_SIGMA = 1.4826
_MOST_PIXELS = 20_000_000
"""Pixels per band that percentiles and the noise are taken from: 80 MB, whatever the size of the set."""


def scaled(images: torch.Tensor, stretch: str, statistics: Statistics, band: int, out: torch.Tensor) -> None:
    """Scale native (n, h, w) images of one band by the fitted `statistics`, resized, into `out` (n, size, size)."""
    if stretch == "noise":
        out.copy_(_over_noise(images, statistics["mean"][band], statistics["sigma"][band]))
    else:
        _clipped_log(resized(images, out.shape[-1]), statistics["low"][band], statistics["high"][band], out)


def _over_noise(images: torch.Tensor, mean: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    size = mean.shape[-1]
    if bool(torch.isfinite(images.sum())):  # so is every pixel
        return (resized(images, size) - mean).div_(sigma).clamp_(-NOISE_CLIP, NOISE_CLIP)
    there = torch.isfinite(images)
    over = (resized(torch.where(there, images, 0.0), size) - mean).div_(sigma).clamp_(-NOISE_CLIP, NOISE_CLIP)
    return torch.where(resized((~there).float(), size) > 1e-3, 0.0, over)


def _clipped_log(images: torch.Tensor, low: torch.Tensor, high: torch.Tensor, out: torch.Tensor) -> None:
    floor = torch.clamp(-FLOOR_SHARE * low, min=LEAST_FLOOR * high)
    first, last = _log_in_place(torch.stack([floor, high]))  # by the same code, so that the ends are 0 and 1 exactly
    _log_in_place(torch.clamp(images, floor, high, out=out)).sub_(first).div_(last - first)


def _log_in_place(values: torch.Tensor) -> torch.Tensor:
    if values.device.type != "cpu":
        return values.log_()
    numbers = values.numpy()
    np.log(numbers, out=numbers)  # torch's took 2.7 times as long
    return values


def fit_statistics(
    stretch: str, bands: int, size: int, chunks: Iterable[list[np.ndarray]], images: int
) -> dict[str, torch.Tensor]:
    """Statistics of `stretch` from the training images; nothing for a stretch that needs none.

    Parameters
    ----------
    bands, size
        Of the finder.
    chunks
        Native images of every band, (m, h, w) each, some images at a time; read once.
    images
        How many there are in all.

    Raises
    ------
    DataError
        A band has no spread, or no light above its noise.
    """
    if not STRETCHES[stretch].fitted:
        return {}
    total = torch.zeros(bands, size, size, dtype=torch.float64)
    count = torch.zeros(bands, size, size, dtype=torch.float64)
    kept: list[list[np.ndarray]] = [[] for _ in range(bands)]
    for chunk in chunks:
        for band, native in enumerate(chunk):
            every = max(1, -(-images * native[0].size // _MOST_PIXELS))
            kept[band].append(np.array(native[::every], np.float32))  # a copy: a view would keep the whole chunk
            values = torch.from_numpy(np.ascontiguousarray(native, dtype=np.float32))
            there = torch.isfinite(values)
            total[band] += resized(torch.where(there, values, 0.0), size).double().sum(0)
            count[band] += resized(there.float(), size).double().sum(0)
    mean = (total / count.clamp(min=1)).float()
    if stretch == "noise":
        return {"mean": mean, "sigma": torch.stack([_noise(kept[band], mean[band]) for band in range(bands)])}
    limits = [_limits(np.concatenate([part.ravel() for part in kept[band]])) for band in range(bands)]
    return {"low": torch.tensor([low for low, _ in limits]), "high": torch.tensor([high for _, high in limits])}


def _noise(parts: list[np.ndarray], mean: torch.Tensor) -> torch.Tensor:
    """Noise σ of a band: 1.4826 times the median deviation of what the mean image leaves, over all unmasked pixels."""
    native = torch.from_numpy(np.concatenate(parts))
    size = mean.shape[-1]
    there = resized(torch.isfinite(native).float(), size) > 1 - 1e-3
    left = (resized(torch.nan_to_num(native), size) - mean)[there].numpy()
    sigma = _MAD_TO_SIGMA * float(np.median(np.abs(left - np.median(left)))) if left.size else 0.0
    if not sigma > 0:
        raise DataError("the training images do not differ from their mean, so that they have no noise; give others")
    return torch.tensor(sigma)


def _limits(pixels: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(pixels[np.isfinite(pixels)], PERCENTILES))
    if not high > max(0.0, -FLOOR_SHARE * low):
        raise DataError(
            f"the training images' 99.75 % percentile ({high:.3g}) does not rise above their noise ({-low:.3g}), so "
            f"that clip-log leaves nothing; train with another stretch"
        )
    return low, high
