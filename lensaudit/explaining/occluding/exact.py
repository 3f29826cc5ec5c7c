"""Occlusion by recalculating only what a patch changes: equal to the plain forward pass, many times faster.

A patch changes a small window of each layer. The unoccluded activations are kept, each layer is applied to the window
alone (see `operations`), and where the window has become the map, or a layer has no such rule, the windows are pasted
into copies of the base and the rest runs in plain batches. Nothing is approximated; differences are those of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from lensaudit.explaining.occluding.channels_last import recognised_last
from lensaudit.explaining.occluding.operations import Convolution, Dense, Operation, Permute
from lensaudit.explaining.occluding.recognise import recognised
from lensaudit.explaining.occluding.windows import (
    Axis,
    Base,
    CellIndex,
    Grid,
    Span,
    Windows,
    moved,
    read_map,
    whole_maps,
)
from lensaudit.explaining.trace import Layer, Run, Trace, called, run_once, traced
from lensaudit.spread import Progress


@dataclass(frozen=True)
class LayerReport:
    """How one layer was calculated.

    Attributes
    ----------
    label
        Name and kind, as ``4 Conv2d``.
    mode
        ``window`` (only the changed window), ``whole`` (the window has become the map, or the layer gives a vector),
        ``fallback`` (no rule for this layer: plain batches from here on), ``after fallback``.
    window, size
        Height and width of the window and of the whole map; None where there is none.
    """

    label: str
    mode: str
    window: tuple[int, int] | None = None
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.window is None or self.size is None:
            return f"{self.label}: {self.mode}"
        return f"{self.label}: {self.mode}, {self.window[0]}×{self.window[1]} of {self.size[0]}×{self.size[1]}"


@dataclass(frozen=True)
class Cost:
    """Multiply-adds over all positions, of convolutions and dense layers.

    Attributes
    ----------
    positions
        Patch positions.
    full
        Plain forward passes, one per position.
    least
        Each output that a patch touches calculated once per position; the whole layer where the maps are whole.
    done
        What the engine did: of a window's linear layers only inputs that changed are read, so it can be below `least`.
    """

    positions: int = 0
    full: int = 0
    least: int = 0
    done: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.positions + other.positions, self.full + other.full, self.least + other.least, self.done + other.done
        )

    @property
    def bound(self) -> float:
        """How many times less arithmetic minimal windows need than plain passes."""
        return self.full / self.least if self.least else 1.0

    @property
    def reduction(self) -> float:
        """How many times less arithmetic was done than by plain passes."""
        return self.full / self.done if self.done else 1.0


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
        self._last: set[fx.Node] = set()
        self._operations = {layer: self._recognised(layer) for layer in trace.layers if layer.changing}
        self._bases = {
            node: Base(run.output, node in self._last)
            for node, run in runs.items()
            if isinstance(run.output, torch.Tensor)
        }
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
        """Its operation; and note where its result has channels last."""
        args, kwargs = fx.map_arg((layer.node.args, layer.node.kwargs), lambda node: self._runs[node].output)
        last = bool(self._last.intersection(layer.node.all_input_nodes))
        operation = (recognised_last if last else recognised)(layer, args, kwargs)
        if operation is not None and (operation.last if isinstance(operation, Permute) else last):
            self._last.add(layer.node)
        return operation

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
            return value.base.output.expand(value.positions, -1, -1, -1)
        return whole_maps(value, self._cells)

    def _count(self, layer: Layer, operation: Operation | None, source: Any, result: Any) -> None:
        """Add a layer's multiply-adds; of window work only convolutions have any that count."""
        whole = self._runs[layer.node].multiply_adds * (source.positions if isinstance(source, Windows) else _n(source))
        least = done = whole
        if isinstance(operation, Convolution | Dense) and isinstance(source, Windows):
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


WORKING_BYTES = 128 << 20
"""Aim for the activations of one block of positions: far below the promised 1 GB."""

BLOCK = 320
"""Positions per block: enough to fill the convolutions, few enough that the windows stay in the cache."""

"""Called with the positions done and all positions."""


@dataclass(frozen=True)
class Outcome:
    """Log-odds with every position occluded, (n, n) float64, and without; what was done, layer by layer."""

    logits: np.ndarray
    base_logit: float
    layers: tuple[LayerReport, ...]
    cost: Cost


class ExactEngine:
    """Exact occlusion of one module with one grid; keep it, so that images share its row numbers.

    Parameters
    ----------
    module
        In evaluation mode; takes (n, bands, size, size).
    read
        The module's outputs → log-odds (n,).
    grid
        Patch positions.
    batch
        Most positions at once; None leaves it to the memory aim alone.
    incremental
        False runs the module in plain batches only: slow, for modules whose own code disturbs the trace.
    """

    def __init__(
        self,
        module: nn.Module,
        read: Callable[[torch.Tensor], torch.Tensor],
        grid: Grid,
        batch: int | None = None,
        incremental: bool = True,
    ) -> None:
        self._read, self._grid = read, grid
        self._batch = 1 if _mixes_images(module) else batch
        self._trace = traced(module, incremental)
        self._cells: CellIndex | None = None

    def run(self, image: torch.Tensor, progress: Progress | None = None) -> Outcome:
        """Occlude one prepared `image` (1, bands, size, size) at every position of the grid."""
        if self._cells is None:
            self._cells = CellIndex(image.device)
        runs = run_once(self._trace, image)
        through = Propagation(self._trace, runs, self._cells)
        logits = np.empty((self._grid.n, self._grid.n))
        done = np.zeros(logits.shape, dtype=bool)
        for rows, columns in self._blocks(runs, self._cells):
            outputs = through.occluded(self._axis(rows), self._axis(columns), self._grid.patch)
            logits[np.ix_(rows, columns)] = self._logits(outputs).reshape(len(rows), len(columns))
            done[np.ix_(rows, columns)] = True
            if progress is not None:
                progress(int(done.sum()), done.size)
        base = float(self._logits(runs[self._trace.result].output)[0])
        return Outcome(logits, base, through.reports, through.cost)

    def _blocks(self, runs: Mapping[fx.Node, Run], cells: CellIndex) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and columns of positions that go together, as many as memory allows by one position passed through.

        Neighbours go together, as their windows are cut alike at the edges of the maps.
        """
        middle = self._axis(np.array([self._grid.n // 2]))
        trial = Propagation(self._trace, runs, cells)
        trial.occluded(middle, middle, self._grid.patch)
        most = min(max(1, WORKING_BYTES // max(1, trial.peak)), self._batch or BLOCK)
        across = min(most, self._grid.n)
        for rows in _evenly(self._grid.n, max(1, most // self._grid.n)):
            for columns in _evenly(self._grid.n, across):
                yield rows, columns

    def _axis(self, positions: np.ndarray) -> Axis:
        return Axis(self._grid.starts[positions], self._grid.stops[positions], self._grid.size)

    def _logits(self, outputs: torch.Tensor) -> np.ndarray:
        logits: np.ndarray = self._read(outputs).double().cpu().numpy()
        return logits


def _evenly(n: int, length: int) -> list[np.ndarray]:
    """0 … n − 1 in pieces of one length; the last ones overlap where `length` does not divide n.

    Equal shapes matter: for each new one the convolution library compiles a kernel.
    """
    length = min(length, n)
    return [np.arange(first, first + length) for first in np.minimum(np.arange(0, n, length), n - length)]


def _mixes_images(module: nn.Module) -> bool:
    """Whether a score depends on the other images of its batch: batch statistics even in evaluation."""
    return any(
        getattr(part, "track_running_stats", True) is False and isinstance(part, nn.modules.batchnorm._BatchNorm)
        for part in module.modules()
    )
