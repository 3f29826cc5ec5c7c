"""Moving cells between maps and windows: every cell is one row of channels, every move one indexed copy.

Maps are (height, width, channels) and batches of windows (positions, height, width, channels), both contiguous, so
that the copies are of whole rows and the convolutions see PyTorch's channels-last layout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lensaudit.explain.occluding.axis import Span

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
