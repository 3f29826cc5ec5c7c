"""Reading a lens set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, LensauditError, NoSuchFile, UsageError
from lensaudit.lensset.arrays import LineFile, StoredArray, array_specs, check_array
from lensaudit.lensset.catalogue import CATALOGUE_NAME, Rows, checked_labels, open_catalogue, read_column
from lensaudit.lensset.cutouts import Index, distinct, in_batches, positions
from lensaudit.lensset.header import FIX, HEADER_NAME, BandHeader, Header, read_header
from lensaudit.lensset.writer import SCENES_NAME, WCS_NAME, verify, why_unfinished
from lensaudit.records import card
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from lensaudit.scenes import Scene


class LensSet:
    """Cutouts and catalogue on disk; reads what is requested and keeps nothing but the header.

    Attributes
    ----------
    path
        Folder of the set.
    header
        The content of ``lensset.json``, a frozen record.
    bands
        Band names, in the order of the header.

    See Also
    --------
    lensaudit.simulate : a set with known truth.
    lensaudit.ingest : a set from your own cutouts.

    Examples
    --------
    >>> import lensaudit as la
    >>> made = la.simulate("euclid", n=4, seed=7)
    >>> lenses = la.LensSet.open(made.path)
    >>> len(lenses), lenses.labels.shape, lenses.cutouts([0, 1])["VIS"].shape
    (4, (4,), (2, 200, 200))
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self._header = header
        open_catalogue(path / CATALOGUE_NAME, header)
        self._arrays = {spec.path: check_array(path, spec, header) for spec in array_specs(header)}

    @classmethod
    def open(cls, path: Path | str) -> LensSet:
        """Open a finished set and check its header, catalogue and arrays' metadata.

        Raises
        ------
        UsageError
            There is no such folder.
        DataError
            The set is unfinished, damaged, or no lens set at all.
        """
        path = Path(path)
        if not path.exists():
            raise NoSuchFile(f"{path}: no such lens set; check the path, or make one with lensaudit simulate or ingest")
        if not (path / HEADER_NAME).is_file():
            raise DataError(why_unfinished(path))
        header = read_header(path / HEADER_NAME)
        if header.content_hash is None:
            raise DataError(f"{path / HEADER_NAME}: has no content_hash, so the set is not whole; {FIX}")
        opened = cls(path, header)
        if header.checksums is None and header.population is not None and header.n < 1_000_000:
            opened._refuse_shuffled()
        return opened

    def _refuse_shuffled(self) -> None:
        """All that can be said of the order of a simulated set without checksums: its ids count upwards."""
        row = next((i for i, (one, other) in enumerate(pairwise(self.ids), 2) if other < one), None)
        if row is not None:
            where = f"{self.path / CATALOGUE_NAME}: row {row}: id {printable(self.ids[row - 1], 60)}"
            raise DataError(f"{where} is out of order; {FIX}")

    def __len__(self) -> int:
        return self.header.n

    def __repr__(self) -> str:
        return f"LensSet({str(self.path)!r}, n={len(self)}, instrument={self.instrument!r}, bands={self.bands})"

    def _repr_html_(self) -> str:
        labels = self.labels
        pixels = (f"{b.name} {b.shape[0]}×{b.shape[1]} at {b.pixel_scale_arcsec:g}″" for b in self.header.bands)
        systems = f"{len(self)}: {(labels == 1).sum()} lenses, {(labels == 0).sum()} non-lenses"
        facts = {"systems": systems, "pixels": ", ".join(pixels), "truth": self.has_truth}
        kept = {"PSF": filter(self.has_psf, self.bands), "RMS": filter(self.has_rms, self.bands)}
        facts |= {kind: ", ".join(bands) or "none" for kind, bands in kept.items()} | {"hash": self.content_hash[:16]}
        return card(f"Lens set {self.path.name} ({self.instrument})", facts)

    @property
    def header(self) -> Header:
        """The content of ``lensset.json``."""
        return self._header

    @property
    def population(self) -> str | None:
        """Name of the population it was simulated from; None where it was not."""
        return self.header.population

    @property
    def injected(self) -> bool:
        """Whether `inject` made it: simulated arcs in hosts."""
        return self.header.source.layout == "injected"

    @property
    def seed(self) -> int | None:
        """Seed of the simulation; None where there is none, and of a part of a set."""
        return self.header.seed

    @property
    def has_scenes(self) -> bool:
        """Whether every system has its scene."""
        return self.header.has_scenes

    @property
    def has_wcs(self) -> bool:
        """Whether cutouts have sky coordinates of their own."""
        return self.header.has_wcs

    @property
    def command(self) -> str:
        """Command that made it; ``unknown`` where the header does not say."""
        return self.header.provenance.command or "unknown"

    @property
    def content_hash(self) -> str:
        """SHA-256 of the logical content; results name their data by it."""
        assert self.header.content_hash is not None
        return self.header.content_hash

    @property
    def instrument(self) -> str:
        """Name of the instrument, e.g. ``euclid``."""
        return self.header.instrument

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in the order of the header."""
        return tuple(band.name for band in self.header.bands)

    @property
    def pixel_units(self) -> dict[str, str]:
        """What a pixel value means, by band: its unit and, where it is known, the zero point."""
        return {band.name: band.pixel_unit for band in self.header.bands}

    @property
    def pixel_scale_arcsec(self) -> dict[str, float]:
        """Band → arcsec per pixel."""
        return {band.name: band.pixel_scale_arcsec for band in self.header.bands}

    @property
    def shape(self) -> dict[str, tuple[int, int]]:
        """Band → native (rows, columns)."""
        return {band.name: band.shape for band in self.header.bands}

    @property
    def has_truth(self) -> bool:
        """Whether the lensed-source light and its mask are stored."""
        return self.header.has_truth

    @property
    def has_checksums(self) -> bool:
        """Whether the header holds checksums of the files; sets of earlier versions have none."""
        return self.header.checksums is not None

    @cached_property
    def ids(self) -> list[str]:
        """Names of the systems, distinct.

        Raises
        ------
        DataError
            An id is there twice.
        """
        return distinct([str(name) for name in self.column("id")], f"{self.path / CATALOGUE_NAME}", FIX)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the catalogue's columns, ``id`` first."""
        return ("id", *(column.name for column in self.header.columns))

    @property
    def own_columns(self) -> dict[str, str]:
        """Columns of numbers that the user declared beside the images of a container → unit; else none."""
        declared = self.header.columns if self.header.source.layout == "cutouts" else ()
        return {column.name: column.unit for column in declared if column.dtype == "float64"}

    @property
    def units(self) -> dict[str, str]:
        """Column → unit; ``""`` for a pure number."""
        return {"id": "", **{column.name: column.unit for column in self.header.columns}}

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 lens, 0 non-lens, −1 unknown: int8 (n,).

        Raises
        ------
        DataError
            A label is something else.
        """
        return checked_labels(self.column("label"), self.path / CATALOGUE_NAME)

    def ids_in(self, span: slice) -> list[str]:
        """Names of the systems of `span`; nothing else is read, so that they may be doubled elsewhere."""
        return [str(name) for name in self.column_in("id", span)]

    def labels_in(self, span: slice) -> NDArray[np.int8]:
        """Labels of the systems of `span`: int8 (m,); nothing else is read."""
        first = span.indices(len(self))[0]
        return checked_labels(self.column_in("label", span), self.path / CATALOGUE_NAME, first)

    def column_in(self, name: str, span: slice) -> NDArray[Any]:
        """One catalogue column of the systems of `span` (m,); nothing else is read."""
        if name not in self.columns:
            return self.column(name)  # says what there is
        return self._rows.read(name, self._indices(span))

    def column(self, name: str) -> NDArray[Any]:
        """One catalogue column (n,); DataError names the columns there are."""
        return read_column(self.path / CATALOGUE_NAME, name, self.columns)

    def images(self, band: str, index: Index) -> NDArray[np.float32]:
        """Native-resolution pixels of `band`: float32 (m, h, w)."""
        return self._array("images", band).read(self._indices(index))

    def cutouts(self, index: Index) -> dict[str, NDArray[np.float32]]:
        """Every band's native-resolution pixels: band → float32 (m, h, w)."""
        return {band: self.images(band, index) for band in self.bands}

    def source_light(self, band: str, index: Index) -> NDArray[np.float32]:
        """Noiseless lensed-source light: float32 (m, h, w)."""
        return self._truth("truth/source_light", band).read(self._indices(index))

    def mask(self, band: str, index: Index) -> NDArray[np.bool_]:
        """Pixels where the lensed-source light is above 0.5 σ of the noise: bool (m, h, w)."""
        return self._truth("truth/mask", band).read(self._indices(index))

    def has_psf(self, band: str) -> bool:
        """Whether the point-spread function of `band` is stored."""
        return self._band(band).psf is not None

    def has_rms(self, band: str) -> bool:
        """Whether the noise of `band` is stored."""
        return self._band(band).rms is not None

    def psf(self, band: str, index: Index) -> NDArray[np.float32]:
        """Point-spread function of each cutout, at the pixel scale of the band: float32 (m, k, k).

        k is odd, the sum 1, the centroid within half a pixel of the central one. Where the set has one for all, it is
        handed out broadcast, read-only.

        Raises
        ------
        DataError
            The set holds none for this band.
        """
        return self._survey("psf", band, self.has_psf(band), index)

    def rms(self, band: str, index: Index) -> NDArray[np.float32]:
        """Standard deviation of the noise of each pixel, in the unit of the image: float32 (m, h, w).

        Positive and without NaN; +inf where a pixel has no weight. One for all, or none, is treated as by `psf`.
        """
        return self._survey("rms", band, self.has_rms(band), index)

    def batches(self, size: int) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
        """Yield (systems, cutouts) of `size` systems at a time; memory does not grow with the set."""
        return in_batches(self, size)

    def index_of(self, name: str) -> int:
        """Position of the system called `name`."""
        if name not in self._positions:
            raise UsageError(f"{self.path}: no system '{name}'; ids run from {self.ids[0]} to {self.ids[-1]}")
        return self._positions[name]

    def scene(self, i: int) -> Scene | None:
        """The scene system `i` was rendered from; ``None`` for ingested cutouts."""
        if not self.header.has_scenes:
            return None
        from lensaudit.scenes import Scene

        place = self._one(i)
        try:
            return Scene.from_json(self._scenes[place])
        except (LensauditError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{self._scenes.where(place)}: {printable(error, 200)}; {FIX}") from error

    def wcs(self, i: int, band: str) -> WCS:
        """World coordinates of one cutout.

        A cutout without coordinates of its own (simulated, or ingested without) gets a tangential projection with
        its pixel scale, north up, centred on (0°, 0°).
        """
        from lensaudit.lensset.coordinates import plain_wcs

        info, own = self._band(band), self.own_wcs(i, band)
        return plain_wcs(info.shape, info.pixel_scale_arcsec) if own is None else own

    def own_wcs(self, i: int, band: str) -> WCS | None:
        """World coordinates that the cutout came with; None where it had none."""
        from lensaudit.lensset.coordinates import from_cards

        cards = self._cards(self._one(i)).get(band)
        if not cards:
            return None
        try:
            return from_cards(cards)
        except Exception as error:  # astropy and WCSLIB have no common exception for cards they cannot use
            where = self._wcs.where(self._one(i))
            raise DataError(f"{where}: band {band}: no world coordinates ({printable(error, 120)}); {FIX}") from error

    def wcs_cards(self, i: int) -> dict[str, str]:
        """Band → FITS header cards of the coordinates that one cutout came with; bands without are not there."""
        return {band: cards for band, cards in self._cards(self._one(i)).items() if cards}

    def _cards(self, i: int) -> dict[str, str]:
        """Band → FITS header cards of one system; empty where the set has none."""
        found = self._wcs[i] if self.header.has_wcs else {}
        if not isinstance(found, dict) or not all(isinstance(cards, str | None) for cards in found.values()):
            raise DataError(f"{self._wcs.where(i)}: must map bands to FITS header cards; {FIX}")
        return found

    def verify(self, seen: Callable[[int, Mapping[str, NDArray[np.float32]]], None] | None = None) -> None:
        """Read everything and compare it with the content hash.

        Parameters
        ----------
        seen
            Called after each chunk with the number of systems read so far and the chunk's cutouts.

        Raises
        ------
        DataError
            A file is damaged, or the content is not what the header names.
        """
        scenes = self._scenes.__getitem__ if self.header.has_scenes else None
        verify(self.path, self.header, self._arrays, (scenes, self._cards if self.header.has_wcs else None), seen)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.ids)}

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.path / CATALOGUE_NAME)

    @cached_property
    def _scenes(self) -> LineFile:
        return self._lines(SCENES_NAME)

    @cached_property
    def _wcs(self) -> LineFile:
        return self._lines(WCS_NAME)

    def _lines(self, name: str) -> LineFile:
        known = self.header.checksums
        return LineFile(self.path / name, self.header.n, None if known is None else known.files.get(name))

    def _band(self, band: str) -> BandHeader:
        for info in self.header.bands:
            if info.name == band:
                return info
        raise DataError(f"{self.path}: no band '{band}'; the bands are {', '.join(self.bands)}")

    def _array(self, kind: str, band: str) -> StoredArray:
        return self._arrays[f"{kind}/{self._band(band).name}"]

    def _truth(self, kind: str, band: str) -> StoredArray:
        if not self.has_truth:
            raise DataError(f"{self.path}: has no truth (it was ingested, not simulated); use a simulated set")
        return self._array(kind, band)

    def _survey(self, kind: str, band: str, there: bool, index: Index) -> NDArray[np.float32]:
        if not there:
            raise DataError(f"{self.path}: band {band} has no {kind.upper()}; ingest it with --{kind} {band}=PATTERN")
        return self._array(kind, band).read(self._indices(index))

    def _one(self, i: int) -> int:
        return int(self._indices(i)[0])

    def _indices(self, index: Index) -> NDArray[np.intp]:
        return positions(index, len(self), self.path)
