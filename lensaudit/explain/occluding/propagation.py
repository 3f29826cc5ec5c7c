"""The pass of a group of patch positions through the layers of a module, by windows as far as they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from lensaudit.explain.occluding.axis import Axis, Span
from lensaudit.explain.occluding.cells import CellIndex, moved, read_map
from lensaudit.explain.occluding.cost import Cost, LayerReport
from lensaudit.explain.occluding.operations import Convolution, Operation
from lensaudit.explain.occluding.recognise import recognised
from lensaudit.explain.occluding.windows import Base, Windows, whole_maps
from lensaudit.explain.trace import Layer, Run, Trace, called

SHAPE_QUESTIONS = frozenset({"size", "dim", "ndimension", "getattr"})
VECTORS = frozenset({"Flatten", "flatten", "view", "reshape"})
"""Layers that, where they give one vector per image, have no windows by their nature: that is no fallback."""


class Propagation:
    """One image's base activations, and the changes of groups of positions relative to them.

    Attributes
    ----------
    cost
        Multiply-adds so far.
    peak
        Bytes of the activations held at once by the last group.
    """

    def __init__(self, trace: Trace, runs: Mapping[fx.Node, Run], cells: CellIndex) -> None:
        self._trace, self._runs, self._cells = trace, runs, cells
        self._bases = {node: Base(run.output) for node, run in runs.items() if isinstance(run.output, torch.Tensor)}
        self._operations = {layer: self._recognised(layer) for layer in trace.layers if layer.changing}
        self._reports: dict[Layer, LayerReport] = {}
        self.cost = Cost()
        self.peak = 0

    @property
    def reports(self) -> tuple[LayerReport, ...]:
        """How each layer was calculated, in order; the widest windows are the ones told."""
        return tuple(self._reports[layer] for layer in self._trace.layers if layer in self._reports)

    def occluded(self, y: Axis, x: Axis, patch: int) -> torch.Tensor:
        """The module's outputs for all pairs of the positions of `y` and `x`, columns fastest."""
        values: dict[fx.Node, Any] = {self._trace.image: self._patched(y, x, patch)}
        fallen: set[fx.Node] = set()
        self.peak = 0
        for index, layer in enumerate(self._trace.layers):
            if not layer.changing:
                continue
            mode, result = self._applied(layer, values)
            if mode == "whole" and fallen.intersection(layer.node.all_input_nodes):
                mode = "after fallback"
            if mode in ("fallback", "after fallback"):
                fallen.add(layer.node)
            values[layer.node] = result
            self._note(layer, mode, result)
            self.peak = max(self.peak, self._held(layer, values, result))
            for node in layer.node.all_input_nodes:
                if self._trace.last_use[node] == index:
                    values.pop(node, None)
        full = len(y.low) * len(x.low) * sum(self._runs[layer.node].multiply_adds for layer in self._operations)
        self.cost += Cost(positions=len(y.low) * len(x.low), full=full)
        result = values[self._trace.result]
        return whole_maps(result, self._cells) if isinstance(result, Windows) else result

    def _patched(self, y: Axis, x: Axis, patch: int) -> Windows:
        """The image with zeros in all bands under each patch."""
        base = self._bases[self._trace.image]
        patches = Span(y.low, patch), Span(x.low, patch)
        change = read_map(self._cells, base.rows, base.size, patches, 0.0).neg_()
        return Windows(base, y, x, difference=moved(self._cells, change, patches, (y.span, x.span)))

    def _recognised(self, layer: Layer) -> Operation | None:
        args, kwargs = fx.map_arg((layer.node.args, layer.node.kwargs), lambda node: self._runs[node].output)
        return recognised(layer, args, kwargs)

    def _applied(self, layer: Layer, values: Mapping[fx.Node, Any]) -> tuple[str, Any]:
        """One layer's result, and whether it was calculated by ``window``, ``whole`` or as a ``fallback``."""
        changed = [values[node] for node in layer.node.all_input_nodes if node in values]
        windows = [value for value in changed if isinstance(value, Windows)]
        operation = self._operations[layer]
        if operation is not None and len(windows) == len(changed) and not any(value.covers for value in windows):
            result = operation.windows(self._bases[layer.node], self._arguments(layer, values), self._cells)
            if result is not None:
                self._count(layer, operation, windows[0], result)
                return "window", result
        self._count(layer, operation, changed[0], None)
        asks_shape = layer.kind in SHAPE_QUESTIONS
        inputs = {node: self._whole(node, values, asks_shape) for node in layer.node.all_input_nodes}
        if operation is None:  # foreign code may ``view`` its input, which channels last in memory does not allow
            inputs = {node: _contiguous(value) for node, value in inputs.items()}
        result = called(layer, inputs)
        partial = any(not value.covers for value in windows)
        vector = layer.kind in VECTORS and isinstance(result, torch.Tensor) and result.ndim == 2
        expected = operation is not None or asks_shape or vector or not partial
        return "whole" if expected else "fallback", result

    def _arguments(self, layer: Layer, values: Mapping[fx.Node, Any]) -> Sequence[Any]:
        """Positional inputs of a layer, windows where they change; for a concatenation its list."""
        args = fx.map_arg(layer.node.args, lambda node: values[node] if node in values else self._runs[node].output)
        return args[0] if isinstance(args[0], tuple | list) else args

    def _whole(self, node: fx.Node, values: Mapping[fx.Node, Any], asks_shape: bool) -> Any:
        value = values.get(node, self._runs[node].output)
        if not isinstance(value, Windows):
            return value
        if asks_shape:  # a view of the base with as many images as there are positions: nothing is copied
            return value.base.activation.expand(value.positions, -1, -1, -1)
        return whole_maps(value, self._cells)

    def _count(self, layer: Layer, operation: Operation | None, source: Any, result: Any) -> None:
        """Add a layer's multiply-adds; of window work only convolutions have any that count."""
        whole = self._runs[layer.node].multiply_adds * (source.positions if isinstance(source, Windows) else _n(source))
        least = done = whole
        if isinstance(operation, Convolution) and isinstance(source, Windows):
            least = min(whole, operation.least(source, self._bases[layer.node].size))
            done = whole if result is None else operation.done(source, result)
        self.cost += Cost(least=least, done=done)

    def _note(self, layer: Layer, mode: str, result: Any) -> None:
        window = (result.y.length, result.x.length) if isinstance(result, Windows) else None
        size = result.base.size if isinstance(result, Windows) else None
        known = self._reports.get(layer)
        if known is None or (known.window or (0, 0)) < (window or (0, 0)) or (known.mode == "window" != mode):
            self._reports[layer] = LayerReport(layer.label, mode, window, size)

    def _held(self, layer: Layer, values: Mapping[fx.Node, Any], result: Any) -> int:
        """Bytes held while `layer` works: what later layers need, twice its own result, and what is inside it."""
        inside = self._runs[layer.node].inside * (_n(result) if isinstance(result, torch.Tensor) else 1)
        return sum(map(_nbytes, values.values())) + 2 * _nbytes(result) + 2 * inside


def _n(value: Any) -> int:
    return len(value) if isinstance(value, torch.Tensor) else 1


def _contiguous(value: Any) -> Any:
    last = isinstance(value, torch.Tensor) and value.ndim == 4
    return value.contiguous() if last else value


def _nbytes(value: Any) -> int:
    return int(getattr(value, "nbytes", 0))
