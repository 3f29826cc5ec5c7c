"""Recall over two parameters at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensaudit.evaluation.metric import CONFIDENCE
from lensaudit.evaluation.selection.cuts import FEW
from lensaudit.evaluation.selection.parameters import ARC_SNR, EINSTEIN_RADIUS, Parameter
from lensaudit.statistics import wilson_interval

Array = NDArray[np.float64]

# The same for every finder and set, so that two selection functions can be laid side by side.
THETA_E_EDGES = (0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
ARC_SNR_EDGES = (0.0, 20.0, 40.0, 80.0, 160.0, 640.0)
SOURCE_MAGNITUDE_EDGES = (20.0, 22.0, 23.0, 24.0, 25.0, 27.0)


@dataclass(frozen=True)
class Axis:
    """A parameter with rising bin edges (bins + 1), in its unit."""

    parameter: Parameter
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.edges) < 2 or not (np.diff(self.edges) > 0).all():
            raise ValueError("edges must be at least two rising numbers")


@dataclass(frozen=True, eq=False)
class RecallMap:
    """Recall in the cells of two axes; rows are bins of `y`, columns bins of `x`.

    Attributes
    ----------
    x, y
        The axes. A cell holds its lower edges; the last one its upper edge too.
    n, k
        Lenses and those of them found, int64 (ny, nx).
    recall, low, high
        k / n and its 95 % Wilson interval, float64 (ny, nx); NaN in an empty cell.
    n_missing, n_outside
        Lenses that lack one of the two parameters, and that lie outside the edges.
    """

    x: Axis
    y: Axis
    n: NDArray[np.int64]
    k: NDArray[np.int64]
    recall: Array
    low: Array
    high: Array
    n_missing: int
    n_outside: int

    @property
    def few(self) -> NDArray[np.bool_]:
        """Cells with fewer than 100 lenses, empty ones among them."""
        return self.n < FEW

    @property
    def name(self) -> str:
        """How files and tables name it."""
        return f"{self.x.parameter.name}-{self.y.parameter.name}"

    def cells(self) -> list[dict[str, Any]]:
        """One record per cell, row by row."""
        ends = [(axis.edges[:-1], axis.edges[1:]) for axis in (self.x, self.y)]
        return [
            {
                "map": self.name,
                "x_from": ends[0][0][i],
                "x_to": ends[0][1][i],
                "y_from": ends[1][0][j],
                "y_to": ends[1][1][j],
                "n": int(self.n[j, i]),
                "k": int(self.k[j, i]),
                "recall": float(self.recall[j, i]),
                "low": float(self.low[j, i]),
                "high": float(self.high[j, i]),
                "few": bool(self.few[j, i]),
            }
            for j, i in np.ndindex(self.n.shape)
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain values, with NaN in empty cells."""
        axes = {
            side: {"name": axis.parameter.name, "label": axis.parameter.label, "edges": list(axis.edges)}
            for side, axis in (("x", self.x), ("y", self.y))
        }
        counts = {"n": int(self.n.sum()), "n_missing": self.n_missing, "n_outside": self.n_outside}
        return {**axes, **counts, "cells": self.cells()}


def recall_map(x_values: ArrayLike, y_values: ArrayLike, found: ArrayLike, x: Axis, y: Axis) -> RecallMap:
    """Recall in the cells of two axes.

    Parameters
    ----------
    x_values, y_values
        The parameters of the lenses (n,), in the units of the axes; NaN where they do not apply.
    found
        Whether each lens was selected, boolean (n,).
    x, y
        Parameters and edges.
    """
    across, up, hit = np.asarray(x_values, float), np.asarray(y_values, float), np.asarray(found, bool)
    if not across.shape == up.shape == hit.shape or hit.ndim != 1:
        raise ValueError(f"values {across.shape}, {up.shape} and found {hit.shape} must be equally long lists")
    known = np.isfinite(across) & np.isfinite(up)
    edges = (np.asarray(y.edges), np.asarray(x.edges))
    n = _counts(up[known], across[known], edges)
    k = _counts(up[known & hit], across[known & hit], edges)
    low, high = np.full((2, *n.shape), np.nan)
    for cell in np.ndindex(n.shape):
        low[cell], high[cell] = wilson_interval(int(k[cell]), int(n[cell]), CONFIDENCE)
    recall = np.divide(k, n, out=np.full(n.shape, np.nan), where=n > 0)
    return RecallMap(x, y, n, k, recall, low, high, int((~known).sum()), int(known.sum() - n.sum()))


def default_axes(parameters: tuple[Parameter, ...]) -> list[tuple[Axis, Axis]]:
    """θ_E against arc S/N and against the magnitude of the source, as far as the set knows them."""
    if EINSTEIN_RADIUS not in parameters:
        return []
    against = [Axis(p, ARC_SNR_EDGES) for p in parameters if p == ARC_SNR]
    against += [Axis(p, SOURCE_MAGNITUDE_EDGES) for p in parameters if p.name.startswith("mag_source_")]
    return [(Axis(EINSTEIN_RADIUS, THETA_E_EDGES), other) for other in against]


def _counts(rows: Array, columns: Array, edges: tuple[Array, Array]) -> NDArray[np.int64]:
    return np.histogram2d(rows, columns, bins=edges)[0].astype(np.int64)
