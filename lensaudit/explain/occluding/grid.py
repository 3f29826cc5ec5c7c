"""The positions of an occluding patch: where it stands, and how its effects become a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lensaudit.errors import UsageError


@dataclass(frozen=True)
class Grid:
    """Square patches of `patch` pixels every `stride` pixels on an image of `size` × `size` pixels.

    Patches start at 0, stride, 2·stride, … and every pixel is covered: where they do not tile the image, the last one
    of a row or column is cut off at the edge, as in captum's ``Occlusion``.

    Raises
    ------
    UsageError
        The patch is empty or larger than the image, or the stride is 0 or leaves gaps between patches.
    """

    size: int
    patch: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.patch <= self.size:
            raise UsageError(f"patch {self.patch} does not fit; choose 1 to {self.size}, the finder's size in pixels")
        if self.stride < 1:
            raise UsageError(f"stride {self.stride} is not possible; choose 1 to the patch of {self.patch} pixels")
        if self.stride > self.patch and self.patch < self.size:
            raise UsageError(
                f"stride {self.stride} is larger than the patch of {self.patch} pixels, so pixels between patches"
                f" would never be occluded; choose a stride of 1 to {self.patch}"
            )

    @property
    def n(self) -> int:
        """Positions along one axis; there are n² in all."""
        return -(-(self.size - self.patch) // self.stride) + 1

    @property
    def starts(self) -> np.ndarray:
        """First occluded pixel of each position along one axis, int64 (n,)."""
        return np.arange(self.n, dtype=np.int64) * self.stride

    @property
    def stops(self) -> np.ndarray:
        """One beyond the last occluded pixel of each position along one axis, int64 (n,)."""
        return np.minimum(self.starts + self.patch, self.size)

    @property
    def tiles(self) -> bool:
        """Whether no patch is cut off at the edge."""
        return (self.size - self.patch) % self.stride == 0

    def spread(self, effects: np.ndarray) -> np.ndarray:
        """Pixel map (size, size) of `effects` (n, n): each pixel takes the mean over the patches that cover it."""
        pixels = np.arange(self.size)
        covers = ((pixels >= self.starts[:, None]) & (pixels < self.stops[:, None])).astype(np.float64)
        times = covers.sum(axis=0)
        return (covers.T @ np.asarray(effects, np.float64) @ covers) / np.outer(times, times)
