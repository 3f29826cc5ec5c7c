"""FITS: a file for each system, tables with an image column or with names of files, and cubes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.errors import DataError, UsageError
from lensaudit.fits_input import number, open_fits, pixels_of
from lensaudit.fits_plain import plain_image
from lensaudit.lensset.containers.adapter import Adapter, FlatArray, Numbers, Rows
from lensaudit.lensset.containers.coded import stacked
from lensaudit.lensset.ingest.layouts import parse_band, plan_fits
from lensaudit.lensset.ingest.sources import extension_of
from lensaudit.lensset.ingest.systems import Plate
from lensaudit.tables import read_table
from lensaudit.untrusted import kind_of, path_within, printable

_READ_BYTES = 16 << 20
_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


class Files(Adapter):
    """Files of systems: `images` names band → pattern or column.

    Parameters
    ----------
    plates
        Band's name → where the image of each system lies.
    """

    def __init__(self, path: Path, names: Sequence[str] | None, plates: Mapping[str, Sequence[Plate]]) -> None:
        self.path, self._names, self._plates = path, names, plates
        self.n = len(next(iter(plates.values())))
        self._shapes = {name: self._image(name, 0).shape for name in plates} if self.n else {}

    @property
    def files(self) -> Sequence[Path]:
        """The files of all systems, each once."""
        return [Path(f) for f in dict.fromkeys(plate.file for plates in self._plates.values() for plate in plates)]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._shapes[name]

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        images = [self._image(name, row) for row in rows.tolist()]
        return stacked(images, self._shapes[name], lambda place: self._plates[name][int(rows[place])].file)

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """None: they lie in a catalogue."""
        raise DataError(f"{self.path}: FITS files hold no {printable(name, 60)}; give a catalogue")

    def ids(self, rows: Rows) -> list[str] | None:
        """What stood for the ``*`` of the pattern."""
        return None if self._names is None else [self._names[row] for row in rows.tolist()]

    def _image(self, name: str, row: int) -> Numbers:
        plate = self._plates[name][row]
        if plate.plane is None and len(plate.extensions) == 1:
            plain = plain_image(plate.path, plate.extensions[0])
            if plain is not None:
                return plain
        with open_fits(plate.path) as hdus:
            hdu, extension = extension_of(hdus, plate, "images")
            return pixels_of(hdu, f"{plate.path}: extension {extension}", plate.plane, hdus)


def fits_adapter(files: Sequence[Path], images: Mapping[str, str]) -> list[Adapter]:
    """Files in a folder, by a pattern for each band such as ``*_vis.fits[1]``, whose ``*`` is the id."""
    if len(files) != 1 or not files[0].is_dir():
        raise UsageError(f"{files[0]}: data must be one folder for format fits; name it, and patterns in images")
    folder = files[0]
    for band, pattern in images.items():
        if pattern.startswith(("/", "~")) or ".." in pattern.split("[")[0].split("/"):
            raise UsageError(
                f"{folder}: images: {printable(pattern, 60)!r} of {band} leaves the folder; move the files"
            )
    plan = plan_fits(folder, [parse_band(f"{band}={pattern}") for band, pattern in images.items()])
    systems = list(plan.systems)
    for system in systems:
        if missing := [band for band in images if band not in system.plates]:
            raise DataError(
                f"{folder}: system {printable(system.name, 60)}: band {missing[0]} is missing; fetch its file"
            )
        for plate in system.plates.values():
            path_within(folder, *plate.path.relative_to(folder).parts)
    plates = {pattern: [system.plates[band] for system in systems] for band, pattern in images.items()}
    return [Files(folder, [system.name for system in systems], plates)]


class Table(Adapter):
    """A binary table, not compressed: an image column for each band, ids and labels beside it; read row by row."""

    def __init__(self, path: Path, images: Sequence[str], values: Sequence[str]) -> None:
        self.path = path
        with open_fits(path) as hdus:
            hdu = _first_table(hdus)
            if hdu is None:
                raise DataError(f"{path}: holds no table; name a file that does")
            try:
                dtype, columns = hdu.columns.dtype.newbyteorder(">"), {one.name: one for one in hdu.columns}
                size, begin, n = int(hdu.header["NAXIS1"]), int(hdu.fileinfo()["datLoc"]), int(hdu.header["NAXIS2"])
            except Exception as error:  # columns that are torn fail anywhere in astropy
                raise DataError(
                    f"{path}: its columns cannot be read ({printable(error, 80)}); fetch it again"
                ) from error
        if dtype.itemsize != size:
            raise DataError(f"{path}: rows of {size} bytes have columns of {dtype.itemsize}; fetch the file again")
        self._columns = {name: _plain(columns, name, path) for name in (*images, *values)}
        self.n = n
        self._rows = FlatArray(path, begin, dtype, (n,), f"{path}: its table")
        self._shapes = {name: dtype[name].shape for name in images}
        for name, shape in self._shapes.items():
            if not 2 <= len(shape) <= 3:
                raise DataError(
                    f"{path}: column {printable(name, 60)} has cells of shape {shape}, images are needed; "
                    f"give it TDIM, or name another"
                )

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return tuple(self._shapes[name])

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        scale, zero = self._columns[name]
        return _scaled(self._rows.read(rows)[name], scale, zero)

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """See `Adapter`; whole rows are read, with their images, so only some at a time."""
        found: list[Any] = []
        at_once = max(1, _READ_BYTES // self._rows.dtype.itemsize)
        for first in range(0, len(rows), at_once):
            found += self._rows.read(rows[first : first + at_once])[name].tolist()
        return found


def _first_table(hdus: Any) -> Any:
    """The first binary table; None without. Its columns are not looked at, which may be torn."""
    from astropy.io import fits

    return next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)), None)


def _plain(columns: Mapping[str, Any], name: str, path: Path) -> tuple[float, float]:
    """Scale and zero of a column; DataError where it is missing, or its cells lie elsewhere."""
    if name not in columns:
        there = printable(", ".join(columns), 300)
        raise DataError(f"{path}: has no column {printable(name, 60)}; correct the name, it has {there}")
    column = columns[name]
    if str(column.format).lstrip("0123456789")[:1] in ("P", "Q"):
        raise DataError(
            f"{path}: column {printable(name, 60)} has cells of varying length, which are not read; write it again"
        )
    scale, zero = column.bscale, column.bzero
    return float(1 if scale in (None, "") else scale), float(0 if zero in (None, "") else zero)


def _scaled(values: Numbers, scale: float, zero: float) -> Numbers:
    return values if (scale, zero) == (1, 0) else values.astype(np.float64) * scale + zero


class Cube(Adapter):
    """Images of one file along the slowest axis, an extension for each band or all bands in one; not compressed."""

    def __init__(self, path: Path, images: Sequence[str]) -> None:
        self.path = path
        self._arrays: dict[str, tuple[FlatArray, float, float]] = {}
        with open_fits(path) as hdus:
            for name in images:
                hdu, extension = extension_of(
                    hdus, Plate(str(path), (int(name) if name.isdigit() else name,)), "images"
                )
                where = f"{path}: extension {extension}"
                shape = tuple(hdu.shape) if getattr(hdu, "is_image", False) and hdu.shape is not None else ()
                if not 3 <= len(shape) <= 4 or getattr(hdu, "_bintable", None) is not None:
                    raise DataError(
                        f"{where}: has shape {shape}, a plain cube of images is needed; funpack it or name another"
                    )
                scale, zero = (number(hdu.header, key, where) for key in ("BSCALE", "BZERO"))
                dtype = np.dtype(_TYPES[int(hdu._orig_bitpix)])
                flat = FlatArray(path, int(hdu.fileinfo()["datLoc"]), dtype, shape, where)
                self._arrays[name] = flat, 1.0 if scale is None else scale, 0.0 if zero is None else zero
        lengths = {name: array.shape[0] for name, (array, _, _) in self._arrays.items()}
        self.n = lengths[images[0]]
        if odd := next((name for name, length in lengths.items() if length != self.n), None):
            raise DataError(
                f"{path}: extension {odd} has {lengths[odd]} images, {images[0]} has {self.n}; correct the file"
            )

    def shape_of(self, name: str) -> tuple[int, ...]:
        """See `Adapter`."""
        return self._arrays[name][0].shape[1:]

    def block(self, name: str, rows: Rows) -> Numbers:
        """See `Adapter`."""
        array, scale, zero = self._arrays[name]
        return _scaled(array.read(rows), scale, zero)

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """None: they lie in a catalogue."""
        raise DataError(f"{self.path}: a cube holds no {printable(name, 60)}; give a catalogue")


def table_adapter(files: Sequence[Path], images: Sequence[str], values: Sequence[str]) -> list[Adapter]:
    """An adapter for each table: of images in FITS, or of the names of FITS files in any table."""
    if not all(images):
        raise UsageError(f"{files[0]}: images is not given; name the column, or one for each band")
    return [_listing(file, images) or Table(_unpacked(file), images, values) for file in files]


def _unpacked(file: Path) -> Path:
    if kind_of(file).key in ("gzip", "bzip2", "xz"):
        raise DataError(f"{file}: is compressed, and is read from its place; unpack it")
    return file


def _listing(file: Path, images: Sequence[str]) -> Files | None:
    """Files named by columns of words, ``PATH`` or ``PATH[EXTENSION]``, below the folder of the table."""
    if kind_of(file).key == "fits" and not _names_files(file, images):
        return None
    table = read_table(file, "a table of files")
    plates: dict[str, list[Plate]] = {}
    for name in images:
        plates[name] = []
        for row, word in enumerate(table.need(name).text):
            path, _, extension = word.removesuffix("]").partition("[")
            try:
                found = path_within(file.parent, *path.removeprefix("./").split("/"))
            except UsageError as error:
                raise UsageError(
                    f"{table.where(row)}: {printable(path, 60)!r} is not in its folder; move it there"
                ) from error
            plates[name].append(Plate(str(found), (int(extension) if extension.isdigit() else extension or 0,)))
    return Listed(file, plates, table)


def _names_files(file: Path, images: Sequence[str]) -> bool:
    with open_fits(file) as hdus:
        hdu = _first_table(hdus)
        try:
            return hdu is not None and all(_is_text(hdu, name) for name in images)
        except Exception:  # columns that are torn fail anywhere in astropy; reading them as images says so
            return False


def _is_text(hdu: Any, name: str) -> bool:
    return name in hdu.columns.names and str(hdu.columns[name].format).rstrip("0123456789").endswith("A")


class Listed(Files):
    """Files that a table names, with its other columns."""

    def __init__(self, path: Path, plates: Mapping[str, Sequence[Plate]], table: Any) -> None:
        self._table = table
        super().__init__(path, None, plates)

    @property
    def files(self) -> Sequence[Path]:
        """The table, and what it names."""
        return [self.path, *super().files]

    def values(self, name: str, rows: Rows) -> Sequence[Any]:
        """Cells of a column of the table."""
        column = self._table.need(name)
        numbers, words = column.parsed
        return [column.text[row] for row in rows.tolist()] if words or not column.exact else numbers[rows].tolist()


def cube_adapter(files: Sequence[Path], images: Sequence[str]) -> list[Adapter]:
    """An adapter for each cube."""
    return [Cube(_unpacked(file), images) for file in files]
