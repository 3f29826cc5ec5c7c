"""Images in columns of Arrow tables: lists of numbers, lists of lists, tensors, and arrays or pictures as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt, prod
from typing import Any

import numpy as np
import pyarrow as pa

from lensaudit.errors import DataError
from lensaudit.lensset.containers.adapter import Numbers
from lensaudit.lensset.containers.coded import decoded
from lensaudit.untrusted import printable

Shapes = Mapping[str, tuple[int, ...] | None]
"""Column → shape of one image where its cells are plain lists of numbers; of squares of any size (0, 0)."""


def images_of(column: pa.Array, shape: tuple[int, ...] | None, where: str) -> Numbers:
    """The images in the cells of `column`: (m, *shape of one).

    Parameters
    ----------
    shape
        Of one image, where a cell is a plain list of numbers; else None, or what it must be.
    where
        Begins messages.

    Raises
    ------
    DataError
        A cell is empty, holds something else, or images differ in shape.
    """
    if column.null_count:
        raise DataError(f"{where}: has no image in some row; leave the row out or fill it")
    if isinstance(column, pa.ExtensionArray):
        if isinstance(column.type, pa.FixedShapeTensorType):
            found: Numbers = column.to_numpy_ndarray()
            return found
        return images_of(column.storage, shape, where)
    kind = column.type
    if pa.types.is_struct(kind):
        return images_of(_bytes_of(column, where), shape, where)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _stacked([decoded(cell.as_buffer().to_pybytes(), where) for cell in column], where)
    return _from_lists(column, shape, where)


def _bytes_of(column: Any, where: str) -> pa.Array:
    """The field ``bytes`` of Hugging Face's images."""
    names = [column.type.field(place).name for place in range(column.type.num_fields)]
    if "bytes" not in names:
        raise DataError(
            f"{where}: holds fields {printable(', '.join(names), 100)}, images are lists or bytes; name another"
        )
    inside = column.field("bytes")
    if inside.null_count:
        raise DataError(
            f"{where}: names files by path and does not hold their bytes; save the data set with them in it"
        )
    return inside


def _stacked(images: list[Numbers], where: str) -> Numbers:
    if odd := next((image.shape for image in images if image.shape != images[0].shape), None):
        raise DataError(f"{where}: images have shapes {images[0].shape} and {odd}; cut all to one size")
    return np.stack(images)


def _from_lists(column: Any, shape: tuple[int, ...] | None, where: str) -> Numbers:
    n, sides = len(column), []
    while _is_list(column.type):
        if column.null_count:
            raise DataError(f"{where}: a row of an image is empty; write it again")
        sides.append(_length(column, where))
        column = column.flatten()
    if not sides or not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(
            f"{where}: holds {printable(column.type, 60)}, images are lists of numbers or bytes; name another"
        )
    values = column.to_numpy(zero_copy_only=False)
    if len(sides) == 1:
        if shape is None:
            raise DataError(
                f"{where}: holds plain lists of {sides[0]} numbers; say in shape how they lie, e.g. [66, 66]"
            )
        if not any(shape) and isqrt(sides[0]) ** 2 == sides[0]:
            return np.asarray(values.reshape(n, isqrt(sides[0]), -1))
        if not any(shape):
            raise DataError(f"{where}: holds lists of {sides[0]} numbers, which are no square; save lists of lists")
        if prod(shape) != sides[0]:
            raise DataError(
                f"{where}: holds lists of {sides[0]} numbers, shape {list(shape)} has {prod(shape)}; correct shape"
            )
        return np.asarray(values.reshape(n, *shape))
    return np.asarray(values.reshape(n, *sides))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _length(column: Any, where: str) -> int:
    """Of every list of `column`."""
    if pa.types.is_fixed_size_list(column.type):
        return int(column.type.list_size)
    offsets = column.offsets.to_numpy()
    lengths = np.diff(offsets)
    if len(lengths) == 0:
        return 0
    if (lengths != lengths[0]).any():
        raise DataError(f"{where}: images differ in size ({lengths.min()} to {lengths.max()}); cut all to one size")
    return int(lengths[0])


def values_of(column: pa.Array | pa.ChunkedArray, names: Sequence[str] | None = None) -> list[Any]:
    """Numbers or words of `column`; of classes of Hugging Face their `names`."""
    found: list[Any] = column.to_pylist()
    return found if names is None else [_named(value, names) for value in found]


def _named(value: Any, names: Sequence[str]) -> Any:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
