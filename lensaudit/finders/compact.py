"""Weights in less room, exactly: in 16 bit, or a matrix as integers of few bits with a scale for each of its rows.

Rounding is a step of its own. A finder whose weights are such numbers is then stored in that form by whoever saves it,
and reads back bit for bit, so that its hash is that of its weights, whatever the form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lensaudit.errors import DataError, UsageError
from lensaudit.finders.finder import STATISTICS_PREFIX, Finder
from lensaudit.finders.weights_file import as_floats

FEWEST_BITS, MOST_BITS = 4, 8

CODES, SCALES = ".codes", ".scales"
"""What follows the name of a matrix in the names of its two parts; no tensor of a module is called so beside it."""

_LEAST_NUMBERS, _LEAST_COLUMNS = 1500, 8
"""Smaller tensors stay floats: they are a small part of any file. Below eight numbers a row has no width of its own."""

_PIECE = 1 << 20
"""Numbers that are packed and unpacked at a time; a byte for each of their bits lies in memory meanwhile."""


def rounded_to_half(finder: Finder) -> Finder:
    """The same finder with every weight rounded to 16 bit, in place, so that its file takes half the room.

    Raises
    ------
    UsageError
        A weight is too large for 16 bit.
    """
    for key, tensor in finder.module.state_dict().items():
        if tensor.dtype.is_floating_point:
            rounded = tensor.half().to(tensor.dtype)
            if not bool(torch.isfinite(rounded).all()):
                raise UsageError(f"finder {finder.name}: {key} is too large for 16-bit weights; keep 32 bit")
            tensor.copy_(rounded)
    return replace(finder)  # its hash is of other weights


def rounded_to_bits(finder: Finder, bits: int) -> Finder:
    """The same finder with its large matrices rounded to integers of `bits` bit times a scale, in place.

    A row, which is one unit's or kernel's weights, has one scale: its largest weight over 2^(bits − 1) − 1, symmetric
    about 0, as Krishnamoorthi (2018, arXiv:1806.08342) has it for weights. Biases, norms and matrices of fewer than
    1500 numbers stay as they are. The arithmetic is float32 as before.

    Parameters
    ----------
    finder
        Of one of our own architectures.
    bits
        4 to 8.

    Returns
    -------
    Finder
        `save_finder` stores it in about `bits` / 32 of the room.

    Raises
    ------
    UsageError
        Another number of bits, or no matrix is that large.
    """
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise UsageError(f"{bits} bits: a weight is kept in {FEWEST_BITS} to {MOST_BITS}")
    large = [tensor for tensor in finder.module.state_dict().values() if _is_large(tensor)]
    if not large:
        raise UsageError(
            f"finder {finder.name}: has no matrix of {_LEAST_NUMBERS} weights or more, so that nothing would be saved; "
            f"leave it as it is"
        )
    for tensor in large:
        tensor.copy_(_values(*_codes(_matrix(tensor), bits)).reshape(tensor.shape))
    return replace(finder)


def as_stored(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as a file has them: matrices of few bits as codes and scales; the rest in 16 bit where all of it fits."""
    plain = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    stored: dict[str, torch.Tensor] = {}
    for key in list(plain):
        if key.startswith(STATISTICS_PREFIX) or not _is_large(plain[key]):
            continue
        matrix = _matrix(plain[key])
        if bits := _exact_bits(matrix):
            codes, scales = _codes(matrix, bits)
            stored |= {key + CODES: _packed(codes, bits), key + SCALES: scales}
            del plain[key]
    weights = [key for key, tensor in plain.items() if tensor.dtype == torch.float32]
    weights = [key for key in weights if not key.startswith(STATISTICS_PREFIX)]
    if all(torch.equal(plain[key], plain[key].half().float()) for key in weights):
        plain |= {key: plain[key].half() for key in weights}
    return plain | stored


def expanded(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """Tensors of a file with each matrix of codes and scales as float32 under its own name.

    Parameters
    ----------
    tensors
        As `as_stored` gives them.
    expected
        Names and shapes of the module's; on the meta device they take no memory.

    Raises
    ------
    DataError
        One part is without the other, or of another type or shape; a scale is negative or no finite number.
    """
    found = dict(tensors)
    for key, wanted in expected.items():
        codes, scales = (found.pop(key + ending, None) for ending in (CODES, SCALES))
        if codes is None and scales is None:
            continue
        if codes is None or scales is None:
            name = key + (CODES if codes is None else SCALES)
            raise DataError(f"{path}: tensor {name!r} is missing, without which {key!r} cannot be read; {_FIX}")
        if key in found:
            raise DataError(f"{path}: tensor {key!r} is there twice, as numbers and as codes; {_FIX}")
        found[key] = _read(key, wanted.shape, codes, scales, path)
    return found


_FIX = "restore the file or train again"


def _read(key: str, shape: torch.Size, codes: torch.Tensor, scales: torch.Tensor, path: Path) -> torch.Tensor:
    rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (0, 0)
    if columns < _LEAST_COLUMNS:
        raise DataError(f"{path}: tensor {key!r} of shape {tuple(shape)} is never kept as codes; {_FIX}")
    widths: dict[tuple[int, ...], int] = {
        (rows, _width(columns, bits)): bits for bits in range(FEWEST_BITS, MOST_BITS + 1)
    }
    if codes.dtype != torch.uint8 or tuple(codes.shape) not in widths:
        kind = str(codes.dtype).removeprefix("torch.")
        raise DataError(
            f"{path}: tensor {key + CODES!r} has {kind} of shape {tuple(codes.shape)}, uint8 of {rows} rows with the "
            f"{FEWEST_BITS} to {MOST_BITS} bits of {columns} numbers are needed; {_FIX}"
        )
    if tuple(scales.shape) != (rows,):
        raise DataError(f"{path}: tensor {key + SCALES!r} has shape {tuple(scales.shape)}, {(rows,)} is needed; {_FIX}")
    ready = as_floats(scales, torch.float32, key + SCALES, path)
    if bool((ready < 0).any()):
        raise DataError(f"{path}: tensor {key + SCALES!r} holds scales below 0; {_FIX}")
    return _values(_unpacked(codes, widths[tuple(codes.shape)], columns), ready).reshape(shape)


def _is_large(tensor: torch.Tensor) -> bool:
    return (
        tensor.dtype == torch.float32
        and tensor.ndim > 1
        and tensor.numel() >= max(_LEAST_NUMBERS, _LEAST_COLUMNS * len(tensor))
    )


def _matrix(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().reshape(len(tensor), -1)


def _exact_bits(matrix: torch.Tensor) -> int | None:
    """The fewest bits that hold `matrix` exactly, the sign of a zero included; None where none do, or all is zero."""
    if not bool(matrix.any()):
        return None
    for bits in range(FEWEST_BITS, MOST_BITS + 1):
        if all(_same(_values(*_codes(part, bits)), part) for part in (matrix[:1], matrix)):  # most differ in the first
            return bits
    return None


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


def _codes(matrix: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes int8 (rows, columns) and scales float32 (rows,) nearest to `matrix`.

    A scale has 16 significant bits: times a code of 7 it is exact in float32, and so the scale is found again from the
    largest weight of its row, whose code is 2^(bits − 1) − 1.
    """
    most = 2 ** (bits - 1) - 1
    scales = matrix.abs().amax(dim=1) / most
    scales = ((scales.view(torch.int32) + 0x80) & ~0xFF).view(torch.float32)
    steps = matrix / torch.where(scales > 0, scales, 1)[:, None]
    return steps.round().clamp(-most, most).to(torch.int8), scales


def _values(codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return codes.float() * scales[:, None]


def _width(columns: int, bits: int) -> int:
    """Bytes of a row."""
    return -(-columns * bits // 8)


def _packed(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes (rows, columns) as bits one after the other, each row from a byte of its own; uint8."""
    columns = codes.shape[1]
    levels = (codes.numpy().astype(np.int16) + (2 ** (bits - 1) - 1)).astype(np.uint8)
    packed = np.empty((len(levels), _width(columns, bits)), np.uint8)
    for rows in _pieces(levels.shape):
        digits = np.unpackbits(levels[rows, :, None], axis=2)[:, :, 8 - bits :]
        packed[rows] = np.packbits(digits.reshape(len(digits), -1), axis=1)
    return torch.from_numpy(packed)


def _unpacked(packed: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    """Codes int16 (rows, columns) of `_packed`."""
    source = packed.numpy()
    levels = np.empty((len(source), columns), np.uint8)
    for rows in _pieces(levels.shape):
        digits = np.unpackbits(source[rows], axis=1, count=columns * bits).reshape(-1, columns, bits)
        whole = np.zeros((len(digits), columns, 8), np.uint8)
        whole[:, :, 8 - bits :] = digits
        levels[rows] = np.packbits(whole).reshape(-1, columns)
    return torch.from_numpy(levels.astype(np.int16) - (2 ** (bits - 1) - 1))


def _pieces(shape: tuple[int, ...]) -> list[slice]:
    step = max(1, _PIECE // shape[1])
    return [slice(first, first + step) for first in range(0, shape[0], step)]
