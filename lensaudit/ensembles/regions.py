"""Rectangles of the map, chosen by a person or by what lies in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.statistics import wilson_interval

Floats = NDArray[np.float64]

TILES = 10
"""Squares along each side of the map among which the regions are chosen."""

LEAST = 8
"""Labelled images that make a square worth showing."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the map, in its own coordinates, both ends included.

    Attributes
    ----------
    name
        What it is called on the picture.
    x, y
        (from, to).
    """

    name: str
    x: tuple[float, float]
    y: tuple[float, float]

    def holds(self, positions: Floats) -> NDArray[np.bool_]:
        """Which of positions (n, 2) lie in it; NaN lies nowhere."""
        inside = [(low <= positions[:, axis]) & (positions[:, axis] <= high) for axis, (low, high) in self._sides]
        found: NDArray[np.bool_] = inside[0] & inside[1]
        return found

    @property
    def _sides(self) -> tuple[tuple[int, tuple[float, float]], ...]:
        return (0, self.x), (1, self.y)


def read_region(words: str, name: str) -> Region:
    """The region that a person wrote as ``x0,x1,y0,y1``.

    Raises
    ------
    UsageError
        Not four numbers, or from above to.
    """
    try:
        x0, x1, y0, y1 = (float(word) for word in words.split(","))
    except ValueError as wrong:
        raise UsageError(f"--region {words}: is not x0,x1,y0,y1; give four numbers off the map's axes") from wrong
    if not (x0 < x1 and y0 < y1):
        raise UsageError(f"--region {words}: its first x or y is not below its second; give x0,x1,y0,y1")
    return Region(name, (x0, x1), (y0, y1))


def telling_regions(positions: Floats, labels: NDArray[np.int64], edges: tuple[Floats, Floats]) -> list[Region]:
    """The most lens-like square of the map, the least lens-like, and the most mixed one.

    Of a tiling of the map in 10×10 squares, those with 8 labelled images or more are compared by the 95 % interval of
    their lens fraction: highest lower end, lowest upper end, and the end farther from one half nearest to it. A map
    with fewer such squares gives fewer regions.

    Parameters
    ----------
    positions, labels
        Of the images (n, 2) and (n,); 1 lens, 0 non-lens, −1 unknown.
    edges
        Lowest and highest (x, y) of the map.
    """
    low, high = edges
    steps = [np.linspace(low[axis], high[axis], TILES + 1) for axis in (0, 1)]
    counted = []
    for column in range(TILES):
        for row in range(TILES):
            square = Region(
                "", (steps[0][column], steps[0][column + 1]), (float(steps[1][row]), float(steps[1][row + 1]))
            )
            inside = labels[square.holds(positions) & (labels >= 0)]
            if len(inside) >= LEAST:
                counted.append((*wilson_interval(int((inside == 1).sum()), len(inside), 0.95), square))
    orders: dict[str, Callable[[tuple[float, float, Region]], float]] = {
        "most lens-like": lambda one: -one[0],
        "least lens-like": lambda one: one[1],
        "most mixed": lambda one: max(abs(one[0] - 0.5), abs(one[1] - 0.5)),
    }
    chosen: dict[Region, Region] = {}
    for name, order in orders.items():
        for _, _, square in sorted(counted, key=order)[:1]:
            chosen.setdefault(square, Region(name, square.x, square.y))
    return list(chosen.values())
