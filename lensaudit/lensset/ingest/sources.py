"""Files that images are read from, FITS and numpy's ``.npz``: planes of pixels, and what the file says about them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.fits_input import LARGEST_BYTES, number, open_fits, pixels_of
from lensaudit.lensset.coordinates import SCALES_ARCSEC, Sky, header_sky, scale_arcsec
from lensaudit.lensset.ingest.flux import Electrons, ZeroPoint, electrons_of, unit_of, zero_point_of
from lensaudit.lensset.ingest.systems import Plate
from lensaudit.untrusted import TORN_ZIP, other_kind, printable

SCALE_CARDS = ("PIXELSCL", "PIXSCALE", "PSCALE", "SECPIX")
"""Header cards with the arcsec of a pixel, of files that have no sky coordinates, as those of PSFs."""


@dataclass(frozen=True)
class Image:
    """A 2-D image in native byte order, float32, with what its header says about sky and flux, and its mask if any."""

    pixels: NDArray[np.float32]
    sky: Sky = field(default_factory=lambda: Sky(None))
    zero_point: ZeroPoint | None = None
    electrons: Electrons | None = None
    unit: str = ""
    masked: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Stamp:
    """A plane that is no image, such as a PSF: its pixels, arcsec per pixel if it says so, and its name in messages."""

    pixels: NDArray[Any]
    scale_arcsec: float | None
    where: str


class Source(Protocol):
    """An open file."""

    def image(self, plate: Plate, band: str, *, zero_point: bool = True) -> Image:
        """The image of `band`, with the header's zero point unless the user gave one.

        Raises
        ------
        DataError
            No such extension or plane, or it holds no 2-D image, or the data or the zero point are damaged.
        """
        ...

    def stamp(self, plate: Plate, band: str, what: str) -> Stamp:
        """Another plane of `band`: ``PSF``, ``noise`` or ``mask``.

        Raises
        ------
        DataError
            As `image`; or its pixel scale is none.
        """
        ...


@dataclass(frozen=True)
class FitsSource:
    """An open FITS file."""

    hdus: fits.HDUList

    def image(self, plate: Plate, band: str, *, zero_point: bool = True) -> Image:
        """See `Source`."""
        hdu, name = extension_of(self.hdus, plate, f"band {band}")
        where = f"{plate.path}: band {band}: extension {name}"
        pixels = pixels_of(hdu, where, plate.plane, self.hdus)
        with np.errstate(over="ignore", invalid="ignore"):
            single = pixels.astype(np.float32)  # also from big-endian, as FITS stores, to native order
        about = (hdu.header, self.hdus[0].header)
        found = zero_point_of(*about, where) if zero_point else None
        return Image(single, header_sky(hdu.header, self.hdus), found, electrons_of(*about), unit_of(*about))

    def stamp(self, plate: Plate, band: str, what: str) -> Stamp:
        """See `Source`."""
        hdu, name = extension_of(self.hdus, plate, f"{what} of band {band}")
        where = f"{plate.path}: band {band}: {what}: extension {name}"
        return Stamp(pixels_of(hdu, where, plate.plane, self.hdus), _own_scale(hdu.header, where), where)


def _own_scale(header: fits.Header, where: str) -> float | None:
    sky = header_sky(header).wcs
    if sky is not None:
        return scale_arcsec(sky)
    for card in SCALE_CARDS:
        value = number(header, card, where)
        if value is None:
            continue
        if not SCALES_ARCSEC[0] <= value <= SCALES_ARCSEC[1]:
            raise DataError(f"{where}: header card {card} is {value:g}, no pixel scale in arcsec; correct the card")
        return value
    return None


def extension_of(hdus: fits.HDUList, plate: Plate, what: str) -> tuple[Any, str]:
    """The first of the plate's extensions that the file has, and what it is called in messages."""
    names = [str(hdu.name) for hdu in hdus]
    for wanted in plate.extensions:
        if isinstance(wanted, int) and wanted < len(hdus):
            return hdus[wanted], printable(names[wanted] or str(wanted), 60)
        if isinstance(wanted, str):
            name, _, version = wanted.upper().partition(",")
            for hdu in hdus:
                if str(hdu.name).upper() == name and version.strip() in ("", str(hdu.ver)):
                    return hdu, printable(wanted, 60)
    extensions = " or ".join(str(wanted) for wanted in plate.extensions)
    there = printable(", ".join(name or str(i) for i, name in enumerate(names)), 300)
    raise DataError(f"{plate.path}: {what}: no extension {extensions}; the file has {there}")


MOST_ARRAYS = 1000


class NpzArray:
    """One array of an ``.npz`` file, read plane by plane; of pickled objects nothing is read.

    Attributes
    ----------
    shape, dtype
        As its header says; the member's size is that of so many numbers.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, name: str) -> None:
        self.where = f"{path}: array {printable(name, 60)}"
        self._stream: IO[bytes] | None = None
        try:
            self._open(archive, name)
        except DataError:
            self.close()
            raise
        except TORN_ZIP as error:
            self.close()
            raise DataError(f"{self.where}: is damaged ({printable(error, 80)}); write the file again") from error

    def _open(self, archive: zipfile.ZipFile, name: str) -> None:
        member = archive.getinfo(f"{name}.npy")
        self._stream = stream = archive.open(member)
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, columns_first, self.dtype = reader(stream)
        if self.dtype.hasobject:
            raise DataError(f"{self.where}: holds Python objects (a pickle), which are not read; save plain arrays")
        if columns_first and len(self.shape) > 1:
            raise DataError(f"{self.where}: is in Fortran order; save np.ascontiguousarray of it")
        self._first = stream.tell()
        size, found = math.prod(self.shape) * self.dtype.itemsize, member.file_size - self._first
        if found != size:
            raise DataError(f"{self.where}: has {found} bytes, its shape {self.shape} says {size}; write it again")

    def close(self) -> None:
        """Let go of the file."""
        if self._stream is not None:
            self._stream.close()

    def read(self, first: int, count: int) -> NDArray[Any]:
        """`count` numbers from the one at `first`, in memory's order: 1-D.

        Raises
        ------
        DataError
            They are too many, or damaged.
        """
        size = count * self.dtype.itemsize
        if size > LARGEST_BYTES:
            raise DataError(
                f"{self.where}: {size / 1e9:.3g} GB are more than the {LARGEST_BYTES >> 20} MiB that are read at once; "
                "cut it into smaller files"
            )
        assert self._stream is not None
        try:
            self._stream.seek(self._first + first * self.dtype.itemsize)
            found = self._stream.read(size)
        except TORN_ZIP as error:
            raise DataError(f"{self.where}: is damaged ({printable(error, 80)}); write the file again") from error
        if len(found) != size:
            raise DataError(f"{self.where}: ends early; write the file again")
        return np.frombuffer(found, self.dtype)

    def whole(self) -> NDArray[Any]:
        """All of it."""
        return self.read(0, math.prod(self.shape)).reshape(self.shape)

    def plane(self, place: int) -> NDArray[Any]:
        """The 2-D image at `place` of its leading axes, counted through."""
        rows, columns = self.shape[-2:]
        return self.read(place * rows * columns, rows * columns).reshape(rows, columns)


class NpzSource:
    """An open ``.npz`` file of plain arrays."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        if len(members) > MOST_ARRAYS:
            raise DataError(f"{path}: holds {len(members)} arrays, more than {MOST_ARRAYS}; write the file again")
        self.names = tuple(name.removesuffix(".npy") for name in members)
        self._open: dict[str, NpzArray] = {}

    def close(self) -> None:
        """Let go of the arrays that were read."""
        for array in self._open.values():
            array.close()

    def array(self, name: str) -> NpzArray:
        """The array called `name`; DataError where there is none, or it cannot be read."""
        if name not in self.names:
            there = printable(", ".join(self.names), 300)
            raise DataError(f"{self.path}: has no array {printable(name, 60)}, it has {there}")
        if name not in self._open:
            self._open[name] = NpzArray(self.path, self._archive, name)
        return self._open[name]

    def image(self, plate: Plate, band: str, *, zero_point: bool = True) -> Image:
        """See `Source`; such a file says nothing of sky and flux."""
        pixels = self.stamp(plate, band, "images").pixels
        with np.errstate(over="ignore", invalid="ignore"):
            return Image(pixels.astype(np.float32))

    def stamp(self, plate: Plate, band: str, what: str) -> Stamp:
        """See `Source`."""
        array = self.array(str(plate.extensions[0]))
        if array.dtype.kind not in "fiub":
            raise DataError(f"{array.where}: holds no numbers; save plain arrays of them")
        where = f"{array.where}: band {band}"
        return Stamp(array.plane(plate.plane or 0), None, where)


@contextmanager
def open_npz(path: Path) -> Iterator[NpzSource]:
    """Open an ``.npz`` file.

    Raises
    ------
    UsageError
        There is no such file, or it is no regular file.
    DataError
        It is of another kind, or damaged.
    """
    if reason := other_kind(path, "an .npz file of numpy arrays", "npz", "zip"):
        raise DataError(reason)
    try:
        archive = zipfile.ZipFile(path)
    except TORN_ZIP as error:
        raise DataError(f"{path}: is damaged ({printable(error, 80)}); write the file again") from error
    with archive:
        source = NpzSource(path, archive)
        try:
            yield source
        finally:
            source.close()


class Sources:
    """The files that are open: those of one system, and ``.npz`` files, which hold many, until the end."""

    def __init__(self) -> None:
        self._fits, self._npz = ExitStack(), ExitStack()
        self._open: dict[str, Source] = {}

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *error: object) -> None:
        self.next_system()
        self._npz.close()
        self._open.clear()

    def next_system(self) -> None:
        """Close the files that hold one system alone."""
        self._fits.close()
        self._open = {file: source for file, source in self._open.items() if isinstance(source, NpzSource)}

    def get(self, plate: Plate) -> Source:
        """The open file of `plate`."""
        if plate.file not in self._open:
            if plate.file.endswith(".npz"):
                self._open[plate.file] = self._npz.enter_context(open_npz(plate.path))
            else:
                self._open[plate.file] = FitsSource(self._fits.enter_context(open_fits(plate.path)))
        return self._open[plate.file]
