"""Programs of ``torch.export`` (``.pt2``), run operator by operator from their description.

``torch.export.load`` unpickles, evaluates expressions and runs stored checks of the input, so that a file could run
anything. Here the graph is read as JSON, every operator must be one of a list, and tensors are raw bytes.
"""

from __future__ import annotations

import copy
import math
import operator
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from lensaudit.documents import json_of
from lensaudit.errors import DataError
from lensaudit.files import sha256
from lensaudit.finders.formats.declaration import Outputs
from lensaudit.finders.formats.pt2_layers import function_of, layer_of
from lensaudit.finders.weights_file import FLOATS, as_floats, check_archive
from lensaudit.untrusted import TORN_ZIP, printable

AGAIN = "save it again with torch.export.save of this torch, after module.eval()"
LARGEST_GRAPH = 64 << 20
MOST_STEPS = 100_000

_DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
    7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""As torch's schema of programs numbers them, which is not how its operators do."""
_MEMORY_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
_STRIDED = 7

_NETWORKS = """
    _softmax _log_softmax _native_batch_norm_legit_no_training _safe_softmax _to_copy _unsafe_view abs
    adaptive_avg_pool1d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d add add_ addmm alias amax amin
    arange argmax atan avg_pool1d avg_pool2d baddbmm batch_norm bmm cat celu chunk clamp clamp_ clamp_max clamp_min
    clone constant_pad_nd contiguous conv1d conv2d conv_transpose2d convolution cos cumsum detach detach_ div div_
    dot dropout dropout_ einsum elu elu_ eq erf exp expand expand_as feature_dropout flatten flip full full_like
    gather ge gelu glu group_norm gt hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ index
    index_select instance_norm layer_norm le leaky_relu leaky_relu_ lift_fresh_copy linalg_vector_norm linear log
    log1p log_softmax logical_and logical_not logical_or logsumexp lt masked_fill matmul max max_pool1d max_pool2d
    max_pool2d_with_indices maximum mean min minimum mish mish_ mm movedim mul mul_ native_group_norm
    native_layer_norm ne neg new_ones new_zeros numpy_T ones ones_like pad permute pixel_shuffle pixel_unshuffle pow
    prelu prod reciprocal reflection_pad2d relu relu6 relu6_ relu_ repeat replication_pad2d reshape rms_norm roll
    rsqrt rsub scalar_tensor scaled_dot_product_attention select selu selu_ sigmoid sigmoid_ sign silu silu_ sin
    slice softmax softplus split split_with_sizes sqrt square squeeze stack std sub sub_ sum swapaxes sym_numel
    sym_size t tanh tanh_ tile to topk transpose tril triu type_as unbind unflatten unfold unsqueeze
    upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var var_mean view view_as where zeros zeros_like
"""
_ATEN = frozenset(_NETWORKS.split())
"""Operators of networks in evaluation: none writes anything but its result, or in place its first argument."""
_CHECKS = frozenset(
    (
        "_assert_async",
        "_assert_scalar",
        "_assert_tensor_metadata",
        "sym_constrain_range",
        "sym_constrain_range_for_size",
    )
)
"""Operators that only check; they are left out."""
_OF_SIZES: dict[str, Callable[..., Any]] = {
    name: getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "ge", "le", "gt", "lt", "eq", "ne")
}


@dataclass(frozen=True)
class _Name:
    """A value that an earlier step made."""

    name: str


@dataclass(frozen=True)
class _Step:
    """One operator: its function, arguments, and the names of what it gives; `last`: names not needed afterwards.

    With a `layer`, that is called on the first argument in place of the function.
    """

    layer: nn.Module | None
    call: Callable[..., Any]
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]
    gives: tuple[str | None, ...]
    several: bool
    last: tuple[str, ...]


class Program(nn.Module):
    """A graph of operators over its tensors and one input.

    Parameters
    ----------
    tensors
        Name in the graph → weights and constants.
    takes, gives
        Names of the input and of the result.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], steps: Sequence[_Step], takes: str, gives: str) -> None:
        super().__init__()
        self._takes, self._gives = takes, gives
        self.layers = nn.ModuleList([step.layer for step in steps if step.layer is not None])
        places = count()
        self._steps = [(replace(step, layer=None), None if step.layer is None else next(places)) for step in steps]
        self._needs_device = any(value is _Device for step in steps for value in (*step.args, *step.keywords.values()))
        needed = {
            name for step in steps for value in (*step.args, *step.keywords.values()) for name in _names_in(value)
        }
        self._names = tuple(name for name in tensors if name in needed)
        for number, tensor in enumerate(tensors[name] for name in self._names):
            if tensor.is_floating_point():
                self.register_parameter(f"tensor{number}", nn.Parameter(tensor, requires_grad=False))
            else:
                self.register_buffer(f"tensor{number}", tensor)

    def without_activation(self, outputs: Outputs) -> Program | None:
        """The program without its last layer, where that is the sigmoid or softmax of such outputs."""
        step, place = self._steps[-1] if self._steps else (None, None)
        kind = nn.Sigmoid if outputs == "probability" else nn.Softmax
        if step is None or place is None or step.gives != (self._gives,) or not isinstance(self.layers[place], kind):
            return None
        bare = copy.deepcopy(self)
        bare._steps, bare._gives = self._steps[:-1], step.args[0].name
        return bare

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """What the program gives for images in its own layout."""
        values: dict[str, Any] = {name: getattr(self, f"tensor{number}") for number, name in enumerate(self._names)}
        values[self._takes] = images
        device = images.device if self._needs_device else None
        for step, layer in self._steps:
            args = [_filled(value, values, device) for value in step.args]
            if layer is None:
                made = step.call(
                    *args, **{name: _filled(value, values, device) for name, value in step.keywords.items()}
                )
            else:
                made = self.layers[layer](args[0])
            for place, name in enumerate(step.gives):
                if name is not None:
                    values[name] = made[place] if step.several else made
            for name in step.last:
                values.pop(name, None)
        result: torch.Tensor = values[self._gives]
        return result


class _Device:
    """Stands for the device of the images."""


def _filled(value: Any, values: Mapping[str, Any], device: torch.device | None) -> Any:
    if isinstance(value, _Name):
        return values[value.name]
    if isinstance(value, list):
        return [_filled(one, values, device) for one in value]
    return device if value is _Device else value


def read_program(path: Path, output: int | None) -> tuple[Program, tuple[int | None, ...], str]:
    """The program in a ``.pt2`` file as a module, the shape of its input (None for any number), and the file's hash.

    Parameters
    ----------
    output
        Which of its results, where it has several.

    Raises
    ------
    DataError
        The file is torn, was written by another version, or its program does more than a network in evaluation.
    """
    try:
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            return *_Reader(path, archive).program(output), sha256(path)
    except DataError:
        raise
    except (*TORN_ZIP, LookupError, TypeError, AttributeError) as broken:
        reason = printable(f"{type(broken).__name__}: {broken}", 80)
        raise DataError(f"{path}: is torn or of another version of torch.export ({reason}); {AGAIN}") from broken


class _Reader:
    """Reads one archive; a field that is missing or of another type raises KeyError or TypeError."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        self.top = archive.namelist()[0].split("/")[0]

    def refuse(self, what: str, fix: str = AGAIN) -> NoReturn:
        raise DataError(f"{self.path}: {what}; {fix}")

    def program(self, output: int | None) -> tuple[Program, tuple[int | None, ...]]:
        if self._bytes("byteorder", 16).strip() != b"little":
            self.refuse("its numbers are not little-endian")
        models = [name for name in self.archive.namelist() if name.startswith(f"{self.top}/models/")]
        if len(models) != 1:
            self.refuse(f"holds {len(models)} programs", "save one alone")
        document = self._json(models[0].removeprefix(f"{self.top}/"))
        graph, signature = document["graph_module"]["graph"], document["graph_module"]["signature"]
        tensors, takes = self._inputs(signature["input_specs"])
        gives = self._output(signature["output_specs"], output)
        steps = self._steps(graph["nodes"], gives, takes, tensors)
        sizes = graph["tensor_values"][takes]["sizes"]
        shape = tuple(int(one["as_int"]) if "as_int" in one else None for one in sizes)
        return Program(tensors, steps, takes, gives), shape

    def _bytes(self, name: str, limit: int) -> bytes:
        member = self.archive.getinfo(f"{self.top}/{name}")
        if member.file_size > limit:
            self.refuse(
                f"{printable(name, 40)} has {member.file_size / 1e6:.4g} MB", "it is not a program of a network"
            )
        return self.archive.read(member)

    def _json(self, name: str) -> Any:
        return json_of(self._bytes(name, LARGEST_GRAPH), f"{self.path}: {printable(name, 60)}", AGAIN, nan=True)

    def _inputs(self, specs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, torch.Tensor], str]:
        """Tensors by their names in the graph, and the name of the images."""
        weights, constants = (
            self._json(f"data/{kind}/model_{kind}_config.json")["config"] for kind in ("weights", "constants")
        )
        tensors: dict[str, torch.Tensor] = {}
        images: list[str] = []
        for spec in specs:
            ((kind, what),) = spec.items()
            if kind == "user_input":
                images.append(str(what["arg"]["as_tensor"]["name"]))
            elif kind in ("parameter", "buffer", "tensor_constant"):
                name = what[f"{kind}_name"]
                known, folder = (weights, "weights") if name in weights else (constants, "constants")
                tensors[str(what["arg"]["name"])] = self._tensor(known[name], folder, str(name))
            else:
                self.refuse(f"takes a {printable(kind, 30)} as input", "give a network of tensors alone")
        if len(images) != 1:
            self.refuse(f"takes {len(images)} inputs, one image tensor is needed", "export a network of one input")
        return tensors, images[0]

    def _tensor(self, payload: Mapping[str, Any], folder: str, key: str) -> torch.Tensor:
        if payload["use_pickle"]:
            self.refuse(f"tensor {printable(key, 60)!r} is pickled, which could run anything")
        meta = payload["tensor_meta"]
        dtype = _DTYPES[meta["dtype"]]
        sizes, strides = ([int(one["as_int"]) for one in meta[name]] for name in ("sizes", "strides"))
        data = bytearray(self._bytes(f"data/{folder}/{payload['path_name']}", self.path.stat().st_size))
        if math.prod(sizes) == 0 or meta["layout"] != _STRIDED:
            self.refuse(f"tensor {printable(key, 60)!r} is empty or not strided")
        flat = torch.frombuffer(data, dtype=dtype)
        if math.prod(sizes) > flat.numel() or min(sizes, default=1) < 0:
            self.refuse(f"tensor {printable(key, 60)!r} has {flat.numel()} numbers, {math.prod(sizes)} are declared")
        values = flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"]))
        return as_floats(values, dtype, key, self.path) if dtype in FLOATS else values.clone()

    def _output(self, specs: Sequence[Mapping[str, Any]], output: int | None) -> str:
        results = [spec["user_output"]["arg"] for spec in specs if "user_output" in spec]
        if len(results) != len(specs):
            self.refuse("changes its own buffers, so it was exported in training")
        if output is None and len(results) > 1:
            self.refuse(f"gives {len(results)} results", "say which in the declaration: output: 0")
        if (output or 0) >= len(results):
            self.refuse(f"gives {len(results)} result(s), output {output} is none of them", "correct the declaration")
        return str(results[output or 0]["as_tensor"]["name"])

    def _steps(
        self, nodes: Sequence[Mapping[str, Any]], gives: str, takes: str, tensors: Mapping[str, torch.Tensor]
    ) -> list[_Step]:
        if len(nodes) > MOST_STEPS:
            self.refuse(f"has {len(nodes)} operators", "it is not a program of a network")
        steps: list[_Step] = []
        used: set[str] = {gives}
        uses = Counter(name for node in nodes for one in node["inputs"] for name in _names_in(self._value(one["arg"])))
        for node in reversed(nodes):
            target = str(node["target"])
            call = self._operator(target)
            if call is None:
                continue
            args = [(one["kind"], str(one["name"]), self._value(one["arg"])) for one in node["inputs"]]
            made, several = self._made(node["outputs"])
            layer = None if several else _layer(target, args, tensors, uses)
            if layer is not None:
                args = args[:1]
            needed = {name for _, _, value in args for name in _names_in(value)}
            steps.append(
                _Step(
                    layer,
                    call,
                    tuple(value for kind, _, value in args if kind == 1),
                    {name: value for kind, name, value in args if kind != 1},
                    tuple(name if name in used else None for name in made),
                    several,
                    tuple(sorted(needed - used)),
                )
            )
            used |= needed
        made_here = {name for step in steps for name in step.gives}
        if missing := used - tensors.keys() - {takes} - made_here:
            self.refuse(f"uses {printable(min(missing), 40)!r}, which nothing makes")
        return steps[::-1]

    def _operator(self, target: str) -> Callable[..., Any] | None:
        """The operator of that name; None for one that only checks."""
        if target.startswith("_operator.") and target.removeprefix("_operator.") in _OF_SIZES:
            return _OF_SIZES[target.removeprefix("_operator.")]
        found = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target, re.ASCII)
        if found and found[1] in _CHECKS:
            return None
        if not found or found[1] not in _ATEN:
            self.refuse(
                f"uses {printable(target, 60)}, which is not among the operators that are run from a file",
                "export it as ONNX, or name the network as package.module:factory",
            )
        packet = getattr(torch.ops.aten, found[1])
        if found[2] not in packet.overloads():
            self.refuse(f"uses {printable(target, 60)}, which this torch lacks", "update torch")
        call: Callable[..., Any] = function_of(f"{found[1]}.{found[2]}") or getattr(packet, found[2])
        return call

    def _value(self, arg: Mapping[str, Any]) -> Any:
        ((kind, value),) = arg.items()
        if kind in ("as_none",):
            return None
        if kind == "as_tensor":
            return _Name(str(value["name"]))
        if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
            return _Name(str(value["as_name"])) if "as_name" in value else next(iter(value.values()))
        if kind == "as_optional_tensor":
            return self._value(value)
        if kind == "as_tensors":
            return [_Name(str(one["name"])) for one in value]
        if kind in ("as_sym_ints", "as_sym_bools", "as_sym_floats"):
            return [self._value({"as_sym_int": one}) for one in value]
        if kind == "as_optional_tensors":
            return [self._value(one) for one in value]
        if kind in ("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats", "as_bools"):
            return value
        if kind == "as_scalar_type":
            return _DTYPES[value]
        if kind == "as_memory_format":
            return _MEMORY_FORMATS[value]
        if kind == "as_device":
            return _Device
        if kind == "as_layout" and value == _STRIDED:
            return torch.strided
        self.refuse(f"an operator takes {printable(kind.removeprefix('as_'), 30)}", "export a network without it")

    def _made(self, outputs: Sequence[Mapping[str, Any]]) -> tuple[tuple[str | None, ...], bool]:
        """Names of what an operator gives, and whether it gives a sequence."""
        if len(outputs) == 1 and "as_tensors" in outputs[0]:
            return tuple(str(one["name"]) for one in outputs[0]["as_tensors"]), True
        names = [self._value(one) for one in outputs]
        return tuple(one.name if isinstance(one, _Name) else None for one in names), len(outputs) > 1


def _layer(
    target: str, args: Sequence[tuple[int, str, Any]], tensors: Mapping[str, torch.Tensor], uses: Mapping[str, int]
) -> nn.Module | None:
    """The layer that an operator came from, where what it works on is no weight and its weights are in the file."""
    name = target.split(".")[-2]
    if not args or not isinstance(args[0][2], _Name) or args[0][2].name in tensors:
        return None
    if name.endswith("_") and uses[args[0][2].name] > 1:  # what it changes is read elsewhere
        return None
    bound = {key: tensors.get(value.name) if isinstance(value, _Name) else value for _, key, value in args[1:]}
    if any(isinstance(value, _Name) and bound[key] is None for _, key, value in args[1:]):
        return None
    return layer_of(name, {key: value for key, value in bound.items() if value is not None})


def _names_in(value: Any) -> Iterable[str]:
    if isinstance(value, _Name):
        yield value.name
    elif isinstance(value, list):
        for one in value:
            yield from _names_in(one)
