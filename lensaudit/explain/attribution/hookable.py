"""A copy of a finder's module that captum can hook: every activation a module of its own, nothing in place.

captum's guided back-propagation and DeepLIFT act through hooks on activation modules. A functional ``relu`` has none:
guided back-propagation would then be the plain gradient without a word, and DeepLIFT fails where one module serves
twice. So the copy's graph is rewritten where it can be traced, and what cannot be hooked is named.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lensaudit.explain.trace import IN_PLACE, traced_graph
from lensaudit.finders import Finder
from lensaudit.finders.finder import lens_logit


class LogitModule(nn.Module):
    """Prepared images (n, bands, size, size) → log-odds of "lens" (n,), the one number that is explained."""

    def __init__(self, body: nn.Module, outputs: int, lens_index: int) -> None:
        super().__init__()
        self.body, self._outputs, self._lens_index = body, outputs, lens_index

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds (n,)."""
        return lens_logit(self.body(images), self._outputs, self._lens_index)


@dataclass(frozen=True, eq=False)
class Hookable:
    """The copy and what is to be known about it.

    Attributes
    ----------
    module
        In evaluation mode, weights frozen; hooks on it never touch the finder.
    unhooked
        ReLUs that no hook reaches, in words; empty if there are none.
    rectified
        Whether any ``nn.ReLU`` is left to hook.
    """

    module: LogitModule
    unhooked: tuple[str, ...]
    rectified: bool

    @property
    def last_convolution(self) -> nn.Module:
        """The convolution that runs last, or the ReLU fed by it alone: the layer Grad-CAM weighs.

        Wilde et al. 2022, Section 5.6: "the last convolutional layer with ReLU applied".

        Raises
        ------
        LookupError
            There is no convolution.
        """
        found = _last_convolution(self.module.body)
        if found is None:
            raise LookupError("no convolution")
        return found


def hookable(finder: Finder) -> Hookable:
    """Copy the finder's module and make what can be hooked hookable."""
    body = copy.deepcopy(finder.module).eval()
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    graph = traced_graph(body)
    if graph is not None:
        body = _with_modules(body, graph)
    for part in body.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    _split_relu6(body)
    module = LogitModule(body, finder.recipe.outputs, finder.recipe.lens_index).eval()
    size, bands = finder.recipe.size, len(finder.recipe.bands)
    unhooked = _unhooked(module, torch.zeros(1, bands, size, size, device=finder.device))
    return Hookable(module, unhooked, any(isinstance(part, nn.ReLU) for part in body.modules()))


def _split_relu6(body: nn.Module) -> None:
    """ReLU6 as ReLU and a cut at 6, in place: captum hooks ``nn.ReLU`` alone."""
    for part in list(body.modules()):
        for name, child in list(part.named_children()):
            if type(child) is nn.ReLU6:
                setattr(part, name, nn.Sequential(nn.ReLU(), nn.Hardtanh(0.0, 6.0)))


def _relu(_input: Any, inplace: bool = False) -> nn.Module:
    return nn.ReLU()


def _elu(_input: Any, alpha: float = 1.0, inplace: bool = False) -> nn.Module:
    return nn.ELU(alpha)


def _leaky_relu(_input: Any, negative_slope: float = 0.01, inplace: bool = False) -> nn.Module:
    return nn.LeakyReLU(negative_slope)


def _max_pool2d(
    _input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nn.Module:
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)


_AS_MODULE: dict[Any, Callable[..., nn.Module]] = {
    functional.relu: _relu,
    functional.relu_: _relu,
    torch.relu: _relu,
    torch.relu_: _relu,
    "relu": _relu,
    "relu_": _relu,
    functional.elu: _elu,
    functional.leaky_relu: _leaky_relu,
    functional.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    torch.tanh: lambda _input: nn.Tanh(),
    torch.sigmoid: lambda _input: nn.Sigmoid(),
}


def _with_modules(body: nn.Module, graph: fx.Graph) -> nn.Module:
    """`body` as a graph in which every activation call is a module of its own, and no sum is in place."""
    module = fx.GraphModule(body, graph)
    used: set[str] = set()
    for number, node in enumerate(list(module.graph.nodes)):
        made: nn.Module | None = None
        if node.op == "call_module":
            part = module.get_submodule(node.target)
            again = node.target in used and not list(part.parameters())
            used.add(node.target)
            made = copy.deepcopy(part) if again else None
        elif node.op in ("call_function", "call_method") and node.target in _AS_MODULE:
            made = _AS_MODULE[node.target](*node.args, **node.kwargs)
        elif node.op == "call_function" and node.target in IN_PLACE:
            node.target = IN_PLACE[node.target]
        if made is not None:
            name = f"made_{number}"
            module.add_submodule(name, made)
            with module.graph.inserting_after(node):
                call = module.graph.call_module(name, (node.args[0],))
            node.replace_all_uses_with(call)
            module.graph.erase_node(node)
    module.recompile()
    return module.eval()


class _CountedRelus(TorchFunctionMode):
    """Counts calls of ``relu`` while the block runs; ``functional.relu`` calls ``torch.relu`` and counts once."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, functional.relu):
            before = self.count
            result = func(*args, **(kwargs or {}))
            self.count = before + 1
            return result
        return func(*args, **(kwargs or {}))


def _unhooked(module: nn.Module, image: torch.Tensor) -> tuple[str, ...]:
    """Calls of ReLU that are no ``nn.ReLU`` module's, told with the parts whose own code may hold them."""
    hooked = 0

    def count(*_: Any) -> None:
        nonlocal hooked
        hooked += 1

    handles = [part.register_forward_hook(count) for part in module.modules() if isinstance(part, nn.ReLU)]
    try:
        with torch.no_grad(), _CountedRelus() as calls:
            module(image)
    finally:
        for handle in handles:
            handle.remove()
    if calls.count <= hooked:
        return ()
    parts = sorted({type(part).__name__ for part in module.modules() if _foreign(part)})
    where = f" in {', '.join(parts)}" if parts else ""
    return (f"{calls.count - hooked} of {calls.count} ReLU calls{where} are functions that no hook reaches",)


def _foreign(part: nn.Module) -> bool:
    return not isinstance(part, LogitModule | fx.GraphModule) and not type(part).__module__.startswith("torch.nn")


def _last_convolution(body: nn.Module) -> nn.Module | None:
    """In the order of calculation where it is known, else of definition."""
    parts: list[nn.Module] = [body]
    if isinstance(body, fx.GraphModule):
        parts = [body.get_submodule(str(node.target)) for node in body.graph.nodes if node.op == "call_module"]
    found = [inner for part in parts for inner in part.modules() if isinstance(inner, nn.Conv2d)]
    if not found:
        return None
    return (_rectified_after(body, found[-1]) if isinstance(body, fx.GraphModule) else None) or found[-1]


def _rectified_after(body: fx.GraphModule, convolution: nn.Module) -> nn.Module | None:
    """The ReLU that alone takes the convolution's output, perhaps through a batch normalisation."""
    modules = dict(body.named_modules())
    nodes = [n for n in body.graph.nodes if n.op == "call_module"]
    node = next((n for n in nodes if modules[n.target] is convolution), None)
    while node is not None and len(node.users) == 1:
        node = next(iter(node.users))
        part = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(part, nn.ReLU):
            return part
        if not isinstance(part, nn.BatchNorm2d):
            return None
    return None
