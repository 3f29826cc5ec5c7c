"""Files of weights from other hands: kind and sizes are looked at before anything is read, and nothing in them is run.

A PyTorch file is a zip archive of stored members, or in the form before PyTorch 1.6 some pickles before raw bytes. It
is read with ``weights_only=True`` and, as an archive, mapped: what its pickle claims of a tensor's size then reaches
no further than the file. What a checkpoint holds beside tensors is replaced by nothing.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors

from lensaudit.errors import DataError, UsageError
from lensaudit.untrusted import kind_of, printable

_TIMES = 8
"""The weights, an average of them and Adam's two moments, all in double precision."""
_SPARE_BYTES = 32 << 20
_LARGEST_PICKLE = 2 << 20
"""Bytes that describe the tensors: 250 for each; the largest body here has 1 500."""
_MOST_MEMBERS = 20_000
_LARGEST_HEADER = 10 << 20
"""Bytes of the JSON of a safetensors file: 100 for each tensor."""
_DEEPEST = 3
_MOST_MAPPINGS = 200
_LEGACY_PICKLES = 5

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class _Nothing:
    """Stands for an object of a checkpoint that is no tensor: takes anything and keeps none of it."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class _NoMapping:
    """The same for one that a pickle fills item by item: a new dict, which the reader lets it fill."""

    def __new__(cls, *_: object) -> Any:
        """A plain empty dict."""
        return {}


_OBJECTS = (
    "argparse.Namespace",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
)
_MAPPINGS = tuple(
    f"{module}.AttributeDict"
    for module in (
        "lightning.fabric.utilities.data",
        "lightning_fabric.utilities.data",
        "lightning.pytorch.utilities.parsing",
        "pytorch_lightning.utilities.parsing",
    )
)
_STAND_INS: list[Any] = [(_Nothing, name) for name in _OBJECTS] + [(_NoMapping, name) for name in _MAPPINGS]
"""What Lightning's and hand-made checkpoints hold beside tensors, by name; every other object is refused by name."""


@dataclass(frozen=True)
class Weights:
    """Tensors of one mapping of a file, in its order, which may still be of any type, shape and layout.

    Attributes
    ----------
    where
        Keys that lead to the mapping, with a dot between them; empty for the file's own.
    tensors
        By the names of the file.
    ordered
        Whether the order is that in which they were saved; a safetensors file keeps none.
    """

    where: str
    tensors: dict[str, torch.Tensor]
    ordered: bool = True


def most_bytes(expected: Mapping[str, torch.Tensor]) -> int:
    """Size of the largest file that is read for these tensors: eight times their own in 32 bit, and 32 MB."""
    return _TIMES * 4 * sum(tensor.numel() for tensor in expected.values()) + _SPARE_BYTES


def read_weights(path: Path, most: int) -> list[Weights]:
    """All mappings with tensors in a file written by ``torch.save`` or by safetensors, the outermost first.

    Parameters
    ----------
    most
        Bytes of the largest file that is read, such as `most_bytes` gives.

    Raises
    ------
    DataError
        No such file, another kind of file, too large, damaged, or without tensors; one line with the fix.
    """
    path = Path(path)
    kind = _checked_kind(path, most)
    if kind == "safetensors":
        return [Weights("", read_safetensors(path, most), ordered=False)]
    content = _read_torch(path)
    found = list(_mappings(content))
    if not found:
        what = f"a {type(content).__name__}" if not isinstance(content, Mapping) else "a mapping without tensors"
        raise DataError(f"{path}: holds {what}, a state dict is needed; save module.state_dict()")
    return found


def read_safetensors(path: Path, most: int) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file of at most `most` bytes; errors as in `read_weights`."""
    path = Path(path)
    kind = _checked_kind(path, most)
    if kind != "safetensors":
        raise DataError(
            f"{path}: is a PyTorch file, a safetensors file is needed; import it with lensaudit models import"
        )
    data = path.read_bytes()
    if int.from_bytes(data[:8], "little") > _LARGEST_HEADER:
        raise DataError(f"{path}: its header has more than {_LARGEST_HEADER >> 20} MB; {_again(path)}")
    try:
        return load_safetensors(data)
    except Exception as broken:  # its own error, and others for types that torch lacks or sizes that overflow
        raise DataError(f"{path}: is torn or not a safetensors file ({_reason(broken)}); {_again(path)}") from broken


def _checked_kind(path: Path, most: int) -> str:
    """``torch`` or ``safetensors``, of a regular file that is not too large."""
    if not path.is_file():
        raise DataError(f"{path}: is not a file; give a state dict written by torch.save, or a safetensors file")
    try:
        kind = kind_of(path)
    except UsageError as error:  # it cannot be read
        raise DataError(str(error)) from error
    if kind.key == "unknown" and path.suffix == ".safetensors":
        raise DataError(f"{path}: is torn or not a safetensors file; {_again(path)}")
    if kind.key not in ("torch", "safetensors"):
        fix = kind.fix or "give a state dict written by torch.save, or a safetensors file"
        raise DataError(f"{path}: is {kind.words}, not a file of weights; {fix}")
    size = path.stat().st_size
    if size > most:
        raise DataError(
            f"{path}: has {size / 1e6:.4g} MB, this architecture's weights need less than {most / 1e6:.4g} even with "
            f"an optimizer's state; save module.state_dict() alone"
        )
    return kind.key


def _read_torch(path: Path) -> Any:
    """The content, with tensors as the file has them; nothing in it is run."""
    if path.suffix == ".safetensors":  # torch goes by the name
        raise DataError(f"{path}: is a PyTorch file named as a safetensors file; give it a name that ends in .pt")
    archive = zipfile.is_zipfile(path)
    try:
        if archive:
            check_archive(path)
        else:
            _check_legacy(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # of pickle protocols, TorchScript and deprecated storages: no one can act
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except DataError:
        raise
    except Exception as error:  # a torn or hostile file may fail anywhere in the reader
        raise DataError(
            f"{path}: is not a plain state dict ({_reason(error)}); nothing in it was run; "
            f"save it again with torch.save(module.state_dict(), FILE)"
        ) from error


def check_archive(path: Path) -> None:
    """Refuse an archive whose members are compressed, many, larger than the file or damaged, before one is unpacked."""
    if sum(_marks(path)) > _MOST_MEMBERS:
        raise DataError(f"{path}: has more than {_MOST_MEMBERS} members; save module.state_dict() alone")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED or one.file_size != one.compress_size for one in members):
            raise DataError(
                f"{path}: has compressed members, which torch.save does not write; unpack it and save it again"
            )
        declared, size = sum(one.file_size for one in members), path.stat().st_size
        if declared > size:
            raise DataError(f"{path}: declares {declared / 1e6:.4g} MB and has {size / 1e6:.4g}; {_again(path)}")
        if len({one.filename for one in members}) < len(members):
            raise DataError(f"{path}: has two members of one name; {_again(path)}")
        if any(one.file_size > _LARGEST_PICKLE for one in members if one.filename.endswith(".pkl")):
            raise DataError(
                f"{path}: its pickle has more than {_LARGEST_PICKLE >> 20} MB; save module.state_dict() alone"
            )
        if any(one.CRC for one in members) and (broken := archive.testzip()):  # without any, they were left out
            raise DataError(f"{path}: is damaged ({printable(broken, 60)} fails its checksum); {_again(path)}")


def _marks(path: Path) -> Iterator[int]:
    """How many headers of an archive's members lie in each megabyte of a file; one is read before the archive is."""
    tail = b""
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            yield (tail + block).count(b"PK\x01\x02")
            tail = block[-3:]


def _check_legacy(path: Path) -> None:
    """Refuse a file in the older form whose pickles are torn or long, without building what they describe."""
    with open(path, "rb") as stream:
        head = io.BytesIO(stream.read(_LARGEST_PICKLE))
    for _ in range(_LEGACY_PICKLES):
        for _ in pickletools.genops(head):
            pass


def _mappings(content: Any, where: tuple[str, ...] = ()) -> Iterator[Weights]:
    """Mappings with tensors in them, from the outside in: one object once, three levels, 200 in all."""
    seen: set[int] = set()
    level = [(where, content)]
    for _ in range(_DEEPEST + 1):
        inner: list[tuple[tuple[str, ...], Any]] = []
        for keys, one in level:
            if not isinstance(one, Mapping) or id(one) in seen or len(seen) >= _MOST_MAPPINGS:
                continue
            seen.add(id(one))
            tensors = {key: value for key, value in one.items() if isinstance(key, str) and torch.is_tensor(value)}
            if tensors:
                yield Weights(".".join(keys), tensors)
            inner += [((*keys, str(key)), value) for key, value in one.items() if isinstance(value, Mapping)]
        level = inner


def as_floats(tensor: torch.Tensor, kind: torch.dtype, key: str, path: Path) -> torch.Tensor:
    """A copy of `tensor` of type `kind`, contiguous, on the CPU, once its shape is known to be right.

    Raises
    ------
    DataError
        It has no plain values, is not of floats of 16 to 64 bit, or holds NaN or infinite values.
    """
    name = f"{path}: tensor {printable(key, 80)!r}"
    if tensor.layout != torch.strided or tensor.is_quantized or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        what = (
            "quantised" if tensor.is_quantized else "sparse" if tensor.layout != torch.strided else "of another class"
        )
        raise DataError(f"{name} is {what}, not a plain tensor; save module.state_dict() of the plain module")
    if tensor.is_meta:
        raise DataError(
            f"{name} has a shape and no values (it was saved on the meta device); save the weights themselves"
        )
    if kind == tensor.dtype == torch.int64:  # how many batches a batch norm has seen
        return tensor.detach().clone(memory_format=torch.contiguous_format)
    if tensor.dtype not in FLOATS or kind == torch.int64:
        wanted = "int64 is" if kind == torch.int64 else "floats of 16, 32 or 64 bit are"
        raise DataError(f"{name} is of type {str(tensor.dtype).removeprefix('torch.')}, {wanted} needed; convert it")
    values = tensor.detach().to(kind, copy=True, memory_format=torch.contiguous_format)
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise DataError(f"{name} holds {bad} of {values.numel()} values that are not finite floats; train it again")
    return values


def _again(path: Path) -> str:
    return "restore it or train again" if path.name == "weights.safetensors" else "fetch the file again"


def _reason(error: Exception) -> str:
    """One phrase; torch's refusals name what the file wanted to call after the word GLOBAL."""
    text = " ".join(str(error).split())
    called = re.search(r"GLOBAL (\S+)", text)
    if called:
        return f"it asks for {printable(called[1], 60)} to be run"
    return printable(f"{type(error).__name__}: {text}", 90)
