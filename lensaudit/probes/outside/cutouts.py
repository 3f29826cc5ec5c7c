"""Cutouts as FITS: every header is the same but for the id, every file of one size and one date."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensaudit.files import replacing
from lensaudit.imaging import INSTRUMENTS, Band
from lensaudit.lensset.coordinates import plain_wcs
from lensaudit.probes.outside.plan import ID_BYTES

PLACE = "c" + "00" * ID_BYTES
"""What stands in a header template where the id goes."""

WHEN = 946_684_800
"""Date of every file, 2000-01-01 UTC: in the order of writing, the arms of a system stand together."""

BLOCK = 2880


@dataclass(frozen=True)
class Piece:
    """One file of a cutout: ``(header, band)`` of its units, the band None where a unit holds no image."""

    suffix: str
    units: tuple[tuple[bytes, str | None], ...]


@dataclass(frozen=True)
class CutoutFormat:
    """How a cutout becomes files."""

    pieces: tuple[Piece, ...]
    bands: tuple[str, ...]
    n_bytes: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the manifest."""
        return ("id", *((f"file_{band}" for band in self.bands) if len(self.pieces) > 1 else ("file",)))

    def files(self, name: str) -> tuple[str, ...]:
        """File names of the cutout called `name`."""
        return tuple(f"{name}{piece.suffix}.fits" for piece in self.pieces)

    def is_whole(self, folder: Path, name: str) -> bool:
        """Whether all files of the cutout lie in `folder`; a file is whole or absent, see `lensaudit.files`."""
        return all((folder / file).is_file() for file in self.files(name))

    def write(self, folder: Path, name: str, images: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the images (h, w) of one cutout."""
        for piece, file in zip(self.pieces, self.files(name), strict=True):
            data = b"".join(
                header.replace(PLACE.encode(), name.encode()) + (b"" if band is None else _stored(images[band]))
                for header, band in piece.units
            )
            with replacing(folder / file) as partial:
                partial.write_bytes(data)
                os.utime(partial, (WHEN, WHEN))


def cutout_format(instrument: str, bands: tuple[str, ...], form: str) -> CutoutFormat:
    """Headers and sizes of the files, made once."""
    found = [INSTRUMENTS[instrument].band(band) for band in bands]
    if form == "single" and len(bands) > 1:
        pieces = tuple(Piece(f"_{band.name}", ((_header(band, primary=True), band.name),)) for band in found)
    elif form == "single":
        pieces = (Piece("", ((_header(found[0], primary=True), bands[0]),)),)
    else:
        first = fits.PrimaryHDU()
        first.header["OBJECT"] = (PLACE, "id of the cutout")
        images = ((_header(band, primary=False), band.name) for band in found)
        pieces = (Piece("", ((first.header.tostring().encode("ascii"), None), *images)),)
    data = sum(-(-(band.pixels**2) * 4 // BLOCK) * BLOCK for band in found)
    return CutoutFormat(pieces, bands, data + sum(len(header) for piece in pieces for header, _ in piece.units))


def _header(band: Band, *, primary: bool) -> bytes:
    """Header of one band's image, padded to whole blocks."""
    shape = (band.pixels, band.pixels)
    empty = np.zeros(shape, dtype=">f4")
    hdu = fits.PrimaryHDU(empty) if primary else fits.ImageHDU(empty)
    header = hdu.header
    header["EXTNAME"] = band.name
    header["OBJECT"] = (PLACE, "id of the cutout")
    header["FILTER"] = band.name
    header["BUNIT"] = ("electron s-1", "sky subtracted")
    header["MAGZERO"] = (band.zero_point_mag, "[mag] AB magnitude of 1 electron/s")
    header["ZP"] = (band.zero_point_mag, "[mag] the same")
    header["PIXSCALE"] = (band.pixel_scale_arcsec, "[arcsec] side of a pixel")
    header.update(plain_wcs(shape, band.pixel_scale_arcsec).to_header())
    return str(header.tostring()).encode("ascii")


def _stored(image: NDArray[np.float32]) -> bytes:
    """Pixels as FITS holds them: big-endian, padded with zeros to whole blocks; float32 keeps every bit."""
    data = image.astype(">f4").tobytes()
    return data + b"\0" * (-len(data) % BLOCK)
