"""Calling a module: on which device, in which arithmetic, and a foreign one on a copy of its input."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
from torch import nn


def module_outputs(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a foreign `module` returns for `images`, in plain float32.

    It may write into its input (``x -= 0.5``) or ``view`` it, so it gets a contiguous copy: below 0.1 % of the time
    of a network such as OU-66.
    """
    with plain_float32(images.device):
        outputs: torch.Tensor = module(images.clone(memory_format=torch.contiguous_format))
    return outputs


def device_of(module: nn.Module) -> torch.device:
    """Where the weights lie, or the buffers where there are none; the CPU for a module without any."""
    return next((tensor.device for tensor in chain(module.parameters(), module.buffers())), torch.device("cpu"))


def plain_float32(device: torch.device) -> AbstractContextManager[None]:
    """Arithmetic of the block without TensorFloat-32, and the same each time."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
