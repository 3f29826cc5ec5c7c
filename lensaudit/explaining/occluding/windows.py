"""The positions of an occluding patch, and the changed part of a layer's activations for a group of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from lensaudit.errors import UsageError


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


Spans = tuple[Span, Span]
"""Rows and columns of a batch of windows: its positions are all pairs of their positions, columns fastest."""


@dataclass(frozen=True)
class Pick:
    """Row numbers to read, and where in the result there is nothing to read."""

    index: torch.Tensor
    missing: torch.Tensor | None


KEPT_BYTES = 128 << 20
"""Row numbers kept for the next image; what is beyond is built anew each time."""


class CellIndex:
    """Builds and keeps the row numbers; they depend on the geometry alone, so every image shares them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._picks: dict[tuple[object, ...], Pick] = {}
        self._bytes = 0

    def of_map(self, spans: Spans, size: tuple[int, int]) -> Pick:
        """Rows of a map of `size` cells that fill windows at `spans`."""
        return self._pick("map", spans[0].cells, spans[1].cells, size)

    def of_windows(self, source: Spans, target: Spans) -> Pick:
        """Rows of windows at `source` that fill windows at `target` of the same positions."""
        return self._pick(
            "windows",
            target[0].cells - source[0].start[:, None],
            target[1].cells - source[1].start[:, None],
            (source[0].length, source[1].length),
        )

    def in_maps(self, spans: Spans, size: tuple[int, int]) -> torch.Tensor:
        """Rows that windows at `spans` (inside the map) take in a batch of whole maps, one per position."""
        picked = self.of_map(spans, size).index.view(-1, spans[0].length * spans[1].length)
        first = torch.arange(len(picked), device=self._device) * (size[0] * size[1])
        return (picked + first[:, None]).reshape(-1)

    def _pick(self, kind: str, y: np.ndarray, x: np.ndarray, size: tuple[int, int]) -> Pick:
        key = (kind, size, y.shape, x.shape, y.tobytes(), x.tobytes())
        if key in self._picks:
            return self._picks[key]
        pick = self._built(kind, y, x, size)
        if self._bytes + pick.index.nbytes <= KEPT_BYTES:
            self._picks[key] = pick
            self._bytes += pick.index.nbytes
        return pick

    def _built(self, kind: str, y: np.ndarray, x: np.ndarray, size: tuple[int, int]) -> Pick:
        inside = _outer((y >= 0) & (y < size[0]), (x >= 0) & (x < size[1]), np.logical_and)
        index = _outer(np.clip(y, 0, size[0] - 1) * size[1], np.clip(x, 0, size[1] - 1), np.add)
        if kind == "windows":
            position = np.arange(len(y) * len(x)).reshape(len(y), len(x), 1, 1)
            index = index + position * (size[0] * size[1])
        missing = np.flatnonzero(~inside.reshape(-1))
        return Pick(
            torch.from_numpy(index.reshape(-1)).to(self._device),
            torch.from_numpy(missing).to(self._device) if len(missing) else None,
        )


def _outer(y: np.ndarray, x: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """Combine (a, h) with (b, w) into (a, b, h, w)."""
    result: np.ndarray = combine(y[:, None, :, None], x[None, :, None, :])
    return result


def read_map(cells: CellIndex, rows: torch.Tensor, size: tuple[int, int], spans: Spans, outside: float) -> torch.Tensor:
    """Windows at `spans` of the map whose cells are `rows` (height·width, channels); `outside` beyond its edge."""
    return _picked(cells.of_map(spans, size), rows, spans, outside)


def moved(cells: CellIndex, windows: torch.Tensor, source: Spans, target: Spans) -> torch.Tensor:
    """Windows at `source`, seen at `target`: cells that `source` does not hold are 0."""
    if source[0].same(target[0]) and source[1].same(target[1]):
        return windows
    offsets = [np.unique(t.start - s.start) for s, t in zip(source, target, strict=True)]
    if all(len(o) == 1 for o in offsets):
        top, left = int(offsets[0][0]), int(offsets[1][0])
        bottom, right = top + target[0].length, left + target[1].length
        if top >= 0 and left >= 0 and bottom <= source[0].length and right <= source[1].length:
            return windows[:, top:bottom, left:right].contiguous()
    return _picked(cells.of_windows(source, target), windows.reshape(-1, windows.shape[-1]), target, 0.0)


def _picked(pick: Pick, rows: torch.Tensor, spans: Spans, outside: float) -> torch.Tensor:
    result = rows.index_select(0, pick.index)
    if pick.missing is not None:
        result.index_fill_(0, pick.missing, outside)
    return result.view(len(spans[0].start) * len(spans[1].start), spans[0].length, spans[1].length, rows.shape[-1])


@dataclass(frozen=True, eq=False)
class Base:
    """One layer's activations of the unoccluded image.

    Attributes
    ----------
    output
        (1, channels, height, width) or, where `last`, (1, height, width, channels).
    last
        Whether the layer gives its channels last, as after ``permute(0, 2, 3, 1)``.
    """

    output: torch.Tensor
    last: bool = False

    @property
    def activation(self) -> torch.Tensor:
        """(1, channels, height, width), whatever the order of the layer's axes."""
        return nchw(self.output) if self.last and self.output.ndim == 4 else self.output

    @cached_property
    def rows(self) -> torch.Tensor:
        """The same as rows of cells, (height·width, channels)."""
        return self.activation[0].flatten(1).T.contiguous()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.activation.shape[-2], self.activation.shape[-1]


@dataclass(frozen=True, eq=False)
class Windows:
    """Activations that equal `base` outside windows of a common shape, one window per position.

    Exactly one of `difference` (to the base) and `values` is given, (positions, height, width, channels): linear
    layers act on the one, the others on the other, and only between the two is the base read.
    """

    base: Base
    y: Axis
    x: Axis
    difference: torch.Tensor | None = None
    values: torch.Tensor | None = None

    @property
    def spans(self) -> Spans:
        """Where the windows lie."""
        return self.y.span, self.x.span

    @property
    def positions(self) -> int:
        """Number of positions."""
        return len(self.y.low) * len(self.x.low)

    @property
    def area(self) -> int:
        """Cells of one window."""
        return self.y.length * self.x.length

    @property
    def covers(self) -> bool:
        """Whether the windows are the whole map."""
        return (self.y.length, self.x.length) == self.base.size

    @property
    def nbytes(self) -> int:
        """Bytes of the windows."""
        held = self.values if self.difference is None else self.difference
        assert held is not None
        return held.nbytes


def values_of(windows: Windows, cells: CellIndex) -> torch.Tensor:
    """Activations inside the windows."""
    if windows.values is not None:
        return windows.values
    assert windows.difference is not None
    return read_map(cells, windows.base.rows, windows.base.size, windows.spans, 0.0).add_(windows.difference)


def difference_of(windows: Windows, cells: CellIndex) -> torch.Tensor:
    """Activations inside the windows minus those of the unoccluded image."""
    if windows.difference is not None:
        return windows.difference
    assert windows.values is not None
    base = read_map(cells, windows.base.rows, windows.base.size, windows.spans, 0.0)
    return torch.sub(windows.values, base, out=base)


def values_at(windows: Windows, cells: CellIndex, spans: Spans, outside: float) -> torch.Tensor:
    """Activations at other `spans`: base where the windows do not reach, `outside` beyond the edge of the map."""
    if all(own.same(wanted) for own, wanted in zip(windows.spans, spans, strict=True)):
        return values_of(windows, cells)
    base = read_map(cells, windows.base.rows, windows.base.size, spans, outside)
    return base.add_(moved(cells, difference_of(windows, cells), windows.spans, spans))


def whole_maps(windows: Windows, cells: CellIndex) -> torch.Tensor:
    """Paste the windows into copies of the base, in the layer's order of axes; channels are last in memory.

    (positions, channels, height, width), or (positions, height, width, channels).
    """
    height, width = windows.base.size
    if windows.covers:
        return _ordered(values_of(windows, cells), windows.base)
    channels = windows.base.rows.shape[-1]
    maps = windows.base.rows.repeat(windows.positions, 1)
    maps.index_copy_(0, cells.in_maps(windows.spans, (height, width)), values_of(windows, cells).reshape(-1, channels))
    return _ordered(maps.view(windows.positions, height, width, channels), windows.base)


def _ordered(maps: torch.Tensor, base: Base) -> torch.Tensor:
    return maps if base.last else nchw(maps)


def nchw(windows: torch.Tensor) -> torch.Tensor:
    """See (n, h, w, c) as (n, c, h, w), without a copy."""
    return windows.permute(0, 3, 1, 2)


def nhwc(windows: torch.Tensor) -> torch.Tensor:
    """See (n, c, h, w) as contiguous (n, h, w, c); no copy where channels are last in memory already."""
    return windows.permute(0, 2, 3, 1).contiguous()


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
