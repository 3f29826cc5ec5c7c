"""ONNX models as torch modules, by onnx2torch: for explanations that need gradients.

onnx2torch writes a program of torch.fx, whose Python is made of the names in the file. So every name is ours before it
sees the model, and what nests programs in programs is refused.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensaudit.errors import DataError, MachineError
from lensaudit.finders.formats.declaration import FinderFile
from lensaudit.finders.formats.network import FileNetwork
from lensaudit.finders.running import plain_float32
from lensaudit.foreign_code import is_out_of_memory
from lensaudit.untrusted import printable

TESTED = 8
"""Images on which both are compared."""


def read_converted(path: Path, output: int | None, tapped: str = "") -> nn.Module:
    """The model of an ONNX file as a module of torch's own layers.

    Parameters
    ----------
    output
        Which of its results, where it has several.
    tapped
        A value of the graph that is given in place of it.

    Raises
    ------
    MachineError
        onnx2torch or what it needs is not installed.
    DataError
        It has an operator that onnx2torch lacks, or is torn.
    """
    try:
        import onnx
        from onnx2torch import convert
    except (ImportError, RuntimeError) as missing:  # torchvision beside another torch is a RuntimeError
        raise MachineError(
            f"{path}: gradients of ONNX need onnx2torch ({printable(missing, 60)}); pip install "
            "'lensaudit[onnx-gradients]'"
        ) from missing
    try:
        model = onnx.load(str(path))
        _rename(model, output or 0, tapped, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module: nn.Module = convert(model)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # its errors have no type in common
        reason = printable(" ".join(str(error).split()), 120)
        raise DataError(
            f"{path}: onnx2torch cannot convert it ({reason}); leave gradients out, or export a .pt2"
        ) from error
    return module.float().eval().requires_grad_(False)


def _rename(model: Any, output: int, tapped: str, path: Path) -> None:
    """Give nodes and values names of ours, and leave the wanted result alone as output."""
    graph = model.graph
    if len(model.functions) or any(
        attribute.HasField("g") or len(attribute.graphs) for node in graph.node for attribute in node.attribute
    ):
        raise DataError(f"{path}: has functions, branches or loops, which have no gradients here; leave gradients out")
    del graph.value_info[:]
    wanted = graph.output[output]
    ours: dict[str, str] = {}

    def renamed(name: str) -> str:
        return ours.setdefault(name, f"value{len(ours)}") if name else ""

    for number, node in enumerate(graph.node):
        node.name = f"{''.join(filter(str.isalnum, node.op_type))[:40]}{number}"
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for value in (*graph.input, *graph.initializer, wanted):
        value.name = renamed(value.name)
    kept = type(wanted)()
    kept.CopyFrom(wanted)
    kept.name = ours[tapped] if tapped else kept.name
    del graph.output[:]
    graph.output.append(kept)


def with_gradients(module: FileNetwork, told: FinderFile, path: Path) -> str:
    """Put the converted network in the place of onnxruntime's, and say how far both are apart.

    Raises
    ------
    MachineError, DataError
        As `read_converted`; or the two differ by more than the declaration allows.
    """
    noise = torch.rand(TESTED, told.channels, told.size, told.size, generator=torch.Generator().manual_seed(0))
    images = torch.cat([noise[: TESTED // 2], noise[TESTED // 2 :] * 10 - 5])
    with torch.inference_mode(), plain_float32(images.device):
        before = module(images)
        module.network = read_converted(path, told.output, getattr(module.network, "tapped", ""))
        try:
            after = module(images)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = printable(" ".join(str(error).split()), 120)
            raise DataError(f"{path}: as a torch module it cannot be run ({reason}); leave gradients out") from error
    same_shape = before.shape == after.shape
    apart = float((before - after).abs().max() / before.abs().max().clamp_min(1.0)) if same_shape else float("inf")
    if not apart <= told.parity:
        raise DataError(
            f"{path}: as a torch module it differs from onnxruntime by {apart:.2g} of its largest log-odds, more than "
            f"parity ({told.parity:g}); leave gradients out, or export a .pt2"
        )
    module.differentiable = True
    return (
        f"run as a torch module by onnx2torch, which differs from onnxruntime by {apart:.1g} of the largest log-odds "
        f"on {TESTED} test images ({told.parity:g} allowed)"
    )
