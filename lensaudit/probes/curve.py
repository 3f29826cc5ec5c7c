"""Recall of both arms as a function of a truth column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lensaudit.probes.finding import PairedScores, Recall, recall


@dataclass(frozen=True)
class Bin:
    """Recall of both arms over the pairs with low ≤ value < high."""

    low: float
    high: float
    control: Recall
    treated: Recall


@dataclass(frozen=True)
class Curve:
    """Recall against `column` (truth of the treated arm); `outside` counts the pairs in no bin, NaN among them."""

    population: str
    column: str
    label: str
    bins: tuple[Bin, ...]
    outside: int


def recall_curve(
    population: str, column: tuple[str, str], values: NDArray[np.float64], scores: PairedScores, edges: Sequence[float]
) -> Curve:
    """Bin the pairs by `values` (n,) of `column` = (name, label)."""
    control, treated = scores.found("control"), scores.found("treated")
    bins = []
    inside = np.zeros(len(values), dtype=bool)
    for low, high in pairwise(edges):
        here = (values >= low) & (values < high)
        inside |= here
        bins.append(Bin(low, high, recall(control[here]), recall(treated[here])))
    return Curve(population, *column, bins=tuple(bins), outside=int(np.sum(~inside)))
