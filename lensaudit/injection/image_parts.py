"""Parts of a large image: squares cut out of it, mirrored at its edges, and discs replaced by blank sky."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.injection.hosts import middle

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
Shape = tuple[int, ...]

BLANK_SIGMA = 2.0
"""Pixels below this are blank sky."""
BAD_PIXEL = 10.0
"""What a pixel without weight counts when blank sky is looked for, in σ above that."""
REACH = 8
"""Radii within which blank sky is looked for."""
RIM_PIXELS, SECTORS, HALO_MODES = 5, 16, 4
"""Width of the rim whose light is carried on into a disc, how it is divided, and the finest structure that is kept."""


@dataclass(frozen=True)
class Square:
    """A square of an image: first pixel, below 0 where it begins before the image, and pixels along a side.

    Beyond the edges of the image it holds the mirrored image.
    """

    row: int
    column: int
    side: int

    def of(self, plane: Plane) -> Plane:
        """Its pixels: float32 (side, side)."""
        return plane[np.ix_(*self._places(plane.shape))]

    def mirrored(self, shape: Shape) -> float:
        """Fraction of its pixels that lie beyond the edges of an image of `shape`."""
        spans = ((self.row, shape[0]), (self.column, shape[1]))
        inside = [max(0, min(first + self.side, n) - max(first, 0)) for first, n in spans]
        return 1 - inside[0] * inside[1] / self.side**2

    def shows(self, disc: Disc, shape: Shape) -> float:
        """Fraction of its pixels that are pixels of `disc`, mirrored ones too."""
        rows, columns = self._places(shape)
        return float((np.hypot(rows[:, None] - disc.y, columns[None, :] - disc.x) <= disc.radius).mean())

    def _places(self, shape: Shape) -> list[Places]:
        """Rows and columns of the image, those beyond its edges mirrored."""
        folded = [
            np.mod(np.arange(first, first + self.side), 2 * n)
            for first, n in zip((self.row, self.column), shape, strict=True)
        ]
        return [np.where(at < n, at, 2 * n - 1 - at) for at, n in zip(folded, shape, strict=True)]


def square_about(x: float, y: float, side: int) -> Square:
    """The square whose middle is nearest to a place, pixels counted from 0."""
    row, column = (math.floor(place - (side - 1) / 2 + 0.5) for place in (y, x))
    return Square(row, column, side)


@dataclass(frozen=True)
class Disc:
    """A disc of an image, in pixels counted from 0."""

    x: float
    y: float
    radius: float

    def places(self, shape: Shape) -> tuple[Places, Places]:
        """Rows and columns of the image's pixels whose centre lies in it."""
        spans = [
            np.arange(max(0, math.ceil(at - self.radius)), min(n, math.floor(at + self.radius) + 1))
            for at, n in zip((self.y, self.x), shape, strict=True)
        ]
        rows, columns = np.meshgrid(*spans, indexing="ij")
        inside = np.hypot(rows - self.y, columns - self.x) <= self.radius
        return rows[inside], columns[inside]


@dataclass(frozen=True)
class Painted:
    """A disc that is replaced by the pixels `right` columns to its right and `up` rows above it."""

    disc: Disc
    up: int
    right: int

    def on(self, plane: Plane, *, smooth: bool) -> Plane:
        """The plane with it.

        Parameters
        ----------
        smooth
            Carry the light round the disc on into it (a halo, the wings of a galaxy): the smooth surface that has no
            extremum inside, the harmonic one, is added to the blank sky. Not wanted of noise maps.
        """
        rows, columns = self.disc.places(plane.shape)
        out = plane.copy()
        blank = plane[rows + self.up, columns + self.right]
        out[rows, columns] = blank + (self._halo(plane, middle(blank[np.isfinite(blank)])) if smooth else 0)
        return out

    def _halo(self, plane: Plane, sky: float) -> NDArray[np.float32]:
        """Light at the disc's pixels, above `sky`: Fourier modes of the rim's medians, each falling inwards as r^k."""
        x, y, radius = self.disc.x, self.disc.y, self.disc.radius
        rows, columns = replace(self.disc, radius=radius + RIM_PIXELS).places(plane.shape)
        outside = (np.hypot(rows - y, columns - x) > radius) & np.isfinite(plane[rows, columns])
        rows, columns = rows[outside], columns[outside]
        sector = np.floor((np.arctan2(rows - y, columns - x) / (2 * np.pi) % 1) * SECTORS).astype(int) % SECTORS
        light = [plane[rows[sector == k], columns[sector == k]] for k in range(SECTORS)]
        level = np.array([float(np.median(one)) - sky if len(one) else 0.0 for one in light])
        modes = np.fft.rfft(level)[: HALO_MODES + 1] / SECTORS
        rows, columns = self.disc.places(plane.shape)
        inwards = np.minimum(np.hypot(rows - y, columns - x) / max(radius, 1e-9), 1)
        turn = np.arctan2(rows - y, columns - x) - np.pi / SECTORS  # from the middle of the first sector
        halo = np.full(len(rows), modes[0].real)
        for k in range(1, len(modes)):
            halo += 2 * (modes[k] * np.exp(1j * k * turn)).real * inwards**k
        return halo.astype(np.float32)


def painted_discs(image: Plane, rms: Plane, discs: Sequence[Disc]) -> Iterator[Painted]:
    """For each disc that reaches into the image, the emptiest one of its size near it.

    Raises
    ------
    UsageError
        None near it is wholly in the image and clear of other excluded ones.
    """
    good = np.isfinite(rms) & np.isfinite(image)
    sky = middle(image[good]) if good.any() else 0.0
    light = np.where(good, np.maximum((image - sky) / rms - BLANK_SIGMA, 0.0), BAD_PIXEL)
    covered = [disc.places(image.shape) for disc in discs]
    for pixels in covered:
        light[pixels] = np.inf
    for disc, pixels in zip(discs, covered, strict=True):
        if len(pixels[0]):
            yield _emptiest(light, disc, pixels)


def _emptiest(light: NDArray[np.floating], disc: Disc, covered: tuple[Places, Places]) -> Painted:
    rows, columns = covered
    step, far = max(1, math.ceil(disc.radius) // 4), REACH * math.ceil(disc.radius)
    shifts = [
        range(max(-far, -int(at.min())), min(far, n - 1 - int(at.max())) + 1, step)
        for at, n in zip(covered, light.shape, strict=True)
    ]
    tried = ((float(light[rows + up, columns + right].sum()), up, right) for up in shifts[0] for right in shifts[1])
    least, up, right = min(tried, default=(math.inf, 0, 0))
    if not math.isfinite(least):
        raise UsageError(
            f"--paint-out: near an excluded disc of {disc.radius:.0f} pixels no other one is free; make "
            "--centre-arcsec or --exclude-arcsec smaller, or ingest larger images"
        )
    return Painted(disc, up, right)
