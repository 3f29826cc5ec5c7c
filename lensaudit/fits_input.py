"""Opening FITS files that other people made: one place that never hangs, fills memory or ends in a traceback.

Regular files only; sizes are known before anything is read: compressed files are unpacked up to `LARGEST_BYTES`,
headers are read up to `LARGEST_HEADERS`, and an image is read once its declared size is seen to fit into the file and
below `LARGEST_BYTES`. astropy's warnings about such files (fixed cards, odd keywords, truncation) are silenced here:
what matters of them is checked and becomes one line.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import re
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.untrusted import kind_of, kind_of_bytes, other_kind, printable

LARGEST_BYTES = 2**29
"""512 MiB: of a file once it is unpacked, and of one image as it is stored (11 585 × 11 585 pixels of 4 bytes)."""

LARGEST_HEADERS = 2**24
"""16 MiB: of all headers of one file; 61 CCDs with 800 cards each take 4."""

_XZ_MEMORY = 2**28
BLOCK, CARD = 2880, 80
"""Bytes of a block and of a header card."""

IMAGES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
_MOST = 999  # axes or columns, by the standard
_COUNTS = re.compile(rb"(?:(Z?NAXIS|TFIELDS)|[PG]COUNT|Z?NAXIS\d+) *= *([+-]?\d{1,400})\b")


@contextmanager
def open_fits(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file, plain or compressed by gzip, bzip2 or xz; all headers are read, and no data.

    Raises
    ------
    UsageError
        There is no such file, or it is no regular file.
    DataError
        It is of another kind (the message says of which), truncated or damaged, or larger than is read.
    """
    path = Path(path)
    if reason := other_kind(path, "a FITS file", "fits", "gzip", "bzip2", "xz"):
        raise DataError(reason)
    with warnings.catch_warnings(), _stream(path) as stream:
        warnings.simplefilter("ignore", AstropyWarning)
        limited = _Limited(stream, LARGEST_HEADERS)
        try:
            hdus = fits.open(limited, memmap=False, lazy_load_hdus=False)
            end = max(_end(hdu, limited.size) for hdu in hdus)
            bare = max(map(_bare_end, hdus))  # some programs leave out the padding of the last
            _ = [(hdu.name, hdu.ver) for hdu in hdus]  # read in many places; a card that is torn says so here
            limited.seek(-(-end // BLOCK) * BLOCK)
            if limited.read(BLOCK).startswith(b"XTENSION"):  # astropy passes over what it cannot read
                raise ValueError(f"extension {len(hdus)} has no readable header")
        except MemoryError:
            raise
        except Exception as error:  # a damaged file may fail anywhere in astropy
            raise _damaged(path, error) from error
        with hdus:
            if end > limited.size:
                reason = f"data end at byte {end}, the file at {limited.size}"
                raise DataError(f"{path}: FITS file is truncated: {reason}; fetch the file again")
            if limited.size not in (end, bare) and limited.size % BLOCK:
                reason = f"{limited.size} bytes are no whole blocks of {BLOCK}, so some were lost or added on the way"
                raise DataError(f"{path}: FITS file is damaged: {reason}; fetch the file again")
            limited.left = None
            yield hdus


def pixels_of(hdu: Any, where: str, plane: int | None = None, beside: fits.HDUList | None = None) -> NDArray[Any]:
    """The image of an open HDU as 2-D array (rows, columns), scaled by BSCALE and BZERO.

    Parameters
    ----------
    where
        Begins the messages: file, band and extension.
    plane
        Which plane of a cube, counted from 0 along its slowest axis (NAXIS3).
    beside
        All of the file, for the message that names where images are.

    Raises
    ------
    DataError
        It holds no image, a cube and no plane is named, the image is too large, or its data are damaged.
    """
    if not isinstance(hdu, IMAGES):
        raise DataError(f"{where} holds no image; {_another(beside)}")
    shape = tuple(hdu.shape)
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise DataError(f"{where}: header gives the shape {printable(shape, 60)}; fetch the file again")
    if len(shape) < 2 or 0 in shape:
        raise DataError(f"{where} holds no image (its shape is {shape}); {_another(beside)}")
    index = _plane(shape, plane, where)
    _check_size(shape if index is None else shape[-2:], hdu, where)
    for key in ("BSCALE", "BZERO", "BLANK"):
        number(hdu.header, key, where)
    try:
        _check_tiles(hdu, where)
        with np.errstate(all="ignore"):
            data = np.asarray(hdu.data if index is None else hdu.section[index]).reshape(shape[-2:])
    except (MemoryError, DataError):
        raise
    except Exception as error:  # damaged tile-compressed data fail anywhere in astropy and its codecs
        raise DataError(f"{where}: data are damaged ({_short(error)}); fetch the file again") from error
    if data.dtype.kind not in "fiu":
        raise DataError(f"{where} holds no image of numbers; name another extension")
    return data


def _another(hdus: fits.HDUList | None) -> str:
    """What to do where an extension holds no image: ``name another extension, such as [1]``, which holds one."""
    held = [f"[{place}]" for place, hdu in enumerate(hdus or ()) if _holds_image(hdu)]
    if held:
        return f"name another extension, such as {' or '.join(held[:3])}"
    return "name another extension" if hdus is None else "no other extension of the file does; name another file"


def _holds_image(hdu: Any) -> bool:
    shape = hdu.shape if isinstance(hdu, IMAGES) else ()
    return len(shape) > 1 and 0 not in shape


def card(header: fits.Header, key: str, where: str) -> Any:
    """The value of a card as astropy reads it; None where there is no such card.

    Raises
    ------
    DataError
        It cannot be read.
    """
    try:
        return header.get(key)
    except Exception as error:  # fits.VerifyError has no base below it, and text that is no number ends in others
        raise DataError(f"{where}: header card {key} cannot be read; correct the card") from error


def number(header: fits.Header, key: str, where: str) -> float | None:
    """The value of a card that must be a finite number; None where there is no such card, or it has no value.

    Raises
    ------
    DataError
        It is text, a logical, infinite, or cannot be read.
    """
    value = card(header, key, where)
    if value is None or isinstance(value, fits.card.Undefined):
        return None
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{where}: header card {key} is {printable(repr(value), 40)}, not a number; correct the card")
    return float(value)


class _Limited(io.RawIOBase):
    """A stream of known size that hands out at most `left` bytes, headers looked through; None hands out all.

    astropy counts up to what NAXIS and TFIELDS say, and follows a negative size backwards, before it looks at either.
    """

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        self.left: int | None = min(most, self.size + 2 * BLOCK)
        stream.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        block = self._stream.read(-1 if size is None else size)
        if self.left is not None:
            self.left -= len(block)
            if self.left < 0:
                raise ValueError("headers larger than the file, or than 16 MiB")
            if block and not block.strip(b"\0"):
                raise ValueError("a header of nothing but zeros")
            for at in range(0, len(block), CARD):
                card = _COUNTS.match(block, at) if block[at] in b"GNPTZ" else None
                if card and not 0 <= int(card[2]) <= (_MOST if card[1] else sys.maxsize):
                    raise ValueError(f"header card {block[at : at + 30].decode('latin-1')}")
        return block

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _stream(path: Path) -> BinaryIO:
    """The bytes of the file, unpacked if need be."""
    kind = kind_of(path).key
    if kind not in ("gzip", "bzip2", "xz"):
        return open(path, "rb")
    with open(path, "rb") as plain:
        unpacked = _unpacked(path, plain, kind)
    with unpacked.getbuffer() as held:
        inside = kind_of_bytes(bytes(held[:4096]), held.nbytes)
    if inside.key != "fits":
        raise DataError(f"{path}: holds, once unpacked, {inside.words}, not a FITS file; give a FITS file")
    return unpacked


def _unpacked(path: Path, plain: BinaryIO, kind: str) -> io.BytesIO:
    """All of a compressed file, its checksum verified; never more than `LARGEST_BYTES`."""
    unpacked = io.BytesIO()
    try:
        if kind == "xz":
            whole = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            unpacked.write(whole.decompress(plain.read(LARGEST_BYTES), LARGEST_BYTES + 1))
            if not whole.eof and unpacked.tell() <= LARGEST_BYTES:
                raise EOFError("compressed data end before their end mark")
        else:
            with gzip.open(plain) if kind == "gzip" else bz2.open(plain) as packed:
                while unpacked.tell() <= LARGEST_BYTES and (piece := packed.read(1 << 20)):
                    unpacked.write(piece)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from error
    if unpacked.tell() > LARGEST_BYTES:
        raise DataError(
            f"{path}: unpacks to more than {LARGEST_BYTES >> 20} MiB, which no cutout needs; unpack it and cut it out"
        )
    unpacked.seek(0)
    return unpacked


def _end(hdu: Any, size: int) -> int:
    """Byte at which the data of an HDU end by its header; the padding of the last may be missing."""
    info = hdu.fileinfo()
    padded = int(info["datLoc"]) + int(info["datSpan"])
    return padded if padded <= size else _bare_end(hdu)


def _bare_end(hdu: Any) -> int:
    """Byte at which the data of an HDU end by its header, without padding."""
    stored = getattr(hdu, "_bintable", None) or hdu  # a tile-compressed image's own size is that of its pixels
    return int(hdu.fileinfo()["datLoc"]) + int(stored.size)


def _plane(shape: tuple[int, ...], plane: int | None, where: str) -> tuple[int, ...] | None:
    """Index that picks one 2-D image out of `shape`; None where all is one."""
    planes = shape[:-2]
    if plane is None:
        if math.prod(planes) == 1:
            return None
        raise DataError(
            f"{where} has shape {shape}, one 2-D image is needed; name a plane of the cube after the extension, "
            f"[0] to [{planes[-1] - 1}], or another extension"
        )
    if math.prod(planes[:-1]) != 1 or not planes or plane >= planes[-1]:
        there = f"planes [0] to [{planes[-1] - 1}]" if planes else "one plane"
        raise DataError(f"{where} has shape {shape}: there is no plane [{plane}], but {there}; correct --band")
    return (*[0] * (len(planes) - 1), plane)


def _check_size(shape: tuple[int, ...], hdu: Any, where: str) -> None:
    stored = math.prod(shape) * abs(int(hdu.header["BITPIX"])) // 8
    if stored > LARGEST_BYTES:
        raise DataError(
            f"{where}: {shape[-2]}×{shape[-1]} pixels ({stored / 1e9:.3g} GB) are more than the "
            f"{LARGEST_BYTES >> 20} MiB that are read; cut it out first"
        )


def _check_tiles(hdu: Any, where: str) -> None:
    """Raise DataError where tile-compressed data are not what their checksum says, or a tile is a bomb.

    Plain images are not compared with their checksum: it goes stale when a program edits pixels and keeps the header,
    which many do. That of tiles is made with the tiles.
    """
    table = getattr(hdu, "_bintable", None)  # astropy has no public way to the header of the compressed form
    if table is None:
        return
    _check_tiling(table.header, len(hdu.shape), where)
    info = hdu.fileinfo()
    info["file"].seek(info["datLoc"])
    raw = info["file"].read(info["datSpan"])
    wanted = str(table.header.get("DATASUM", "")).strip()
    if wanted.isdigit() and _datasum(raw) != int(wanted):
        raise DataError(f"{where}: data differ from their checksum (DATASUM); fetch the file again")
    largest = 8 * math.prod(min(tile, side) for tile, side in zip(hdu.tile_shape, hdu.shape, strict=True))
    for begin in re.finditer(rb"\x1f\x8b\x08", raw):
        tile = raw[begin.start() : begin.start() + largest + largest // 8 + 1024]  # deflate never grows by an eighth
        with suppress(zlib.error):  # these three bytes were no gzip stream, or astropy will say that it is damaged
            if len(zlib.decompressobj(31).decompress(tile, largest + 1)) > largest:
                raise DataError(f"{where}: a tile unpacks to more than its pixels; fetch the file again")


def _check_tiling(header: fits.Header, n_axes: int, where: str) -> None:
    """Raise DataError for sizes and settings with which the decoders would write beyond their memory."""
    axes = range(1, n_axes + 1)
    sides = {f"{key}{n}": header.get(f"{key}{n}", 1) for n in axes for key in ("ZNAXIS", "ZTILE")}
    named = [n for n in range(1, 10) if f"ZNAME{n}" in header]
    settings = {str(header[f"ZNAME{n}"]).upper(): header.get(f"ZVAL{n}") for n in named}
    scale = settings.get("SCALE", 0)
    if (
        any(not isinstance(side, int) or side < 1 for side in sides.values())
        or settings.get("BLOCKSIZE", 32) not in range(1, 1025)
        or settings.get("BYTEPIX", 4) not in (1, 2, 4, 8)
        or not isinstance(scale, int | float)
        or not 0 <= scale < 2**24
    ):
        told = printable(", ".join(f"{key} {value}" for key, value in {**sides, **settings}.items()), 160)
        raise DataError(f"{where}: its tiles cannot be as the header says ({told}); fetch the file again")


def _datasum(raw: bytes) -> int:
    """Ones' complement sum of the 32-bit words, as the FITS standard (appendix J) defines it."""
    total = int(np.frombuffer(raw + bytes(-len(raw) % 4), ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(f"{path}: cannot be read as FITS (truncated or damaged: {_short(error)}); fetch the file again")


def _short(error: BaseException) -> str:
    return printable(" ".join(str(error).split()), 80) or type(error).__name__
