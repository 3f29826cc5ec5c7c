"""Galaxies in a large image: photutils finds and parts them, and it is said which can be cut out as a host."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.injection.hosts import HostCutout
from lensaudit.injection.image_parts import Disc, Painted, Square, painted_discs, square_about
from lensaudit.injection.light import MEASURED_ARCSEC, CentralLight, measure
from lensaudit.lensset.ingest.external import LABELS
from lensaudit.untrusted import printable

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

THRESHOLD_SIGMA = 2.0
LEAST_SIDE, LARGEST_SIDE = 8, 4096
BLOCK = 1536
"""Pixels along a side of what is searched at once; of a larger image the time grows with its area, memory does not."""
OVERLAP = 128
"""Pixels that a block sees beyond its own, so that no galaxy is cut in two."""
SAME_OBJECT_PIXELS = 2.0
"""What two blocks find nearer than this is one object."""
MOST_BAD = 0.1
"""Fraction of a cutout's pixels that may be without weight."""
NEAR = 64
"""Neighbours among which the next brighter one is looked for."""


@dataclass(frozen=True)
class CutSettings:
    """Which galaxies are cut out, and how.

    Attributes
    ----------
    side
        Pixels along a side of a cutout.
    detect_in
        Band where galaxies are looked for; empty: the band of the narrowest point-spread function.
    min_snr, min_pixels
        Least S/N of all the light above the threshold, and least number of pixels above it.
    max_mag
        Faintest magnitude in that band; None: any.
    apart_arcsec
        Galaxies with a brighter object nearer than this are left out: satellites, and knots of spirals.
    edge_arcsec
        Least distance of a galaxy from the edge of the image. None: half a side, so that every pixel is the image's
        own; where a cutout reaches beyond the edge, it is filled by the mirrored image.
    centre_arcsec
        Radius round the middle of every image that is excluded, where that holds a lens.
    exclude
        Further excluded positions, (RA, Dec) in degrees, as of known lenses.
    exclude_arcsec
        Their radius.
    paint_out
        Replace excluded discs by blank sky of the same image. Otherwise every cutout that would show any of an
        excluded disc is left out.
    stars
        Keep what is as narrow as the point-spread function.
    label
        ``lens``, ``non-lens`` or ``unknown``: of all cutouts.
    """

    side: int
    detect_in: str = ""
    min_snr: float = 20.0
    min_pixels: int = 20
    max_mag: float | None = None
    apart_arcsec: float = 1.5
    edge_arcsec: float | None = None
    centre_arcsec: float = 0.0
    exclude: tuple[tuple[float, float], ...] = ()
    exclude_arcsec: float = 5.0
    paint_out: bool = False
    stars: bool = False
    label: str = "unknown"

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise UsageError(f"--label '{printable(self.label, 60)}' is not one of {', '.join(LABELS)}")
        if not LEAST_SIDE <= self.side <= LARGEST_SIDE:
            raise UsageError(f"--side must lie in {LEAST_SIDE} … {LARGEST_SIDE} pixels, not {self.side}")
        if self.min_pixels < 1:
            raise UsageError(f"--min-pixels must be at least 1, not {self.min_pixels}")
        for option, value in (
            ("--min-snr", self.min_snr),
            ("--apart-arcsec", self.apart_arcsec),
            ("--edge-arcsec", 0.0 if self.edge_arcsec is None else self.edge_arcsec),
            ("--centre-arcsec", self.centre_arcsec),
            ("--exclude-arcsec", self.exclude_arcsec),
        ):
            if not 0 <= value < math.inf:
                raise UsageError(f"{option} must be 0 or more, not {value:g}")
        if self.max_mag is not None and not math.isfinite(self.max_mag):
            raise UsageError(f"--max-mag must be finite, not {self.max_mag:g}")
        if self.paint_out and not (self.centre_arcsec or self.exclude):
            raise UsageError("--paint-out replaces excluded discs; name them by --centre-arcsec or --exclude")


@dataclass(frozen=True)
class Plane:
    """One band of an image, searched for galaxies: float32 (rows, columns), its σ, and what a measurement needs."""

    image: NDArray[np.float32]
    rms: NDArray[np.float32]
    psf: Array
    scale_arcsec: float
    zero_point_mag: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class Galaxy:
    """A galaxy in an image.

    Attributes
    ----------
    x, y
        Its light's centroid, pixels counted from 0.
    square
        Its cutout.
    snr, pixels
        Of its light above the threshold.
    neighbour_arcsec
        Distance of the nearest brighter object; NaN where none of the nearest 64 is brighter.
    edge_arcsec
        Distance from the edge of the image.
    """

    x: float
    y: float
    square: Square
    snr: float
    pixels: int
    neighbour_arcsec: float
    edge_arcsec: float


@dataclass(frozen=True)
class Searched:
    """What was found in one image: galaxies to cut, why others are left out, and what is painted over."""

    galaxies: tuple[Galaxy, ...]
    left_out: Counter[str] = field(default_factory=Counter)
    painted: tuple[Painted, ...] = ()


@dataclass(frozen=True)
class _Objects:
    """All objects of an image: centroids, flux above the threshold, S/N, pixels; (n,) each."""

    x: Array
    y: Array
    flux: Array
    snr: Array
    pixels: NDArray[np.int64]


_NOTHING = _Objects(np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.int64))


def search(plane: Plane, discs: Sequence[Disc], settings: CutSettings) -> Searched:
    """Find the galaxies of one image.

    Parameters
    ----------
    plane
        The band they are looked for in.
    discs
        Where none is looked for.
    """
    painted: tuple[Painted, ...] = ()
    if settings.paint_out:
        painted = tuple(painted_discs(plane.image, plane.rms, discs))
        image, rms = plane.image, plane.rms
        for one in painted:
            image, rms = one.on(image, smooth=True), one.on(rms, smooth=False)
        plane = replace(plane, image=image, rms=rms)
    objects = _objects(plane, settings.min_pixels)
    neighbours = _next_brighter(objects) * plane.scale_arcsec
    found, left_out = [], Counter[str]()
    for i in np.lexsort((objects.x, objects.y)):
        galaxy = _galaxy(objects, int(i), float(neighbours[i]), plane, settings.side)
        reason = _why_not(galaxy, plane, discs, settings)
        if reason:
            left_out[reason] += 1
        else:
            found.append(galaxy)
    return Searched(tuple(found), left_out, painted)


def _galaxy(objects: _Objects, i: int, neighbour: float, plane: Plane, side: int) -> Galaxy:
    x, y = float(objects.x[i]), float(objects.y[i])
    rows, columns = plane.shape
    edge = min(x + 0.5, y + 0.5, columns - 0.5 - x, rows - 0.5 - y) * plane.scale_arcsec
    return Galaxy(x, y, square_about(x, y, side), float(objects.snr[i]), int(objects.pixels[i]), neighbour, edge)


FAINT, NEAR_EDGE, EXCLUDED = "too faint", "too near the edge", "too near an excluded position"
BESIDE, BAD, STAR, NOTHING = "beside a brighter object", "with bad pixels", "stars", "not seen when cut out"


def _why_not(galaxy: Galaxy, plane: Plane, discs: Sequence[Disc], settings: CutSettings) -> str:
    """Why it is not cut out, as its group is counted; empty where it is. What costs least is asked first."""
    square, least_edge = galaxy.square, settings.edge_arcsec
    if galaxy.snr < settings.min_snr:
        return FAINT
    if square.mirrored(plane.shape) if least_edge is None else galaxy.edge_arcsec < least_edge:
        return NEAR_EDGE
    own = 1.5 * math.sqrt(galaxy.pixels / math.pi)  # radii of its isophote: its own light is not painted over
    for disc in discs:
        within = math.hypot(galaxy.x - disc.x, galaxy.y - disc.y) <= disc.radius + own
        if within or (not settings.paint_out and square.shows(disc, plane.shape)):
            return EXCLUDED
    if galaxy.neighbour_arcsec < settings.apart_arcsec:
        return BESIDE
    bad, middle = ~np.isfinite(square.of(plane.rms)), settings.side // 2
    if bad.mean() > MOST_BAD or bad[middle - 1 : middle + 2, middle - 1 : middle + 2].any():
        return BAD
    light = _light(galaxy, plane)
    if light is None:
        return NOTHING
    if light.is_star and not settings.stars:
        return STAR
    return FAINT if settings.max_mag is not None and light.magnitudes[""] > settings.max_mag else ""


def _light(galaxy: Galaxy, plane: Plane) -> CentralLight | None:
    """What is measured of it, in a square as wide as the measurement looks at."""
    side = max(LEAST_SIDE, 2 * math.ceil(MEASURED_ARCSEC / plane.scale_arcsec)) + 1
    square = square_about(galaxy.x, galaxy.y, side)
    return measure(
        HostCutout(
            id="",
            images={"": square.of(plane.image)},
            psf={"": plane.psf},
            rms={"": square.of(plane.rms)},
            zero_point_mag={"": plane.zero_point_mag},
            pixel_scale_arcsec={"": plane.scale_arcsec},
        )
    )


def _objects(plane: Plane, min_pixels: int) -> _Objects:
    parts = [_in_block(plane, *block, min_pixels) for block in _blocks(plane.shape)]
    joined = [np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "flux", "snr", "pixels")]
    once = np.ones(len(joined[0]), bool)
    if len(parts) > 1:
        from scipy.spatial import cKDTree

        twice = cKDTree(np.column_stack(joined[:2])).query_pairs(SAME_OBJECT_PIXELS, output_type="ndarray")
        once[twice.max(axis=1)] = False
    return _Objects(*(values[once] for values in joined))


def _blocks(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0], BLOCK):
        for column in range(0, shape[1], BLOCK):
            yield slice(row, min(row + BLOCK, shape[0])), slice(column, min(column + BLOCK, shape[1]))


def _in_block(plane: Plane, rows: slice, columns: slice, min_pixels: int) -> _Objects:
    """Objects whose centroid lies in this block; it is searched with what is round it."""
    from astropy.stats import sigma_clipped_stats
    from photutils.segmentation import deblend_sources, detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    first = (max(rows.start - OVERLAP, 0), max(columns.start - OVERLAP, 0))
    seen = np.s_[first[0] : rows.stop + OVERLAP, first[1] : columns.stop + OVERLAP]
    image, rms = plane.image[seen].astype(np.float64), plane.rms[seen].astype(np.float64)
    good = np.isfinite(rms) & np.isfinite(image)
    if not good.any():
        return _NOTHING
    sky = sigma_clipped_stats(image[good], sigma=3.0, maxiters=5)[1]
    above = np.where(good, image - sky, 0.0)
    with warnings.catch_warnings():  # an empty image is an answer here
        warnings.simplefilter("ignore", NoDetectionsWarning)
        segments = detect_sources(above, np.where(good, THRESHOLD_SIGMA * rms, np.inf), min_pixels)
    if segments is None:
        return _NOTHING
    parts = deblend_sources(above, segments, min_pixels, n_levels=16, contrast=0.005, progress_bar=False)
    at_rows, at_columns = np.nonzero(parts.data)
    labels = np.unique(parts.data[at_rows, at_columns], return_inverse=True)[1]
    light, noise = above[at_rows, at_columns], rms[at_rows, at_columns]
    flux = np.bincount(labels, light)
    x = np.bincount(labels, light * at_columns) / flux + first[1]
    y = np.bincount(labels, light * at_rows) / flux + first[0]
    # A pixel more on every side: where two blocks see the same object a little differently, neither must lose it.
    own = (np.abs(x - (columns.start + columns.stop - 1) / 2) <= (columns.stop - columns.start) / 2 + 1) & (
        np.abs(y - (rows.start + rows.stop - 1) / 2) <= (rows.stop - rows.start) / 2 + 1
    )
    snr = flux / np.sqrt(np.bincount(labels, noise**2))
    return _Objects(x[own], y[own], flux[own], snr[own], np.bincount(labels)[own])


def _next_brighter(objects: _Objects) -> Array:
    """Distance in pixels of each object's nearest brighter one; NaN where none of the nearest ones is."""
    from scipy.spatial import cKDTree

    places = np.column_stack([objects.x, objects.y])
    distances = np.full(len(places), math.nan)
    if len(places) < 2:
        return distances
    apart, which = cKDTree(places).query(places, k=min(NEAR + 1, len(places)))
    brighter = objects.flux[which] > objects.flux[:, None]
    nearest = brighter.argmax(axis=1)
    rows = np.flatnonzero(brighter.any(axis=1))
    distances[rows] = apart[rows, nearest[rows]]
    return distances
