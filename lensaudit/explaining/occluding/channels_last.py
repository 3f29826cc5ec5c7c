"""`recognised` for layers between ``permute(0, 2, 3, 1)`` and back, whose maps have their channels last.

There a ConvNeXt has its LayerNorm and its dense layers. What is not here is run on whole maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lensaudit.explaining.occluding.operations import (
    CellNorm,
    Dense,
    GlobalAverage,
    Identity,
    Operation,
    Pointwise,
    Scale,
    Sum,
)
from lensaudit.explaining.occluding.recognise import (
    IDENTITY_METHODS,
    IDENTITY_MODULES,
    POINTWISE_MODULES,
    POINTWISE_NAMES,
    PRODUCTS,
    QUOTIENTS,
    SUMS,
    function_of_one,
    not_in_place,
    permuted,
)
from lensaudit.explaining.trace import Layer

BY_CHANNEL = (nn.PReLU, nn.Softmax2d)
"""Activations that take the second axis for that of the channels."""


def recognised_last(layer: Layer, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    """The operation of `layer`, as `lensaudit.explaining.occluding.recognise.recognised` says it."""
    if not args:
        return None
    operation = _of_module(layer.module) if layer.module is not None else _of_call(layer, args, kwargs)
    return operation if layer.changing == 1 or isinstance(operation, Sum) else None


def _of_module(module: nn.Module) -> Operation | None:
    if module._forward_hooks or module._forward_pre_hooks or type(module) in BY_CHANNEL:
        return None
    if type(module) in POINTWISE_MODULES:
        return Pointwise(not_in_place(module))
    if type(module) in IDENTITY_MODULES:
        return Identity()
    if type(module) is nn.Linear:
        return Dense(module.weight, module.bias)
    if type(module) is nn.LayerNorm and len(module.normalized_shape) == 1:
        return CellNorm(module.weight, module.bias, module.eps)
    return None


def _of_call(layer: Layer, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    target = layer.node.target
    name = str(getattr(target, "__name__", target))
    if name in POINTWISE_NAMES:
        return Pointwise(function_of_one(name, args, kwargs))
    if layer.node.op == "call_method" and name in IDENTITY_METHODS:
        return Identity()
    if name == "permute":
        return permuted(args[1:], last=True)
    if target is functional.layer_norm:
        return _layer_norm(*args[1:], **kwargs)
    if target is functional.linear:
        return Dense(args[1], args[2] if len(args) > 2 else kwargs.get("bias"))
    if target is functional.dropout:
        return None if kwargs.get("training", args[2] if len(args) > 2 else True) else Identity()
    if name == "mean":
        return _mean(args, kwargs)
    return _arithmetic(target, args, kwargs)


def _layer_norm(
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> Operation | None:
    return CellNorm(weight, bias, eps) if len(normalized_shape) == 1 else None


def _mean(args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    known = isinstance(dims, tuple | list) and sorted(d % 4 for d in dims) == [1, 2] and "dtype" not in kwargs
    return GlobalAverage() if known else None


def _arithmetic(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Operation | None:
    """``map + anything``, and a map times a number or one number a channel, on either side."""
    if len(args) != 2 or kwargs:
        return None
    if target in SUMS:
        return Sum(SUMS[target])
    if target in PRODUCTS:
        factor = _per_channel(args[1], args[0])
        factor = _per_channel(args[0], args[1]) if factor is None else factor
        return None if factor is None else Scale(factor)
    divisor = _per_channel(args[1], args[0]) if target in QUOTIENTS else None
    return None if divisor is None else Scale(1 / divisor)


def _per_channel(value: Any, of_map: Any) -> torch.Tensor | float | None:
    """A number, or a tensor (…, 1, channels) as (channels,)."""
    if isinstance(value, int | float):
        return float(value)
    if not (isinstance(value, torch.Tensor) and isinstance(of_map, torch.Tensor) and of_map.ndim == 4):
        return None
    fits = 1 <= value.ndim <= 4 and value.numel() == value.shape[-1] == of_map.shape[-1]
    return value.flatten() if fits else None
