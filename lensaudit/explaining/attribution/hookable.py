"""A copy of a finder's module that captum can hook: every activation a module of its own, nothing in place.

captum's guided back-propagation and DeepLIFT act through hooks on activation modules. A functional ``relu`` has none:
guided back-propagation would then be the plain gradient without a word, and DeepLIFT fails where one module serves
twice. So the copy's graph is rewritten where it can be traced; what no hook reaches is counted, see `reached`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from lensaudit.explaining.attribution.gradcam import ActivationWatch
from lensaudit.explaining.layers import (
    AGREE,
    LogitModule,
    agrees,
    answers,
    copied,
    logit_module,
    noise_for,
    not_in_place,
)
from lensaudit.explaining.trace import IN_PLACE, traced_graph
from lensaudit.finders import Finder
from lensaudit.finders.load import scripted, uncompiled


@dataclass(frozen=True, eq=False)
class Hookable:
    """The copy and what is to be known about it.

    Attributes
    ----------
    module
        In evaluation mode, weights frozen; hooks on it never touch the finder.
    noise
        Images (2, bands, size, size) that it was tried on.
    scripted
        Whether any part is TorchScript, in which no hook and no function call is seen.
    watch
        Which activations ran, and which of them a hook reaches.
    foreign
        Classes of the parts whose own code may call functions that no hook reaches.
    plain
        A copy that is not rewritten, whose parts are those of the finder's module.
    """

    module: LogitModule
    noise: torch.Tensor
    scripted: bool
    watch: ActivationWatch
    foreign: tuple[str, ...]
    plain: LogitModule

    @property
    def where(self) -> str:
        """The parts that may hold what no hook reaches, as `` in Net``; empty where there are none."""
        return f" in {', '.join(self.foreign)}" if self.foreign else ""


def state_of(finder: Finder) -> tuple[object, ...]:
    """What a copy rests on: the declaration, and every weight's place and sum."""
    tensors = (*finder.module.parameters(), *finder.module.buffers())
    sums = torch.stack([tensor.detach().sum(dtype=torch.float64).cpu() for tensor in tensors]) if tensors else None
    places = tuple(tensor.data_ptr() for tensor in tensors)
    return finder.recipe, places, () if sums is None else tuple(sums.tolist())


def hookable(finder: Finder) -> Hookable:
    """Copy the finder's module and make what can be hooked hookable.

    It is rewritten as far as it then still gives the finder's own answers and gradients on noise.

    Raises
    ------
    LookupError
        Not even a plain copy does.
    """
    with uncompiled():
        return _made(finder)


def _made(finder: Finder) -> Hookable:
    noise = noise_for(finder)
    wanted = answers(finder, noise)
    plain = logit_module(finder, copied(finder.module))
    slope = _gradient(plain, noise)
    for rewrite in (_rewritten, _split, copied):
        module = logit_module(finder, rewrite(finder.module))
        if agrees(module, noise, wanted) and _same_gradient(module, noise, slope):
            return _watched(module, noise, plain)
    with torch.no_grad():
        module(noise)  # where the plain copy fails, its own error is the better answer
    raise LookupError("a copy that gives the same answers cannot be made: something random or remembered is")


def _watched(module: LogitModule, noise: torch.Tensor, plain: LogitModule) -> Hookable:
    watch = ActivationWatch()
    with torch.enable_grad(), watch.of(module):
        module(noise.clone().requires_grad_())
    foreign = sorted({type(part).__name__ for part in module.modules() if _foreign(part)})
    return Hookable(module, noise, scripted(module), watch, tuple(foreign), plain)


def _rewritten(module: nn.Module) -> nn.Module:
    """A copy as a graph with every activation a module of its own; where no graph can be drawn, as it is."""
    body = copied(module)
    graph = traced_graph(body)
    return _split(body if graph is None else _with_modules(body, graph))


def _split(module: nn.Module) -> nn.Module:
    """A copy in which nothing is in place and ReLU6 is two modules."""
    body = not_in_place(module)
    _split_relu6(body)
    return body


def _same_gradient(module: LogitModule, noise: torch.Tensor, wanted: torch.Tensor | None) -> bool:
    """Whether the gradient is that of a plain copy, where that has any."""
    own = _gradient(module, noise)
    if wanted is None or own is None:
        return wanted is None
    return torch.allclose(own, wanted, rtol=0, atol=AGREE * float(wanted.nan_to_num().abs().max()), equal_nan=True)


def _gradient(module: LogitModule, noise: torch.Tensor) -> torch.Tensor | None:
    """Gradient of the log-odds; None where there is none, or a write in place spoilt it."""
    leaf = noise.clone().requires_grad_()
    try:
        with torch.enable_grad():
            return torch.autograd.grad(module(leaf).sum(), leaf)[0]
    except RuntimeError:
        return None


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


def _clamp(_input: Any, min: Any = None, max: Any = None) -> nn.Module | None:
    return nn.ReLU() if min == 0 and max is None else None


def _softmax(_input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module | None:
    return nn.Softmax(dim) if dtype is None else None


_AS_MODULE: dict[Any, Callable[..., nn.Module | None]] = {
    functional.relu: _relu,
    functional.relu_: _relu,
    torch.relu: _relu,
    torch.relu_: _relu,
    "relu": _relu,
    "relu_": _relu,
    functional.relu6: lambda _input, inplace=False: nn.ReLU6(),
    functional.elu: _elu,
    functional.leaky_relu: _leaky_relu,
    functional.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    **dict.fromkeys((torch.tanh, functional.tanh, "tanh", "tanh_"), lambda _input: nn.Tanh()),
    **dict.fromkeys((torch.sigmoid, functional.sigmoid, "sigmoid", "sigmoid_"), lambda _input: nn.Sigmoid()),
    **dict.fromkeys((torch.clamp, torch.clip, "clamp", "clamp_", "clip", "clip_"), _clamp),
    **dict.fromkeys((torch.clamp_min, "clamp_min", "clamp_min_"), _clamp),
    functional.softplus: lambda _input, beta=1.0, threshold=20.0: nn.Softplus(beta, threshold),
    **dict.fromkeys((functional.softmax, torch.softmax, "softmax"), _softmax),
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
        elif node.target in _AS_MODULE:
            made = _as_module(node)
        if made is None:
            _give_new(node)
        else:
            name = f"made_{number}"
            module.add_submodule(name, made)
            with module.graph.inserting_after(node):
                call = module.graph.call_module(name, (node.args[0] if node.args else node.kwargs["input"],))
            node.replace_all_uses_with(call)
            module.graph.erase_node(node)
    module.recompile()
    return module.eval()


def _give_new(node: fx.Node) -> None:
    """Let a call that changes its argument give a new tensor; later uses take the call's result already."""
    if node.op == "call_function" and node.target in IN_PLACE:
        node.target = IN_PLACE[node.target]
    elif node.op == "call_function" and node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
    elif node.op == "call_method" and str(node.target).endswith("_") and hasattr(torch.Tensor, str(node.target)[:-1]):
        node.target = str(node.target)[:-1]


def _as_module(node: fx.Node) -> nn.Module | None:
    """The module that calculates what a call does; None where an argument says something else."""
    named = {("_input" if name == "input" else name): value for name, value in node.kwargs.items()}
    try:
        return _AS_MODULE[node.target](*node.args, **named)
    except TypeError:
        return None


def _foreign(part: nn.Module) -> bool:
    return not isinstance(part, LogitModule | fx.GraphModule) and not type(part).__module__.startswith("torch.nn")
