"""From an image to a cutout: centre crop, masked and NaN pixels, and what no cutout may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError


@dataclass(frozen=True)
class Crop:
    """First row and column (from 0) and the shape of the part that is kept."""

    row: int
    column: int
    shape: tuple[int, int]


def centre_crop(shape: tuple[int, int], size: int | None, where: str, pixel_scale_arcsec: float) -> Crop:
    """The central `size` × `size` pixels of an image; ``None`` keeps all.

    Raises
    ------
    DataError
        The image is smaller than that; the message begins with `where`.
    """
    if size is None:
        return Crop(0, 0, shape)
    if min(shape) < size:
        largest = min(shape) * pixel_scale_arcsec
        raise DataError(
            f"{where}: {shape[0]}×{shape[1]} pixels are too small, {size}×{size} are needed; "
            f"give --size-arcsec {largest:g} or less, or leave the file out"
        )
    return Crop((shape[0] - size) // 2, (shape[1] - size) // 2, (size, size))


def cut(pixels: NDArray[np.float32], crop: Crop) -> NDArray[np.float32]:
    """The part of `pixels` that `crop` keeps, as a copy."""
    rows, columns = crop.shape
    return pixels[crop.row : crop.row + rows, crop.column : crop.column + columns].copy()


def filled(
    pixels: NDArray[np.float32], bad: NDArray[np.bool_], policy: str, where: str, what: str
) -> NDArray[np.float32]:
    """`pixels` with the `bad` ones set as `policy` says.

    Raises
    ------
    DataError
        All pixels are bad, or some are and the policy is ``fail``.
    """
    n_bad = int(bad.sum())
    if n_bad == 0:
        return pixels
    if n_bad == bad.size:
        raise DataError(f"{where}: all {bad.size} pixels are {what}; leave the system out (or give --skip-bad)")
    if policy == "fail":
        option = "--nan" if what == "NaN" else "--masked"
        raise DataError(f"{where}: {n_bad} of {bad.size} pixels are {what}; choose {option} zero or {option} median")
    if policy == "keep":
        return np.where(bad, np.float32(np.nan), pixels)
    value = np.float32(0) if policy == "zero" else np.median(pixels[~bad])
    return np.where(bad, value, pixels).astype(np.float32)


def refuse_constant(pixels: NDArray[np.float32], good: NDArray[np.bool_], where: str) -> None:
    """Raise DataError where the `good` pixels all have one value: there is no image in such a band."""
    values = pixels[good]
    if values.size == 0 or values.min() == values.max():
        shown = f" ({values[0]:g})" if values.size else ""
        raise DataError(f"{where}: all pixels have the same value{shown}; leave the system out (or give --skip-bad)")
