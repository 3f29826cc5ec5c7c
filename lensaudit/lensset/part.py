"""Some systems of a lens set as a set of their own, and where on the sky systems are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.lensset.arrays import LineFile
from lensaudit.lensset.cutouts import Cutouts, Index, in_batches, positions
from lensaudit.lensset.header import Header
from lensaudit.lensset.store import LensSet

if TYPE_CHECKING:
    from astropy.wcs import WCS


class Part(LensSet):
    """The systems `rows` of `whole`, in that order; nothing is copied.

    Its content hash is of the whole's hash and the rows. It names no seed, as parts of one set share no systems unless
    their rows do.

    Parameters
    ----------
    rows
        Positions in `whole` (m,).
    """

    def __init__(self, whole: LensSet, rows: NDArray[np.integer[Any]]) -> None:
        self.rows = np.asarray(rows, dtype=np.intp)
        self._whole = whole
        self.path, self._header, self._arrays = whole.path, whole._header, whole._arrays  # checked when it was opened

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def header(self) -> Header:
        """As the whole's, with this number of systems, no seed and no checksums."""
        own = {"n": len(self), "seed": None, "content_hash": self.content_hash, "checksums": None}
        return self._header.model_copy(update=own)

    @property
    def seed(self) -> None:
        """None: two parts of one set have no systems in common unless they have the same rows."""
        return

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the whole's content hash and the rows."""
        return hash_of_rows(self._whole, self.rows)

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (m,)."""
        return self._whole.column(name)[self.rows]

    def verify(self, seen: Callable[[int, Mapping[str, NDArray[np.float32]]], None] | None = None) -> None:
        """Verify the whole set."""
        self._whole.verify(seen)

    @property
    def _scenes(self) -> LineFile:
        return self._whole._scenes

    @property
    def _wcs(self) -> LineFile:
        return self._whole._wcs

    def _indices(self, index: Index) -> NDArray[np.intp]:
        return self.rows[super()._indices(index)]


def hash_of_rows(whole: Cutouts, rows: NDArray[np.integer[Any]]) -> str:
    """SHA-256 of the content hash of `whole` and the `rows` of it."""
    words = f"{whole.content_hash}\n{','.join(map(str, rows))}"
    return hashlib.sha256(words.encode()).hexdigest()


class SomeCutouts:
    """The systems `rows` of `whole`, which is no lens set, in that order; nothing is copied.

    Its content hash is of the whole's hash and the rows.
    """

    def __init__(self, whole: Cutouts, rows: NDArray[np.integer[Any]]) -> None:
        self.rows = np.asarray(rows, dtype=np.intp)
        self._whole = whole
        self.path, self.bands, self.instrument = whole.path, whole.bands, whole.instrument
        self.shape, self.pixel_scale_arcsec, self.pixel_units = whole.shape, whole.pixel_scale_arcsec, whole.pixel_units
        self.columns, self.units = whole.columns, whole.units
        self.has_truth, self.has_scenes, self.has_wcs = whole.has_truth, whole.has_scenes, whole.has_wcs
        self.has_psf, self.has_rms = whole.has_psf, whole.has_rms

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the whole's content hash and the rows."""
        return hash_of_rows(self._whole, self.rows)

    @property
    def ids(self) -> list[str]:
        """Names of the systems, distinct."""
        return self.ids_in(slice(None))

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 lens, 0 non-lens, −1 unknown: int8 (m,)."""
        return self.labels_in(slice(None))

    def ids_in(self, span: slice) -> list[str]:
        """Names of the systems of `span`."""
        names = self._whole.ids
        return [names[row] for row in self.rows[span]]

    def labels_in(self, span: slice) -> NDArray[np.int8]:
        """Labels of the systems of `span`: int8 (m,)."""
        return self._whole.labels[self.rows[span]]

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (m,)."""
        return self._whole.column(name)[self.rows]

    def images(self, band: str, index: Index) -> NDArray[np.float32]:
        """Native-resolution pixels of `band`: float32 (m, h, w)."""
        return self._whole.images(band, self._indices(index))

    def cutouts(self, index: Index) -> dict[str, NDArray[np.float32]]:
        """Every band's native-resolution pixels: band → float32 (m, h, w)."""
        return self._whole.cutouts(self._indices(index))

    def batches(self, size: int) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
        """Yield (systems, cutouts) of `size` systems at a time."""
        return in_batches(self, size)

    def index_of(self, name: str) -> int:
        """Position of the system called `name`."""
        row = self._whole.index_of(name)
        found = np.flatnonzero(self.rows == row)
        if not len(found):
            raise UsageError(f"{self.path}: system {name} is not in this part")
        return int(found[0])

    def wcs(self, i: int, band: str) -> WCS:
        """World coordinates of one cutout."""
        return self._whole.wcs(int(self._indices(i)[0]), band)

    def own_wcs(self, i: int, band: str) -> WCS | None:
        """World coordinates that the cutout came with; None where it had none."""
        return self._whole.own_wcs(int(self._indices(i)[0]), band)

    def _indices(self, index: Index) -> NDArray[np.intp]:
        return self.rows[positions(index, len(self), self.path)]


def part_of(whole: Cutouts, rows: NDArray[np.integer[Any]]) -> Cutouts:
    """The systems `rows` of `whole`, in that order, as cutouts of their own."""
    return Part(whole, rows) if isinstance(whole, LensSet) else SomeCutouts(whole, rows)


COLUMNS = (
    ("ra", "dec"),
    ("ra_deg", "dec_deg"),
    ("raj2000", "dej2000"),
    ("alpha_j2000", "delta_j2000"),
    ("right_ascension", "declination"),
)
"""Names, in any case, of catalogue columns that hold right ascension and declination in degrees."""


def sky_positions(lens_set: Cutouts) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Right ascension and declination in degrees (n,), (n,); None where the set has neither columns nor a WCS.

    Columns of the catalogue win over the centre of a cutout's WCS, which costs some 2 ms an image to read. A system
    without either is NaN.
    """
    named = {name.lower(): name for name in lens_set.columns}
    for ra, dec in COLUMNS:
        if ra in named and dec in named:
            found = _numbers(lens_set.column(named[ra])), _numbers(lens_set.column(named[dec]))
            if found[0] is not None and found[1] is not None:
                return found[0], found[1]
    if not lens_set.has_wcs:
        return None
    centres = np.array([_centre(lens_set, i) for i in range(len(lens_set))]).reshape(-1, 2)
    return (centres[:, 0], centres[:, 1]) if np.isfinite(centres).any() else None


def _numbers(values: NDArray[Any]) -> NDArray[np.float64] | None:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return None


def _centre(lens_set: Cutouts, system: int) -> tuple[float, float]:
    """Of the first band that has coordinates of its own."""
    for band in lens_set.bands:
        wcs = lens_set.own_wcs(system, band)
        if wcs is not None:
            rows, columns = lens_set.shape[band]
            return _icrs(wcs, (columns - 1) / 2, (rows - 1) / 2)
    return np.nan, np.nan


def _icrs(wcs: WCS, x: float, y: float) -> tuple[float, float]:
    from astropy.wcs.utils import wcs_to_celestial_frame

    celestial = wcs.celestial
    longitude, latitude = (float(value) for value in celestial.pixel_to_world_values(x, y))
    if wcs_to_celestial_frame(celestial).name == "icrs":
        return longitude, latitude
    position = celestial.pixel_to_world(x, y).icrs
    return float(position.ra.deg), float(position.dec.deg)
