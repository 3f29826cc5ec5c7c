"""The same small network in files of several formats, and the YAML that declares each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from lensaudit.finders import initialised_module, load_recipe

SIZE, BANDS = 16, ("VIS", "H")


def small_network(outputs: int = 2) -> nn.Sequential:
    """Petrillo's network for two bands of 16×16 pixels, with seeded weights."""
    recipe = load_recipe("petrillo").model_copy(update={"bands": BANDS, "size": SIZE, "outputs": outputs})
    module = initialised_module(recipe, torch.Generator().manual_seed(4)).eval()
    assert isinstance(module, nn.Sequential)
    return module


def declaration(at: Path, name: str = "mine", **words: Any) -> str:
    """Write the YAML of a network's file beside it; its path."""
    declared = {"file": at.name, "bands": list(BANDS), "size": SIZE, "field_of_view_arcsec": 20.0} | words
    path = at.parent / f"{name}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in declared.items() if value is not None}), "utf-8")
    return str(path)


def write_program(net: nn.Module, path: Path, example: torch.Tensor | None = None, dynamic: bool = True) -> Path:
    """Write a program of torch.export, for any number of images or for that of the example."""
    images = torch.rand(2, len(BANDS), SIZE, SIZE) if example is None else example
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    torch.export.save(torch.export.export(net, (images,), dynamic_shapes=shapes), path)
    return path


def write_onnx(
    net: nn.Sequential, path: Path, *, batch: int | str = "n", ends: tuple[str, ...] = (), nhwc: bool = False,
    opset: int = 17, more: tuple[str, ...] = (), domain: str = "", external: str = "",
    shape: tuple[int, int] = (len(BANDS), SIZE),
) -> Path:  # fmt: skip
    """Write a network of convolutions, pooling and dense layers as ONNX.

    Parameters
    ----------
    ends
        Operators after its last layer, such as ``Sigmoid``; of the maker `domain`.
    more
        Names of further results: outputs of inner layers, ``layer3``.
    external
        File for the weights.
    shape
        Bands and pixels per side.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in net.state_dict().items()]
    nodes, last = [], "images"
    if nhwc:
        nodes, last = [helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2])], "nchw"
    for number, layer in enumerate(net):
        own = [f"{number}.weight", f"{number}.bias"]
        if isinstance(layer, nn.Conv2d):
            words = {"pads": [*layer.padding, *layer.padding], "strides": layer.stride}
            kind, inputs = "Conv", [last, *own]
        elif isinstance(layer, nn.Linear):
            words, kind, inputs = {"transB": 1}, "Gemm", [last, *own]
        elif isinstance(layer, nn.MaxPool2d):
            words, kind, inputs = {"kernel_shape": [2, 2], "strides": [2, 2]}, "MaxPool", [last]
        elif isinstance(layer, nn.Dropout):
            continue
        else:
            words, kind, inputs = {}, {nn.ReLU: "Relu", nn.Flatten: "Flatten"}[type(layer)], [last]
        nodes.append(helper.make_node(kind, inputs, [f"layer{number}"], **words))
        last = f"layer{number}"
    for kind in ends:
        nodes.append(helper.make_node(kind, [last], [f"{last}.{kind}"], domain=domain))
        last = nodes[-1].output[0]
    bands, side = shape
    takes = [batch, side, side, bands] if nhwc else [batch, bands, side, side]
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("images", TensorProto.FLOAT, takes)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (last, *more)], weights,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    outside = {"save_as_external_data": True, "location": external, "size_threshold": 10} if external else {}
    onnx.save(model, str(path), **outside)
    return path


def changed(good: Path, path: Path, member: str, change: Callable[[dict], None]) -> Path:
    """The archive, of a program or a Keras model, with a change in one of its JSON members."""
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith(member):
                document = json.loads(data)
                change(document)
                data = json.dumps(document).encode()
            out.writestr(name, data)
    return path
