"""Reading one image out of a FITS file; whatever is wrong with the file becomes one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.coordinates import header_wcs
from lensaudit.lensset.ingest.plan import Plate

if TYPE_CHECKING:
    from astropy.wcs import WCS

_DAMAGE = (OSError, TypeError, ValueError, IndexError, KeyError, EOFError, fits.VerifyError)


@dataclass(frozen=True)
class Image:
    """A 2-D image in native byte order, float32, with what its header says about sky and flux."""

    pixels: NDArray[np.float32]
    wcs: WCS | None
    zero_point_mag: float | None


@contextmanager
def opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It is not FITS, or truncated.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AstropyWarning)
        try:
            hdus = fits.open(path, memmap=False, lazy_load_hdus=False)
        except FileNotFoundError as error:
            raise UsageError(f"{path}: no such file; check the path") from error
        except _DAMAGE as error:
            raise DataError(f"{path}: cannot be read as FITS (truncated or damaged); fetch the file again") from error
    with hdus:
        if any("truncated" in str(warning.message) for warning in said):
            raise DataError(f"{path}: FITS file is truncated; fetch the file again")
        yield hdus


def read_image(hdus: fits.HDUList, plate: Plate, band: str) -> Image:
    """The image of `band` in an open file.

    Raises
    ------
    DataError
        No such extension, or it holds no 2-D image, or the data are damaged.
    """
    hdu = _extension(hdus, plate, band)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            data = hdu.data
        except _DAMAGE as error:
            raise DataError(f"{plate.path}: band {band}: FITS data are truncated; fetch the file again") from error
    where = f"{plate.path}: band {band}: extension {hdu.name or plate.extensions[0]}"
    if data is None or getattr(data, "dtype", np.dtype(object)).fields is not None:
        raise DataError(f"{where} holds no image; name another extension")
    shape = data.shape
    data = data.reshape(shape[-2:]) if data.ndim > 2 and np.prod(shape[:-2]) == 1 else data
    if data.ndim != 2:
        raise DataError(f"{where} has shape {shape}, one 2-D image is needed; name another extension")
    with np.errstate(over="ignore"):
        pixels = data.astype(np.float32)  # also from big-endian, as FITS stores, to native order
    return Image(pixels, header_wcs(hdu.header), _zero_point(hdu.header))


def _extension(hdus: fits.HDUList, plate: Plate, band: str) -> Any:
    names = [hdu.name for hdu in hdus]
    for wanted in plate.extensions:
        if isinstance(wanted, int) and wanted < len(hdus):
            return hdus[wanted]
        if isinstance(wanted, str) and wanted.upper() in names:
            return hdus[names.index(wanted.upper())]
    asked = " or ".join(str(wanted) for wanted in plate.extensions)
    there = ", ".join(name or str(i) for i, name in enumerate(names))
    raise DataError(f"{plate.path}: band {band}: no extension {asked}; the file has {there}")


def _zero_point(header: fits.Header) -> float | None:
    for card in ("MAGZERO", "MAGZEROP", "MAGZPT", "ZEROPOINT"):
        value = header.get(card)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None
