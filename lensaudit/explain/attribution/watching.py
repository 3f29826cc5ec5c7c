"""What really runs in a module's forward pass: activations and convolutions, called as modules or as functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
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


class Watch(TorchFunctionMode):
    """Hands every call in the block that depends on the image to `see`.

    Weights must not ask for gradients: what asks for one then depends on the image.
    """

    def see(self, call: Call) -> None:
        """One call, after it was made."""
        raise NotImplementedError

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
