"""Occlusion by recalculating only what a patch changes: equal to the plain forward pass, many times faster.

A patch changes a small window of each layer. The unoccluded activations are kept, each layer is applied to the window
alone (see `operations`), and where the window has become the map, or a layer has no such rule, the windows are pasted
into copies of the base and the rest runs in plain batches. Nothing is approximated; differences are those of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx, nn

from lensaudit.explain.occluding.axis import Axis
from lensaudit.explain.occluding.cells import CellIndex
from lensaudit.explain.occluding.cost import Cost, LayerReport
from lensaudit.explain.occluding.grid import Grid
from lensaudit.explain.occluding.propagation import Propagation
from lensaudit.explain.trace import Run, run_once, traced

WORKING_BYTES = 128 << 20
"""Aim for the activations of one block of positions: far below the promised 1 GB."""

BLOCK = 320
"""Positions per block: enough to fill the convolutions, few enough that the windows stay in the cache."""

Progress = Callable[[int, int], None]
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
