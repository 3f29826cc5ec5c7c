"""Which cells of a map change, along one axis, for a group of patch positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Slide:
    """A window sliding along one axis: that of a convolution or a pooling."""

    kernel: int
    stride: int = 1
    before: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Cells between the first and the last tap."""
        return (self.kernel - 1) * self.dilation


@dataclass(frozen=True)
class Span:
    """For each position the same number of cells, `length`, from `start` (n,) on; they may lie outside the map."""

    start: np.ndarray
    length: int

    @property
    def cells(self) -> np.ndarray:
        """Cell numbers (n, length)."""
        return self.start[:, None] + np.arange(self.length)

    def same(self, other: Span) -> bool:
        """Whether both name the same cells."""
        return self.length == other.length and np.array_equal(self.start, other.start)


@dataclass(frozen=True, eq=False)
class Axis:
    """Changed cells [low, high) of each position, int64 (n,), on a map of `size` cells."""

    low: np.ndarray
    high: np.ndarray
    size: int

    @cached_property
    def span(self) -> Span:
        """Equally long windows inside the map that hold all changes."""
        length = max(1, int((self.high - self.low).max()))
        return Span(np.clip(self.low, 0, self.size - length), length)

    @property
    def length(self) -> int:
        """Cells of the windows of `span`."""
        return self.span.length

    @property
    def changed(self) -> int:
        """Changed cells, summed over the positions."""
        return int((self.high - self.low).sum())

    def touched(self, slide: Slide, size: int) -> Axis:
        """Outputs, on a map of `size` cells, that see a changed cell through `slide`."""
        first = -((slide.reach - slide.before - self.low) // slide.stride)
        last = (self.high - 1 + slide.before) // slide.stride
        return Axis(*_clipped(first, last + 1, size), size)

    def needed(self, slide: Slide) -> Span:
        """Inputs that the outputs in `span` see through `slide`; padding has numbers outside the map."""
        return Span(self.span.start * slide.stride - slide.before, (self.length - 1) * slide.stride + slide.reach + 1)

    def shifted(self, by: int, size: int) -> Axis:
        """The same changes on a map padded (or cropped, below 0) by `by` cells in front, now of `size` cells."""
        return Axis(*_clipped(self.low + by, self.high + by, size), size)

    def union(self, other: Axis) -> Axis:
        """Cells changed in either of two maps of one size."""
        return Axis(np.minimum(self.low, other.low), np.maximum(self.high, other.high), self.size)


def _clipped(low: np.ndarray, high: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    low = np.clip(low, 0, size)
    return low, np.maximum(np.clip(high, 0, size), low)
