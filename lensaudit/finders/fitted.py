"""Scalings by figures that are fitted to the training set once and travel with the weights.

Figures of a finder are tensors by name, one entry per band along the first axis: ``mean`` (bands, size, size) and
``sigma`` (bands,) of Lanusse et al. 2018; ``low`` and ``high`` (bands,) of Forero Sanchez et al. 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from lensaudit.errors import DataError
from lensaudit.finders.resize import resized
from lensaudit.finders.stretch import NOISE_CLIP, STRETCHES

Figures = Mapping[str, torch.Tensor]

PERCENTILES = (0.25, 99.75)
FLOOR_SHARE = 0.7
LEAST_FLOOR = 1e-3
"""Floor of ``clip-log`` over v_max where v_min is not negative, as in images without noise."""

_MAD_TO_SIGMA = 1.4826
_MOST_PIXELS = 20_000_000
"""Pixels per band that percentiles and the noise are taken from: 80 MB, whatever the size of the set."""


def scaled(images: torch.Tensor, stretch: str, figures: Figures, band: int, out: torch.Tensor) -> None:
    """Scale native (n, h, w) images of one band by the fitted `figures`, resized, into `out` (n, size, size)."""
    if stretch == "noise":
        out.copy_(_over_noise(images, figures["mean"][band], figures["sigma"][band]))
    else:
        _clipped_log(resized(images, out.shape[-1]), figures["low"][band], figures["high"][band], out)


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


def fit_figures(
    stretch: str, bands: int, size: int, chunks: Iterable[list[np.ndarray]], images: int
) -> dict[str, torch.Tensor]:
    """Figures of `stretch` from the training images; nothing for a stretch that needs none.

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
