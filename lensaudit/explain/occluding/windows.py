"""The changed part of one layer's activations, for a group of patch positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from lensaudit.explain.occluding.axis import Axis
from lensaudit.explain.occluding.cells import CellIndex, Spans, moved, read_map


@dataclass(frozen=True, eq=False)
class Base:
    """One layer's activations of the unoccluded image, (1, channels, height, width)."""

    activation: torch.Tensor

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
    """Paste the windows into copies of the base: (positions, channels, height, width), channels last in memory."""
    height, width = windows.base.size
    if windows.covers:
        return nchw(values_of(windows, cells))
    channels = windows.base.rows.shape[-1]
    maps = windows.base.rows.repeat(windows.positions, 1)
    maps.index_copy_(0, cells.in_maps(windows.spans, (height, width)), values_of(windows, cells).reshape(-1, channels))
    return nchw(maps.view(windows.positions, height, width, channels))


def nchw(windows: torch.Tensor) -> torch.Tensor:
    """See (n, h, w, c) as (n, c, h, w), without a copy."""
    return windows.permute(0, 3, 1, 2)


def nhwc(windows: torch.Tensor) -> torch.Tensor:
    """See (n, c, h, w) as contiguous (n, h, w, c); no copy where channels are last in memory already."""
    return windows.permute(0, 2, 3, 1).contiguous()
