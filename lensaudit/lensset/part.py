"""Some systems of a lens set as a set of their own, and where on the sky systems are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.lensset.cutouts import Cutouts, Index
from lensaudit.lensset.header import Header
from lensaudit.lensset.store import LensSet

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from lensaudit.scenes import Scene


class Part(LensSet):
    """The systems `rows` of `whole`, a lens set or a container, in that order; nothing is copied.

    Its content hash is of the whole's hash and the rows. It names no seed, as parts of one set share no systems unless
    their rows do.

    Parameters
    ----------
    rows
        Positions in `whole` (m,).
    """

    def __init__(self, whole: LensSet, rows: NDArray[np.integer[Any]]) -> None:
        self.rows = np.asarray(rows, dtype=np.intp)
        self._whole, self.path = whole, whole.path  # checked when it was opened

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def header(self) -> Header:
        """As the whole's, with this number of systems, no seed and no checksums."""
        own = {"n": len(self), "seed": None, "content_hash": self.content_hash, "checksums": None}
        return self._whole.header.model_copy(update=own)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the whole's content hash and the rows."""
        return hash_of_rows(self._whole, self.rows)

    @cached_property
    def ids(self) -> list[str]:
        """Names of the systems."""
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

    def column_in(self, name: str, span: slice) -> NDArray[Any]:
        """One catalogue column of the systems of `span` (m,)."""
        return self.column(name)[span]

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (m,)."""
        return self._whole.column(name)[self.rows]

    def index_of(self, name: str) -> int:
        """Position of the system called `name`."""
        row = self._whole.index_of(name)
        found = np.flatnonzero(self.rows == row)
        if not len(found):
            raise UsageError(f"{self.path}: system {name} is not in this part")
        return int(found[0])

    def images(self, band: str, index: Index) -> NDArray[np.float32]:
        """Native-resolution pixels of `band`: float32 (m, h, w)."""
        return self._whole.images(band, self._indices(index))

    def source_light(self, band: str, index: Index) -> NDArray[np.float32]:
        """Noiseless lensed-source light: float32 (m, h, w)."""
        return self._whole.source_light(band, self._indices(index))

    def mask(self, band: str, index: Index) -> NDArray[np.bool_]:
        """Pixels where the lensed-source light is above 0.5 σ of the noise: bool (m, h, w)."""
        return self._whole.mask(band, self._indices(index))

    def psf(self, band: str, index: Index) -> NDArray[np.float32]:
        """Point-spread function of each cutout: float32 (m, k, k)."""
        return self._whole.psf(band, self._indices(index))

    def rms(self, band: str, index: Index) -> NDArray[np.float32]:
        """Standard deviation of the noise of each pixel: float32 (m, h, w)."""
        return self._whole.rms(band, self._indices(index))

    def scene(self, i: int) -> Scene | None:
        """The scene system `i` was rendered from; None for ingested cutouts."""
        return self._whole.scene(self._one(i))

    def verify(self, seen: Callable[[int, Mapping[str, NDArray[np.float32]]], None] | None = None) -> None:
        """Verify the whole set."""
        self._whole.verify(seen)

    def own_wcs(self, i: int, band: str) -> WCS | None:
        """World coordinates that the cutout came with; None where it had none."""
        return self._whole.own_wcs(self._one(i), band)

    def wcs_cards(self, i: int) -> dict[str, str]:
        """Band → FITS header cards of the coordinates that one cutout came with."""
        return self._whole.wcs_cards(self._one(i))

    def _indices(self, index: Index) -> NDArray[np.intp]:
        return self.rows[super()._indices(index)]


def hash_of_rows(whole: Cutouts, rows: NDArray[np.integer[Any]]) -> str:
    """SHA-256 of the content hash of `whole` and the `rows` of it."""
    words = f"{whole.content_hash}\n{','.join(map(str, rows))}"
    return hashlib.sha256(words.encode()).hexdigest()


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
