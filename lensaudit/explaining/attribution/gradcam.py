"""Grad-CAM (Selvaraju et al. 2017) from the convolution that really runs last, whether modules or functions call it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

ACTIVATIONS = frozenset(
    {
        "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus",
        "sigmoid", "logsigmoid", "tanh", "softmax", "softsign", "hardtanh", "hardswish", "hardsigmoid", "clamp",
        "clip", "clamp_min", "clamp_max", "_threshold", "maximum", "max_pool2d", "adaptive_max_pool2d", "amax",
    }
)  # fmt: skip
MIXERS = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh"})
PRODUCTS = frozenset({"matmul", "bmm", "mm", "baddbmm", "einsum", "tensordot", "__matmul__", "__rmatmul__"})


@dataclass(frozen=True)
class Call:
    """One call of a function of torch that depends on the image."""

    name: str
    args: Sequence[Any]
    named: dict[str, Any]
    result: torch.Tensor

    @property
    def first(self) -> Any:
        """What it is called on."""
        return self.args[0] if self.args else self.named.get("input")

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """All tensors among its arguments that depend on the image."""
        return tuple(t for t in _tensors((self.args, tuple(self.named.values()))) if t.requires_grad)

    @property
    def rectifies(self) -> bool:
        """Whether it is ReLU, by whatever name."""
        if self.name in ("relu", "relu6"):
            return True
        if self.name == "_threshold":
            return tuple(self.args[1:3]) == (0, 0)
        if self.name in ("clamp", "clip", "clamp_min"):
            return self.named.get("min", self.args[1] if len(self.args) > 1 else None) == 0
        if self.name != "maximum":
            return False
        return any(not t.requires_grad and not bool(t.any()) for t in _tensors((self.args,)))

    @property
    def mixing(self) -> str:
        """What makes each place depend on all others here, in words; empty for nothing of that kind."""
        if self.name in MIXERS:
            return "attention" if "attention" in self.name else self.name
        if self.name == "linear" and isinstance(self.first, torch.Tensor) and self.first.ndim == 3:
            return "a dense layer over tokens"
        return "a product of activations" if self.name in PRODUCTS and len(self.inputs) > 1 else ""


class Watch(TorchFunctionMode, ABC):
    """Hands every call in the block that depends on the image to `see`.

    Weights must not ask for gradients: what asks for one then depends on the image.
    """

    @abstractmethod
    def see(self, call: Call) -> None:
        """One call, after it was made."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        result = func(*args, **named)
        found = _tensors((result,))
        if found and found[0].requires_grad:
            name = str(getattr(func, "__name__", ""))
            self.see(Call(name if name.startswith("__") else name.rstrip("_"), args, named, found[0]))
        return result


class ActivationWatch(Watch):
    """Counts activations by whether they run inside a module that a method can hook.

    Attributes
    ----------
    relus, hooked_relus
        Calls of ReLU, and those inside ``nn.ReLU``.
    activations, hooked
        Names of activations called, and of those inside modules for which DeepLIFT has a rule.
    """

    def __init__(self) -> None:
        super().__init__()
        self.relus, self.hooked_relus = 0, 0
        self.activations: list[str] = []
        self.hooked: list[str] = []
        self.uses: dict[nn.Module, int] = {}
        self._open: list[nn.Module] = []

    def see(self, call: Call) -> None:
        """Count it."""
        if call.name not in ACTIVATIONS:
            return
        self.activations.append(call.name)
        if any(type(part) in ruled() for part in self._open):
            self.hooked.append(call.name)
        if call.rectifies:
            self.relus += 1
            self.hooked_relus += any(isinstance(part, nn.ReLU) for part in self._open)

    @contextmanager
    def of(self, module: nn.Module) -> Iterator[None]:
        """Count the calls of the block by the parts of `module` that they run in."""

        def enter(part: nn.Module, _inputs: Any) -> None:
            self._open.append(part)
            self.uses[part] = self.uses.get(part, 0) + 1

        def leave(*_: Any) -> None:
            self._open.pop()

        parts = [part for part in module.modules() if type(part) in ruled() or isinstance(part, nn.ReLU)]
        handles = [part.register_forward_pre_hook(enter) for part in parts]
        handles += [part.register_forward_hook(leave) for part in parts]
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()


def ruled() -> tuple[type[nn.Module], ...]:
    """Modules for which captum's DeepLIFT has a rule."""
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    return tuple(SUPPORTED_NON_LINEAR)


def _tensors(values: Sequence[Any]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            found += _tensors(value)
    return found


@dataclass(eq=False)
class Features:
    """Maps of one convolution.

    Attributes
    ----------
    maps
        (n, kernels, h, w): its output, or that of the ReLU that alone takes it, perhaps through a batch normalisation.
    raw, weight
        Its own output and kernels.
    chain
        What leads from its output to the ReLU.
    mixed
        What mixed places after it; empty for nothing.
    """

    maps: torch.Tensor
    raw: torch.Tensor
    weight: Any
    chain: list[torch.Tensor]
    rectified: bool = False
    mixed: str = ""

    @property
    def words(self) -> str:
        """What they are, as ``last convolution with its ReLU, 4 maps of 9×9``."""
        _, kernels, height, width = self.maps.shape
        with_relu = " with its ReLU" if self.rectified else ""
        return f"last convolution{with_relu}, {kernels} maps of {height}×{width}"

    def follow(self, call: Call) -> None:
        """Go on to the ReLU, or back to the convolution's own output where another call takes it too."""
        self.mixed = self.mixed or call.mixing
        taken = [tensor for tensor in self.chain if any(tensor is one for one in call.inputs)]
        if not taken or (self.rectified and self.maps is taken[0]):  # a ReLU in place gives back what it was given
            return
        at_end = not self.rectified and call.first is self.chain[-1]
        if at_end and call.rectifies:
            self.maps, self.rectified = call.result, True
        elif at_end and call.name == "batch_norm":
            self.chain.append(call.result)
        else:
            self.maps, self.rectified, self.chain = self.raw, False, []


class _Convolutions(Watch):
    """All convolutions with more than one place, in the order in which they ran."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Features] = []

    def see(self, call: Call) -> None:
        """Note a convolution, and what follows the last one."""
        if call.name == "conv2d" and call.result.ndim == 4 and call.result.shape[-2:].numel() > 1:
            weight = call.args[1] if len(call.args) > 1 else call.named.get("weight")
            self.seen.append(Features(call.result, call.result, weight, [call.result]))
        elif self.seen:
            self.seen[-1].follow(call)


def last_features(module: nn.Module, images: torch.Tensor) -> Features:
    """The maps that `grad_cam` weighs, and a check that they can show where the module looks.

    Raises
    ------
    LookupError
        They cannot: no convolution, attention after the last one, or one that runs on several images side by side.
    """
    _, seen = _run(module, images.detach().requires_grad_())
    beside = _beside(seen)
    if any(one.weight is seen[-1].weight for one in beside):
        raise LookupError(f"its last convolution runs {len(beside) + 1} times side by side, so there is no one map")
    return seen[-1]


def parallel(module: nn.Module, images: torch.Tensor) -> int:
    """How many convolutions lead to the score beside the last one, as in branches that are put together later."""
    return len(_beside(_run(module, images.detach().requires_grad_())[1]))


def grad_cam(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Grad-CAM (n, 1, h, w) of the log-odds, positive parts only, laid bilinearly over `images` (n, bands, h, w)."""
    logit, seen = _run(module, images.detach().requires_grad_())
    maps = seen[-1].maps
    (slope,) = torch.autograd.grad(logit.sum(), maps)
    coarse = (slope.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    return functional.interpolate(coarse.detach(), images.shape[-2:], mode="bilinear")


def _run(module: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[Features]]:
    """Log-odds (n,), and the convolutions that lead to them."""
    with _Convolutions() as watch:
        logit = module(images)
    seen = watch.seen
    if seen and logit.requires_grad:
        slopes = torch.autograd.grad(logit.sum(), [one.raw for one in seen], allow_unused=True, retain_graph=True)
        seen = [one for one, slope in zip(seen, slopes, strict=True) if slope is not None]
    if not seen or not logit.requires_grad:
        raise LookupError("no convolution in it whose map leads to the score")
    if seen[-1].mixed:
        raise LookupError(f"{seen[-1].mixed} after its last convolution mixes all places, so no map of where it looks")
    return logit, seen


def _beside(seen: list[Features]) -> list[Features]:
    """Those of which the last one is not made."""
    if len(seen) < 2:
        return []
    slopes = torch.autograd.grad(
        seen[-1].raw.sum(), [one.raw for one in seen[:-1]], allow_unused=True, retain_graph=True
    )
    return [one for one, slope in zip(seen, slopes, strict=False) if slope is None]
