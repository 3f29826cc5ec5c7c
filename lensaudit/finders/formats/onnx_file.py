"""ONNX models, scored by onnxruntime: gradients are those of `lensaudit.finders.formats.onnx_torch`."""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.files import sha256
from lensaudit.finders.formats.declaration import Outputs
from lensaudit.untrusted import path_within, printable

Octets = mmap.mmap
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_SILENT = 4

# Numbers of fields in ONNX's protobuf schema.
_GRAPH, _INITIALIZER, _DIMENSIONS, _EXTERNAL_DATA, _KEY, _VALUE = 7, 5, 1, 13, 1, 2
_NODE, _RESULT, _NAME, _TAKES, _GIVES, _OPERATOR, _DOMAIN = 1, 12, 1, 1, 2, 4, 7
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class Session(nn.Module):
    """A model of onnxruntime on the CPU; it is opened again in another process and in a copy.

    Parameters
    ----------
    output
        Which of its results, where it has several.
    weights
        Number of them.
    tapped
        A value of the graph that is given in place of its result.
    """

    differentiable = False
    way_to_gradients = "say gradients: onnx2torch in its YAML"

    def __init__(self, path: Path, output: int | None, weights: int, tapped: str = "") -> None:
        super().__init__()
        self.path, self.output, self.n_weights, self.tapped = Path(path), output, weights, tapped
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    @property
    def session(self) -> Any:
        """The open model."""
        if self._session is None:
            self._session = _opened(self.path, self.tapped)
        return self._session

    def without_activation(self, outputs: Outputs) -> Session | None:
        """The model without its last operator, where that is the sigmoid or softmax of such outputs.

        A model with weights in other files stays as it is: it cannot be opened from memory.
        """
        kind = b"Sigmoid" if outputs == "probability" else b"Softmax"
        found = _before(self.path, self.output or 0, kind)
        return Session(self.path, self.output, self.n_weights, found) if found else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """What the model gives for images in its own layout."""
        takes = self.session.get_inputs()[0]
        values = images.detach().cpu().numpy().astype(_TYPES[takes.type], copy=False)
        name = self.tapped or self.session.get_outputs()[self.output or 0].name
        return torch.from_numpy(self.session.run([name], {takes.name: values})[0]).float().to(images.device)


def read_session(path: Path, output: int | None) -> tuple[Session, tuple[int | None, ...], str]:
    """The model in an ONNX file as a module, the shape of its input (None for any number), and a hash of its content.

    Raises
    ------
    MachineError
        onnxruntime is not installed.
    DataError
        The file is torn, needs what this onnxruntime lacks, or takes or gives something else than images and numbers.
    """
    weights = weights_of(path)
    network = Session(path, output, weights.count)
    takes, gives = network.session.get_inputs(), network.session.get_outputs()
    if len(takes) != 1 or takes[0].type not in _TYPES:
        words = ", ".join(f"{printable(one.name, 30)} {one.type}" for one in takes[:3])
        raise DataError(f"{path}: takes {words or 'nothing'}; one tensor of floats is needed, export such a network")
    if output is None and len(gives) > 1:
        names = ", ".join(f"{number} {printable(one.name, 30)}" for number, one in enumerate(gives[:5]))
        raise DataError(f"{path}: gives {len(gives)} results ({names}); say which in the declaration: output: 0")
    if (output or 0) >= len(gives):
        raise DataError(f"{path}: gives {len(gives)} result(s), output {output} is none of them; correct it")
    if gives[output or 0].type not in _TYPES:
        raise DataError(f"{path}: gives {gives[output or 0].type}, floats are needed; say which result: output: 0")
    shape = tuple(length if isinstance(length, int) and length > 0 else None for length in takes[0].shape)
    return network, shape, weights.digest


@dataclass(frozen=True)
class OnnxWeights:
    """What an ONNX file says of its weights.

    Attributes
    ----------
    count
        Numbers in all of them.
    digest
        SHA-256 of the file and of the files of its external data.
    beside
        Names of these, in its folder.
    """

    count: int
    digest: str
    beside: tuple[str, ...] = ()


def weights_of(path: Path) -> OnnxWeights:
    """Count the weights of an ONNX file, and hash it with the files beside it that hold some.

    Raises
    ------
    DataError
        It is torn, or its external data are missing or not in its folder.
    """
    count, beside = 0, set()
    try:
        with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            tensors = [
                tensor
                for start, end in _nested(data, 0, len(data), _GRAPH)
                for tensor in _nested(data, start, end, _INITIALIZER)
            ]
            for start, end in tensors:
                lengths = _dimensions(data, start, end)
                count += int(np.prod(lengths, dtype=object)) if lengths else 1
                beside |= {
                    place for entry in _nested(data, start, end, _EXTERNAL_DATA) for place in _location(data, *entry)
                }
    except (IndexError, ValueError, OSError) as torn:
        raise DataError(f"{path}: is torn or no ONNX model; fetch the file again") from torn
    if not beside:
        return OnnxWeights(count, sha256(path))
    hashes = [sha256(path)]
    for name in sorted(beside):
        try:
            file = path_within(path.parent, *name.removeprefix("./").split("/"))
        except UsageError as outside:
            raise DataError(f"{path}: its external data are not in its folder; save it in one file") from outside
        if not file.is_file():
            shown = printable(name, 60)
            raise DataError(f"{path}: its external data {shown!r} are missing; put that file beside it")
        hashes.append(sha256(file))
    names = tuple(sorted(name.removeprefix("./") for name in beside))
    return OnnxWeights(count, hashlib.sha256(" ".join(hashes).encode()).hexdigest(), names)


def _before(path: Path, output: int, kind: bytes) -> str:
    """Name of what the operator takes that gives a result, where it is of this kind; empty where it is not."""
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        graphs = _nested(data, 0, len(data), _GRAPH)
        if len(graphs) != 1 or any(
            _nested(data, *tensor, _EXTERNAL_DATA) for tensor in _nested(data, *graphs[0], _INITIALIZER)
        ):
            return ""
        (wanted,) = _words(data, _nested(data, *graphs[0], _RESULT)[output], _NAME)
        for node in _nested(data, *graphs[0], _NODE):
            if _words(data, node, _GIVES) == [wanted] and _words(data, node, _OPERATOR) == [kind]:
                takes, domain = _words(data, node, _TAKES), _words(data, node, _DOMAIN)
                return takes[0].decode("utf-8") if len(takes) == 1 and domain in ([], [b""]) else ""
    return ""


def _words(data: Octets, message: tuple[int, int], wanted: int) -> list[bytes]:
    return [bytes(data[first:last]) for first, last in _nested(data, *message, wanted)]


def _with_result(name: str) -> bytes:
    """What is written behind a model to have the value `name` given too: protobuf merges messages that follow."""
    return _message(_GRAPH, _message(_RESULT, _message(_NAME, name.encode("utf-8"))))


def _message(number: int, content: bytes) -> bytes:
    length, size = len(content), b""
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | _BYTES]) + size + bytes([length]) + content


def _fields(data: Octets, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of a protobuf message that has bytes; of a number, (number, value, -1)."""
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value, -1
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError("no field of protobuf")
        if at + length > end:
            raise ValueError("a field ends behind the message")
        if kind == _BYTES:
            yield key >> 3, at, at + length
        at += length


def _varint(data: Octets, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number has more than 64 bits")


def _nested(data: Octets, start: int, end: int, wanted: int) -> list[tuple[int, int]]:
    return [(first, last) for number, first, last in _fields(data, start, end) if number == wanted and last >= 0]


def _dimensions(data: Octets, start: int, end: int) -> list[int]:
    """Lengths of a tensor, which writers pack into one field or not."""
    found = []
    for number, first, last in _fields(data, start, end):
        if number == _DIMENSIONS and last < 0:
            found.append(first)
        elif number == _DIMENSIONS:
            while first < last:
                value, first = _varint(data, first)
                found.append(value)
    return found


def _location(data: Octets, start: int, end: int) -> list[str]:
    """The file that an entry of external data names."""
    words = {number: bytes(data[first:last]) for number, first, last in _fields(data, start, end) if last >= 0}
    return [words[_VALUE].decode("utf-8")] if words.get(_KEY) == b"location" and _VALUE in words else []


def _opened(path: Path, tapped: str) -> Any:
    try:
        import onnxruntime
    except ImportError as missing:
        raise MachineError(f"{path}: is ONNX, which needs onnxruntime; pip install 'lensaudit[onnx]'") from missing
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = _SILENT
    try:
        model = path.read_bytes() + _with_result(tapped) if tapped else str(path)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no type in common
        raise DataError(f"{path}: {_why(' '.join(str(error).split()), onnxruntime.__version__)}") from error


def _why(words: str, version: str) -> str:
    """Why onnxruntime cannot open a model, with the fix."""
    if found := re.search(r"Opset (\d+) is under development.* is till opset (\d+)", words):
        known = found[2]
        return f"has opset {found[1]}, onnxruntime {version} knows up to {known}; export it with opset_version={known}"
    if found := re.search(
        r"(\S+):(\S+)\(-?\d+\) is not a registered|In Node, .*No opset import for domain '(.*)'", words
    ):
        name = printable(found[3] or f"{found[1]}.{found[2]}", 60)
        return f"has the operator {name} of another maker, which onnxruntime lacks; export it without"
    if "INVALID_PROTOBUF" in words:
        return "is torn or no ONNX model; fetch the file again"
    return f"onnxruntime {version} cannot open it ({printable(words.rpartition(' failed:')[2], 160)}); export it again"
