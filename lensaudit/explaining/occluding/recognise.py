"""From a layer of a trace to the operation that handles its changed windows; what is not here is run on whole maps.

To teach the engine a new layer: give `operations` a class (or reuse one), add the layer to a table below, and a
case to ``tests/explaining/test_operations.py``, which compares it with the plain forward pass.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lensaudit.explaining.occluding.operations import (
    AveragePool,
    Concatenate,
    Convolution,
    GlobalAverage,
    Identity,
    MaxPool,
    Operation,
    Pad,
    Permute,
    Pointwise,
    Scale,
    Sum,
)
from lensaudit.explaining.occluding.windows import Slide
from lensaudit.explaining.trace import Layer

POINTWISE_MODULES: frozenset[type[nn.Module]] = frozenset(
    {
        nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
        nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid,
        nn.Hardshrink, nn.Softshrink, nn.Threshold, nn.Softmax2d,
    }
)  # fmt: skip
POINTWISE_NAMES = frozenset(
    {
        "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "tanh",
        "sigmoid", "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink", "logsigmoid",
        "relu_", "leaky_relu_", "elu_", "tanh_", "sigmoid_", "clamp", "clip", "abs", "square", "sqrt", "exp", "log",
        "log1p",
    }
)  # fmt: skip
IDENTITY_MODULES: frozenset[type[nn.Module]] = frozenset(
    {nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout}
)
IDENTITY_METHODS = frozenset({"contiguous", "clone", "detach"})
SUMS: dict[Any, tuple[float, float]] = {
    operator.add: (1, 1), operator.iadd: (1, 1), torch.add: (1, 1), "add": (1, 1), "add_": (1, 1),
    operator.sub: (1, -1), operator.isub: (1, -1), torch.sub: (1, -1), "sub": (1, -1), "sub_": (1, -1),
}  # fmt: skip
PRODUCTS = frozenset({operator.mul, operator.imul, torch.mul, "mul", "mul_"})
QUOTIENTS = frozenset({operator.truediv, operator.itruediv, torch.div, "div", "div_"})


def recognised(layer: Layer, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    """The operation of `layer`, whose unoccluded inputs are `args` and `kwargs`; None if there is none.

    Only layers of exactly torch's own types count: a subclass may calculate something else. Inputs must be maps.
    """
    if not args or not (_is_map(args[0]) or _all_maps(args[0])):
        return None
    operation = _of_module(layer.module) if layer.module is not None else _of_call(layer, args, kwargs)
    if layer.changing > 1 and not isinstance(operation, Sum | Concatenate):
        return None  # as in a gate, where both factors change
    return operation


def _of_module(module: nn.Module) -> Operation | None:
    if module._forward_hooks or module._forward_pre_hooks:
        return None
    if type(module) in POINTWISE_MODULES:
        return Pointwise(not_in_place(module))
    if type(module) in IDENTITY_MODULES:
        return Identity()
    build = _MODULES.get(type(module))
    return build(module) if build is not None else None


def _of_call(layer: Layer, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    if layer.node.op == "call_method":
        return _of_method(str(layer.node.target), args, kwargs)
    return _of_function(layer.node.target, args, kwargs)


def _is_map(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 4


def _all_maps(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) > 0 and all(map(_is_map, value))


def not_in_place(module: nn.Module) -> nn.Module:
    if not getattr(module, "inplace", False):
        return module
    own = copy.copy(module)
    own.inplace = False  # type: ignore[assignment]
    return own


def _slides(kernel: Any, stride: Any, before: Any, dilation: Any) -> tuple[Slide, Slide]:
    parts = [_pair(value) for value in (kernel, stride, before, dilation)]
    return Slide(*(part[0] for part in parts)), Slide(*(part[1] for part in parts))


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return int(first), int(rest[0] if rest else first)


def _before(padding: Any, weight: torch.Tensor, dilation: Any) -> tuple[int, int]:
    """Cells of zero padding in front; ``same`` puts the odd one behind."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        y, x = _pair(dilation)
        return y * (weight.shape[2] - 1) // 2, x * (weight.shape[3] - 1) // 2
    return _pair(padding)


def _convolution(module: nn.Conv2d) -> Operation | None:
    if module.padding_mode != "zeros":
        return None
    return _convolving(module.weight, module.stride, module.padding, module.dilation, module.groups)


def _convolving(weight: torch.Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> Convolution:
    return Convolution(
        weight, *_slides(tuple(weight.shape[2:]), stride, _before(padding, weight, dilation), dilation), groups=groups
    )


def _max_pool(module: nn.MaxPool2d) -> Operation | None:
    return None if module.return_indices else MaxPool(*_pool_slides(module, module.dilation))


def _average_pool(module: nn.AvgPool2d) -> Operation:
    ceil, include, divisor = module.ceil_mode, module.count_include_pad, module.divisor_override
    return _averaging(module.kernel_size, module.stride, module.padding, ceil, include, divisor)


def _averaging(
    kernel: Any, stride: Any, padding: Any = 0, ceil: bool = False, include: bool = True, divisor: int | None = None
) -> AveragePool:
    y, x = _slides(kernel, _stride(stride, kernel), padding, 1)
    pool = partial(functional.avg_pool2d, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=ceil)

    def weight(ones: torch.Tensor) -> torch.Tensor:
        share = pool(ones, count_include_pad=include, divisor_override=divisor)
        return share / pool(ones, divisor_override=1)

    return AveragePool(y, x, weight)


def _stride(stride: Any, kernel: Any) -> Any:
    """A pooling without a stride moves by its own width."""
    return kernel if stride is None or stride == () or stride == [] else stride


def _pool_slides(module: Any, dilation: Any) -> tuple[Slide, Slide]:
    return _slides(module.kernel_size, _stride(module.stride, module.kernel_size), module.padding, dilation)


def _batch_norm(module: nn.BatchNorm2d) -> Operation | None:
    if module.running_var is None:
        return None
    return _normalising(module.running_var, module.weight, module.eps)


def _normalising(variance: torch.Tensor, weight: torch.Tensor | None, eps: float) -> Scale:
    factor = (variance + eps).rsqrt()
    return Scale(factor if weight is None else factor * weight)


def _adaptive(module: nn.AdaptiveAvgPool2d) -> Operation | None:
    return GlobalAverage() if module.output_size in (1, (1, 1), [1, 1]) else None


def _pad(module: Any) -> Operation:
    left, _right, top, _bottom = module.padding
    return Pad(top, left)


_MODULES: dict[type[nn.Module], Callable[[Any], Operation | None]] = {
    nn.Conv2d: _convolution,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.BatchNorm2d: _batch_norm,
    nn.AdaptiveAvgPool2d: _adaptive,
    nn.ZeroPad2d: _pad,
    nn.ConstantPad2d: _pad,
}


def _of_method(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    if name in POINTWISE_NAMES:
        return Pointwise(function_of_one(name.rstrip("_"), args, kwargs))
    if name in IDENTITY_METHODS:
        return Identity()
    if name == "permute":
        return permuted(args[1:], last=False)
    return _arithmetic(name, args, kwargs) if name != "mean" else _mean(args, kwargs)


def _of_function(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    name = str(getattr(target, "__name__", ""))
    home = str(getattr(target, "__module__", ""))
    if target is torch.mean:
        return _mean(args, kwargs)
    if target is torch.permute:
        return permuted(args[1:], last=False)
    if target in (torch.cat, torch.concat, torch.concatenate):
        return _concatenation(args, kwargs)
    if name in POINTWISE_NAMES and (home.startswith("torch") or target is getattr(torch, name, None)):
        return Pointwise(function_of_one(name, args, kwargs))
    build = _FUNCTIONS.get(target)
    if build is None:
        return _arithmetic(target, args, kwargs)
    try:
        return build(*args, **kwargs)
    except TypeError:
        return None  # an argument the rule does not know


def permuted(dims: Sequence[Any], last: bool) -> Operation | None:
    """Channels to the end of a map, or from there to their own axis where they are `last`; no other order of axes."""
    order = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], tuple | list) else tuple(dims)
    return Permute(not last) if order == ((0, 3, 1, 2) if last else (0, 2, 3, 1)) else None


def function_of_one(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function of the map alone; in-place forms give way to plain ones."""
    name = name.rstrip("_")
    function = getattr(functional, name, None) or getattr(torch, name)
    rest = {key: value for key, value in kwargs.items() if key not in ("inplace", "input", "out")}
    return lambda values: function(values, *args[1:], **rest)


def _arithmetic(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    """``map + map``, ``map + anything``, ``map × number per channel``; a broadcast map is left to plain batches."""
    if len(args) != 2 or kwargs:
        return None
    if target in SUMS:
        return Sum(SUMS[target])
    factor = _per_channel(args[1])
    if factor is None:
        return None
    if target in PRODUCTS:
        return Scale(factor)
    return Scale(1 / factor) if target in QUOTIENTS else None


def _per_channel(value: Any) -> torch.Tensor | float | None:
    """A number, or a tensor (channels, 1, 1) or (1, channels, 1, 1) as (channels,)."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, torch.Tensor) and value.ndim in (3, 4) and value.shape[-2:] == (1, 1):
        return value.flatten() if value.numel() == value.shape[-3] else None
    return None


def _mean(args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    known = isinstance(dims, tuple | list) and sorted(d % 4 for d in dims) == [2, 3] and "dtype" not in kwargs
    return GlobalAverage() if known else None


def _concatenation(args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    return Concatenate() if _all_maps(args[0]) and dim in (1, -3) else None


def _conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Operation:
    return _convolving(weight, stride, padding, dilation, groups)


def _max_pool2d(
    input: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, **rest: bool
) -> Operation | None:
    if rest.get("return_indices"):
        return None
    return MaxPool(*_slides(kernel_size, _stride(stride, kernel_size), padding, dilation))


def _avg_pool2d(input: torch.Tensor, kernel_size: Any, stride: Any = None, *args: Any, **kwargs: Any) -> Operation:
    names = {"ceil_mode": "ceil", "count_include_pad": "include", "divisor_override": "divisor"}
    return _averaging(kernel_size, stride, *args, **{names.get(key, key): value for key, value in kwargs.items()})


def _dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Operation | None:
    return None if training else Identity()


def _batch_norm_function(
    input: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Operation | None:
    return None if training or running_var is None else _normalising(running_var, weight, eps)


def _adaptive_function(input: torch.Tensor, output_size: Any) -> Operation | None:
    return GlobalAverage() if output_size in (1, (1, 1), [1, 1]) else None


def _pad_function(
    input: torch.Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Operation | None:
    return Pad(pad[2] if len(pad) > 2 else 0, pad[0]) if mode == "constant" and len(pad) in (2, 4) else None


_FUNCTIONS: dict[Any, Callable[..., Operation | None]] = {
    functional.conv2d: _conv2d,
    torch.conv2d: _conv2d,
    functional.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    functional.avg_pool2d: _avg_pool2d,
    functional.dropout: _dropout,
    functional.dropout2d: _dropout,
    functional.batch_norm: _batch_norm_function,
    functional.adaptive_avg_pool2d: _adaptive_function,
    functional.pad: _pad_function,
}
