"""What each kind of layer does to the changed windows: one class per kind.

Each has ``windows(base, inputs, cells)``, which returns the changed windows of its output, or None where recomputing
the whole map is no more work or the case is not covered; the engine then runs the layer itself on whole maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import torch
from torch.nn import functional

from lensaudit.explaining.occluding.windows import (
    Axis,
    Base,
    CellIndex,
    Slide,
    Span,
    Spans,
    Windows,
    difference_of,
    moved,
    nchw,
    nhwc,
    read_map,
    values_at,
    values_of,
)

Result = Windows | torch.Tensor | None


class Operation(Protocol):
    """A kind of layer that maps changed windows to changed windows."""

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        """Changed windows of the output, whose unoccluded activations are `base`."""
        ...


@dataclass(frozen=True, eq=False)
class Convolution:
    """Linear, so it acts on the difference alone; its bias plays no part. Zero padding adds no change."""

    weight: torch.Tensor
    y: Slide
    x: Slide
    groups: int = 1

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        if source.area >= base.size[0] * base.size[1]:
            return None
        y, x = source.y.touched(self.y, base.size[0]), source.x.touched(self.x, base.size[1])
        if self.y.stride == self.x.stride == 1:
            spans = _widened(source.y, self.y), _widened(source.x, self.x)
            difference = self._convolved(difference_of(source, cells), (self.y.reach, self.x.reach))
        else:
            needed = y.needed(self.y), x.needed(self.x)
            difference = self._convolved(moved(cells, difference_of(source, cells), source.spans, needed), (0, 0))
            spans = y.span, x.span
        return Windows(base, y, x, difference=moved(cells, difference, spans, (y.span, x.span)))

    def _convolved(self, difference: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
        stride, dilation = (self.y.stride, self.x.stride), (self.y.dilation, self.x.dilation)
        return nhwc(functional.conv2d(nchw(difference), self.weight, None, stride, padding, dilation, self.groups))

    def least(self, source: Windows, size: tuple[int, int]) -> int:
        """Multiply-adds of calculating each touched output, on a map of `size` cells, once per position."""
        y, x = source.y.touched(self.y, size[0]), source.x.touched(self.x, size[1])
        return y.changed * x.changed * self.weight.numel()

    def done(self, source: Windows, result: Windows) -> int:
        """Multiply-adds of `windows`: at stride 1 those of the inputs that changed, else those of the outputs."""
        cells = source.area if self.y.stride == self.x.stride == 1 else result.area
        return source.positions * cells * self.weight.numel()


def _widened(axis: Axis, slide: Slide) -> Span:
    """Every output, on the map or beyond its edge, that a window's cells reach at stride 1."""
    return Span(axis.span.start + slide.before - slide.reach, axis.length + slide.reach)


@dataclass(frozen=True, eq=False)
class Dense:
    """A dense layer over the channels of every cell, as in ConvNeXt: on values where there are any, else linear."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        if source.values is not None:
            return Windows(base, source.y, source.x, values=functional.linear(source.values, self.weight, self.bias))
        difference = functional.linear(difference_of(source, cells), self.weight)
        return Windows(base, source.y, source.x, difference=difference)

    def least(self, source: Windows, _size: tuple[int, int]) -> int:
        """Multiply-adds of calculating each changed cell once per position."""
        return source.y.changed * source.x.changed * self.weight.numel()

    def done(self, source: Windows, _result: Windows) -> int:
        """Multiply-adds of `windows`."""
        return source.positions * source.area * self.weight.numel()


@dataclass(frozen=True, eq=False)
class CellNorm:
    """Normalisation over the channels of every cell by itself (LayerNorm of a ConvNeXt), on values."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    eps: float

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        values = values_of(source, cells)
        normalised = functional.layer_norm(values, values.shape[-1:], self.weight, self.bias, self.eps)
        return Windows(base, source.y, source.x, values=normalised)


@dataclass(frozen=True, eq=False)
class Permute:
    """Channels to the last axis or back; the windows themselves have them last always."""

    last: bool
    """Of the result."""

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        return Windows(base, source.y, source.x, source.difference, source.values)


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Acts on values: the windows are first widened to whole pooling cells."""

    y: Slide
    x: Slide

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        y, x = source.y.touched(self.y, base.size[0]), source.x.touched(self.x, base.size[1])
        values = values_at(source, cells, (y.needed(self.y), x.needed(self.x)), float("-inf"))
        pooled = functional.max_pool2d(
            nchw(values), (self.y.kernel, self.x.kernel), (self.y.stride, self.x.stride), 0,
            (self.y.dilation, self.x.dilation),
        )  # fmt: skip
        return Windows(base, y, x, values=nhwc(pooled))


@dataclass(frozen=True, eq=False)
class AveragePool:
    """Linear: sums of the difference, divided as the layer divides at each output cell (edges may differ)."""

    y: Slide
    x: Slide
    weight: Callable[[torch.Tensor], torch.Tensor]
    """Weight of one input cell in each output cell (1, 1, h, w), given an input (1, 1, h, w) of ones."""

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        y, x = source.y.touched(self.y, base.size[0]), source.x.touched(self.x, base.size[1])
        needed = y.needed(self.y), x.needed(self.x)
        kernel, stride = (self.y.kernel, self.x.kernel), (self.y.stride, self.x.stride)
        change = nchw(moved(cells, difference_of(source, cells), source.spans, needed))
        sums = nhwc(functional.avg_pool2d(change, kernel, stride, divisor_override=1))
        weight = Base(self.weight(torch.ones_like(source.base.activation[:, :1])))
        share = read_map(cells, weight.rows, base.size, (y.span, x.span), 0.0)
        return Windows(base, y, x, difference=sums.mul_(share))


@dataclass(frozen=True, eq=False)
class Pointwise:
    """An activation: every cell by itself, on values. `function` must leave its argument as it is."""

    function: Callable[[torch.Tensor], torch.Tensor]

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        return Windows(base, source.y, source.x, values=nhwc(self.function(nchw(values_of(source, cells)))))


@dataclass(frozen=True, eq=False)
class Identity:
    """Dropout in evaluation and the like."""

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        return inputs[0]


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply by a number or one factor per channel (channels,); what is added besides leaves the difference as is."""

    factor: torch.Tensor | float

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = next(value for value in inputs if isinstance(value, Windows))
        return Windows(base, source.y, source.x, difference=difference_of(source, cells) * self.factor)


@dataclass(frozen=True, eq=False)
class Sum:
    """Weighted sum of two maps (a residual connection), or of a map and something that does not change."""

    weights: tuple[float, float]

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        terms = [(w, value) for w, value in zip(self.weights, inputs, strict=True) if isinstance(value, Windows)]
        if any(value.base.activation.shape != base.activation.shape for _, value in terms):
            return None  # broadcast maps: not a case worth a rule
        y, x = _union([value for _, value in terms])
        parts = [_spread(value, cells, (y.span, x.span)) * weight for weight, value in terms]
        return Windows(base, y, x, difference=reduce(torch.Tensor.add_, parts))


@dataclass(frozen=True, eq=False)
class Concatenate:
    """Along channels; maps that do not change get a difference of 0."""

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        changed = [value for value in inputs if isinstance(value, Windows)]
        y, x = _union(changed)
        zero = torch.zeros_like(_spread(changed[0], cells, (y.span, x.span))[..., :1])
        parts = [
            _spread(value, cells, (y.span, x.span))
            if isinstance(value, Windows)
            else zero.expand(*zero.shape[:3], value.shape[1])
            for value in inputs
        ]
        return Windows(base, y, x, difference=torch.cat(parts, dim=-1))


@dataclass(frozen=True, eq=False)
class Pad:
    """Constant padding (cropping below 0) in front of rows and columns."""

    top: int
    left: int

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        y, x = source.y.shifted(self.top, base.size[0]), source.x.shifted(self.left, base.size[1])
        before = tuple(
            Span(span.start + by, span.length) for span, by in zip(source.spans, (self.top, self.left), strict=True)
        )
        change = moved(cells, difference_of(source, cells), (before[0], before[1]), (y.span, x.span))
        return Windows(base, y, x, difference=change)


@dataclass(frozen=True, eq=False)
class GlobalAverage:
    """Mean over the map; its result has no windows any more, (positions, …)."""

    def windows(self, base: Base, inputs: Sequence[Any], cells: CellIndex) -> Result:
        source = inputs[0]
        area = source.base.size[0] * source.base.size[1]
        change = difference_of(source, cells).sum(dim=(1, 2)) / area
        return base.output + change.view(-1, *base.output.shape[1:])


def _union(changed: Sequence[Windows]) -> tuple[Axis, Axis]:
    return reduce(Axis.union, [w.y for w in changed]), reduce(Axis.union, [w.x for w in changed])


def _spread(windows: Windows, cells: CellIndex, spans: Spans) -> torch.Tensor:
    return moved(cells, difference_of(windows, cells), windows.spans, spans)
