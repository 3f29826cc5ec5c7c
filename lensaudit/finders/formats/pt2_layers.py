"""Operators of a program as the layers they came from, so that hooks and the exact occlusion see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

Args = Mapping[str, Any]
"""Arguments of an operator by their names in its schema, without the tensor it works on; weights are tensors."""

_ACTIVATIONS: dict[str, Callable[[Args], nn.Module]] = {
    "relu": lambda a: nn.ReLU(),
    "relu6": lambda a: nn.ReLU6(),
    "leaky_relu": lambda a: nn.LeakyReLU(a.get("negative_slope", 0.01)),
    "prelu": lambda a: _with(nn.PReLU(a["weight"].numel(), device="meta"), weight=a["weight"]),
    "elu": lambda a: nn.ELU(a.get("alpha", 1.0)),
    "selu": lambda a: nn.SELU(),
    "celu": lambda a: nn.CELU(a.get("alpha", 1.0)),
    "gelu": lambda a: nn.GELU(a.get("approximate", "none")),
    "silu": lambda a: nn.SiLU(),
    "mish": lambda a: nn.Mish(),
    "hardtanh": lambda a: nn.Hardtanh(a.get("min_val", -1.0), a.get("max_val", 1.0)),
    "hardsigmoid": lambda a: nn.Hardsigmoid(),
    "hardswish": lambda a: nn.Hardswish(),
    "sigmoid": lambda a: nn.Sigmoid(),
    "tanh": lambda a: nn.Tanh(),
    "softplus": lambda a: nn.Softplus(a.get("beta", 1.0), a.get("threshold", 20.0)),
    "softmax": lambda a: nn.Softmax(a["dim"]),
    "log_softmax": lambda a: nn.LogSoftmax(a["dim"]),
}
_LAYERS: dict[str, Callable[[Args], nn.Module | None]] = {
    "conv2d": lambda a: _convolution(a),
    "convolution": lambda a: None if a["transposed"] or a["weight"].ndim != 4 else _convolution(a),
    "linear": lambda a: _dense(a),
    "batch_norm": lambda a: None if a["training"] else _batch_norm(a),
    "max_pool2d": lambda a: nn.MaxPool2d(
        a["kernel_size"], a.get("stride") or None, a.get("padding", 0), a.get("dilation", 1),
        ceil_mode=a.get("ceil_mode", False),
    ),
    "avg_pool2d": lambda a: nn.AvgPool2d(
        a["kernel_size"], a.get("stride") or None, a.get("padding", 0), a.get("ceil_mode", False),
        a.get("count_include_pad", True), a.get("divisor_override"),
    ),
    "adaptive_avg_pool2d": lambda a: nn.AdaptiveAvgPool2d(a["output_size"]),
    "flatten": lambda a: nn.Flatten(a.get("start_dim", 0), a.get("end_dim", -1)),
    "dropout": lambda a: None if a["train"] else nn.Dropout(a["p"]),
}  # fmt: skip
_SEEN: dict[str, Callable[..., Any]] = {
    "add.Tensor": torch.add,
    "sub.Tensor": torch.sub,
    "mul.Tensor": torch.mul,
    "div.Tensor": torch.div,
    "cat.default": torch.cat,
    "mean.dim": torch.mean,
    "view.default": torch.reshape,
    "reshape.default": torch.reshape,
    "permute.default": torch.permute,
    "relu_.default": torch.relu_,
    "sigmoid_.default": torch.sigmoid_,
    "tanh_.default": torch.tanh_,
}
"""Operators as the functions that a trace knows by name."""


def layer_of(name: str, args: Args) -> nn.Module | None:
    """The layer that calculates what the operator `name`, without its overload, does; None where there is none.

    One that works in place, named with ``_`` at its end, becomes one that does not: for a value that is used once.
    """
    make = _ACTIVATIONS.get(name.rstrip("_")) or _LAYERS.get(name)
    if make is None or (name.startswith("elu") and not args.get("scale", 1.0) == args.get("input_scale", 1.0) == 1.0):
        return None
    layer = make(args)
    return None if layer is None else layer.eval().requires_grad_(False)


def function_of(name: str) -> Callable[..., Any] | None:
    """The function of torch for an operator with its overload, such as ``add.Tensor``."""
    return _SEEN.get(name)


def _with(layer: nn.Module, **tensors: torch.Tensor | None) -> nn.Module:
    """The layer, made on the meta device, with these weights and statistics."""
    for name, tensor in tensors.items():
        if name in layer._buffers:
            setattr(layer, name, tensor)
        else:
            setattr(layer, name, None if tensor is None else nn.Parameter(tensor, requires_grad=False))
    return layer


def _convolution(a: Args) -> nn.Module:
    weight, bias, groups = a["weight"], a.get("bias"), a.get("groups", 1)
    layer = nn.Conv2d(
        weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), _pair(a.get("stride", 1)),
        _pair(a.get("padding", 0)), _pair(a.get("dilation", 1)), groups, bias is not None, device="meta",
    )  # fmt: skip
    return _with(layer, weight=weight, bias=bias)


def _pair(value: Any) -> Any:
    """Numbers for both sides; a word such as ``same`` as it is."""
    if isinstance(value, list):
        return (value[0], value[0]) if len(value) == 1 else tuple(value)
    return value


def _dense(a: Args) -> nn.Module:
    weight, bias = a["weight"], a.get("bias")
    return _with(nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta"), weight=weight, bias=bias)


def _batch_norm(a: Args) -> nn.Module:
    mean, scaled = a["running_mean"], a.get("weight") is not None
    layer = nn.BatchNorm2d(len(mean), a["eps"], a["momentum"], affine=scaled, device="meta")
    statistics = {"running_mean": mean, "running_var": a["running_var"], "num_batches_tracked": torch.tensor(0)}
    return _with(layer, **({"weight": a["weight"], "bias": a.get("bias")} if scaled else {}), **statistics)
