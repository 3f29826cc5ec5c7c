"""Images in bytes of their own: numpy arrays, PNG and JPEG pictures."""

from __future__ import annotations

import io
import warnings
from math import prod
from typing import Any

import numpy as np

from lensaudit.errors import DataError
from lensaudit.lensset.containers.adapter import Numbers
from lensaudit.lensset.containers.numpy_files import header_of
from lensaudit.lensset.header import LARGEST_SIDE
from lensaudit.untrusted import kind_of_bytes, printable

LARGEST_IMAGE = 1 << 28
"""Bytes of one image once it is unpacked."""
_AS = {"P": "RGB", "RGBA": "RGB", "LA": "L", "1": "L", "PA": "RGB"}
"""Mode of a picture → the one it is brought to; transparency is left out."""
_MODES = ("L", "RGB", "I;16", "I;16B", "I", "F")


def decoded(data: bytes, where: str) -> Numbers:
    """The image in `data`: (rows, columns), with the bands of an array as they lie, of a colour picture last.

    Raises
    ------
    DataError
        They are of another kind, torn, or unpack to more than `LARGEST_IMAGE`.
    """
    if data[:6] == b"\x93NUMPY":
        shape, dtype, begin = header_of(io.BytesIO(data), where)
        if len(data) - begin != prod(shape) * dtype.itemsize:
            raise DataError(f"{where}: has {len(data) - begin} bytes, its shape {shape} says others; write it again")
        return np.frombuffer(data, dtype, offset=begin).reshape(shape)
    kind = kind_of_bytes(data[:4096], len(data))
    if kind.key not in ("png", "jpeg"):
        raise DataError(f"{where}: is {kind.words}; give an array (.npy), or a PNG or JPEG picture")
    return _picture(data, where)


def _picture(data: bytes, where: str) -> Numbers:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
                _refuse_bomb(picture.size, where)
                if picture.mode in _AS:
                    return np.asarray(picture.convert(_AS[picture.mode]))
                if picture.mode not in _MODES:
                    raise DataError(f"{where}: is a picture of mode {picture.mode}; save it as RGB or grey")
                return np.asarray(picture)
    except (MemoryError, DataError):
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: unpacks to more pixels than any cutout has; cut it out first") from error
    except Exception as error:  # a damaged picture may fail anywhere in its decoder
        raise DataError(f"{where}: picture is damaged ({printable(error, 80)}); make it again") from error


def _refuse_bomb(size: tuple[int, int], where: str) -> None:
    if max(size) > LARGEST_SIDE or prod(size) * 4 > LARGEST_IMAGE:
        raise DataError(f"{where}: unpacks to {size[0]}×{size[1]} pixels, which no cutout has; cut it out first")


def stacked(images: list[Numbers], wanted: tuple[int, ...], where: Any) -> Numbers:
    """`images` as one block; DataError where one has another shape, with ``where(place)`` before it."""
    for place, image in enumerate(images):
        if image.shape != wanted:
            raise DataError(
                f"{where(place)}: has shape {image.shape}, the first image {wanted}; cut all to one size, or declare "
                f"them apart"
            )
    return np.stack(images)
