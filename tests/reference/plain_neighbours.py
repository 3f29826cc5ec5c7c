"""Neighbours one pair at a time: the slow, obvious way."""

from __future__ import annotations

import math

import numpy as np


def plain_nearest(
    query: np.ndarray, among: np.ndarray, k: int, metric: str, own: int | None
) -> list[tuple[float, int]]:
    """(distance, place) of the `k` nearest rows of `among`, `own` left out."""
    found = []
    for place, other in enumerate(among):
        if place == own:
            continue
        a, b = query.astype(float), other.astype(float)
        if metric == "cosine":
            distance = 1 - float(a @ b) / (math.sqrt(float(a @ a)) * math.sqrt(float(b @ b)))
        else:
            distance = math.sqrt(float(((a - b) ** 2).sum()))
        found.append((distance, place))
    return sorted(found)[:k]
