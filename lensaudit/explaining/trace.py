"""A module as a list of layers in the order of calculation, each with its activations of one image."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from lensaudit.finders.load import scripted, uncompiled

IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


@dataclass(frozen=True, eq=False)
class Layer:
    """One node of the graph: what is called, on what, and what it costs for one image."""

    node: fx.Node
    call: Callable[..., Any]
    module: nn.Module | None
    changing: int
    """How many of its inputs depend on the image; 0 if it does not itself."""

    @property
    def kind(self) -> str:
        """Class of the module, or name of the function or method."""
        return type(self.module).__name__ if self.module is not None else _name(self.node.target)

    @property
    def label(self) -> str:
        """Name and kind, as ``layer.4 Conv2d`` or ``add``."""
        return f"{self.node.target} {self.kind}".strip() if self.module is not None else self.kind


@dataclass(frozen=True)
class Run:
    """What one layer gave for the image, its multiply-adds, and the bytes of the largest activation inside it."""

    output: Any
    multiply_adds: int
    inside: int


@dataclass(frozen=True)
class Trace:
    """Layers in order, the input and output nodes, and after which layer each node is last used."""

    layers: tuple[Layer, ...]
    image: fx.Node
    result: fx.Node
    last_use: Mapping[fx.Node, int]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put `module` into evaluation mode without gradients, and every part of it back to its own mode afterwards.

    Convolutions on a GPU are in plain float32: TensorFloat-32 would shift p by up to 1e-3. What ``torch.compile``
    made runs as plain PyTorch, so that hooks see it.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False), uncompiled():
            yield
    finally:
        for part, training in modes:
            part.training = training


def traced(module: nn.Module, inside: bool = True) -> Trace:
    """The layers of `module`, which takes one batch of images and gives one tensor.

    A part whose own code branches on data or shapes is one layer; where that is `module` itself, or `inside` is
    false, it is the only one.
    """
    graph = (traced_graph(module) if inside else None) or _single(module)
    layers: list[Layer] = []
    changing: set[fx.Node] = set()
    image, result = None, None
    for node in graph.nodes:
        if node.op == "placeholder":
            image = node if image is None else image
            changing.add(image)
        elif node.op == "output":
            result = node.args[0]
        else:
            layer = _layer(node, module, len(changing.intersection(node.all_input_nodes)))
            layers.append(layer)
            changing |= {node} if layer.changing else set()
    assert image is not None
    assert isinstance(result, fx.Node)
    last_use = {node: index for index, layer in enumerate(layers) for node in layer.node.all_input_nodes}
    return Trace(tuple(layers), image, result, last_use)


def run_once(trace: Trace, image: torch.Tensor) -> dict[fx.Node, Run]:
    """Run all layers on one `image` (1, bands, height, width), keeping everything."""
    runs = {trace.image: Run(image, 0, 0)}
    values: dict[fx.Node, Any] = {trace.image: image}
    for layer in trace.layers:
        with _watched(layer) as parts:
            values[layer.node] = called(layer, values)
        inside = [output.nbytes for part, output in parts if part is not layer.module]
        multiply_adds = sum(_multiply_adds(part, output) for part, output in parts) + _of_call(layer, values)
        runs[layer.node] = Run(values[layer.node], multiply_adds, max(inside, default=0))
    return runs


def called(layer: Layer, values: Mapping[fx.Node, Any]) -> Any:
    """Run one layer on the `values` of its inputs, which it leaves as they are."""
    args, kwargs = fx.map_arg((layer.node.args, layer.node.kwargs), lambda node: values[node])
    if _may_write(layer):
        args, kwargs = _copies(args), _copies(kwargs)
    return layer.call(*args, **kwargs)


@contextmanager
def _watched(layer: Layer) -> Iterator[list[tuple[nn.Module, torch.Tensor]]]:
    """What a layer's own parts give, by hooks that are gone afterwards whatever happens."""
    seen: list[tuple[nn.Module, torch.Tensor]] = []

    def note(part: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            seen.append((part, output))

    handles = [part.register_forward_hook(note) for part in _parts(layer)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _parts(layer: Layer) -> Iterator[nn.Module]:
    """Its modules; none of TorchScript, which takes no hooks."""
    if layer.module is not None and not scripted(layer.module):
        yield from layer.module.modules()


def _multiply_adds(part: nn.Module, output: torch.Tensor) -> int:
    """Of a convolution or dense layer that gave `output`; 0 for anything else."""
    if isinstance(part, nn.Conv2d):
        return _each_output(output.numel(), part.weight)
    return _each_output(output.numel(), part.weight) if isinstance(part, nn.Linear) else 0


def _of_call(layer: Layer, values: Mapping[fx.Node, Any]) -> int:
    """The same for the functions ``conv2d`` and ``linear``."""
    if layer.node.target not in (functional.conv2d, torch.conv2d, functional.linear) or len(layer.node.args) < 2:
        return 0
    node = layer.node.args[1]
    weight = values.get(node) if isinstance(node, fx.Node) else None
    return _each_output(values[layer.node].numel(), weight) if isinstance(weight, torch.Tensor) else 0


def _each_output(outputs: int, weight: torch.Tensor) -> int:
    return outputs * (weight.numel() // len(weight))


class _Tracer(fx.Tracer):
    """Looks into every part whose code can be traced; `known` remembers which can."""

    def __init__(self, known: dict[nn.Module, bool]) -> None:
        super().__init__()
        self._known = known

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if super().is_leaf_module(m, module_qualified_name) or _hooked(m):
            return True
        if m not in self._known:
            self._known[m] = _symbolic(m, self._known) is not None
        return not self._known[m]


def _symbolic(module: nn.Module, known: dict[nn.Module, bool]) -> fx.Graph | None:
    """Symbolic trace of `module`; None where there is none."""
    try:
        return _Tracer(known).trace(module)
    except Exception:  # tracing runs foreign code on stand-ins: it may fail in any way, and the answer is then no
        return None


def _can_be_written(node: fx.Node) -> bool:
    """Whether the names of a node's layer can stand in the Python that torch.fx makes of a graph, between quotes."""
    names = str(node.target) if node.op in {"call_module", "get_attr"} else ""
    return names.isprintable() and not set(names) & set('"\\')


def traced_graph(module: nn.Module) -> fx.Graph | None:
    """Graph of a `module` with one input and one output tensor; None where there is none.

    Parts whose own code cannot be traced are one node each.
    """
    graph = None if scripted(module) else _symbolic(module, {})
    if graph is None or not all(_can_be_written(node) for node in graph.nodes):
        return None
    without_writes(graph, module)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    output = next(node for node in graph.nodes if node.op == "output")
    return graph if len(inputs) == 1 and isinstance(output.args[0], fx.Node) else None


def _single(module: nn.Module) -> fx.Graph:
    """A graph whose only layer is `module` itself."""
    graph = fx.Graph()
    graph.output(graph.call_module("", (graph.placeholder("image"),)))
    return graph


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _layer(node: fx.Node, root: nn.Module, changing: int) -> Layer:
    target: Any = node.target
    if node.op == "call_module":
        part = root.get_submodule(target) if target else root  # TorchScript has no get_submodule
        return Layer(node, part, part, changing)
    if node.op == "get_attr":
        value = operator.attrgetter(target)(root)
        return Layer(node, lambda: value, None, changing)
    if node.op == "call_method":
        return Layer(node, _method(target), None, changing)
    return Layer(node, IN_PLACE.get(target, target), None, changing)


def _name(target: Any) -> str:
    return str(getattr(target, "__name__", target))


def _method(name: str) -> Callable[..., Any]:
    return lambda value, *args, **kwargs: getattr(value, name)(*args, **kwargs)


def without_writes(graph: fx.Graph, root: nn.Module) -> None:
    """Let every later use of a tensor that a call changes in place use the call's result instead.

    What a call changes may go on under its old name: ``relu(x, inplace=True); return self.head(x)``. With this, a call
    may give a new tensor and leave its argument as it is. Tensors seen under a third name (views) are not followed.
    """
    place = {node: index for index, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        part = root.get_submodule(str(node.target)) if node.op == "call_module" else None
        changed = _changed(node, part)
        for user in [user for user in getattr(changed, "users", ()) if place[user] > place[node]]:
            user.replace_input_with(changed, node)


def _changed(node: fx.Node, part: nn.Module | None) -> Any:
    """The argument that a call says it changes: ``inplace=True``, ``add_``, ``out=``, an in-place module; else None."""
    if node.op not in ("call_module", "call_function", "call_method"):
        return None
    if "out" in node.kwargs:
        return node.kwargs["out"]
    name = "" if part is not None else _name(node.target)
    in_name = name.endswith("_") and not name.endswith("__")
    if in_name or node.kwargs.get("inplace") or getattr(part, "inplace", False):
        return node.args[0] if node.args else next(iter(node.all_input_nodes), None)
    return None


def _may_write(layer: Layer) -> bool:
    """Whether the call may change its arguments: it says so, or is code that is not torch's own."""
    part = layer.module
    foreign = part is not None and (not type(part).__module__.startswith("torch.nn") or _hooked(part))
    return foreign or _changed(layer.node, part) is not None


def _copies(value: Any) -> Any:
    return fx.node.map_aggregate(value, lambda item: item.clone() if isinstance(item, torch.Tensor) else item)
