"""Modules inside wrappers: ``nn.DataParallel`` and ``torch.compile`` hide the layers that hooks and traces need."""

from __future__ import annotations

import copy
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(module: nn.Module) -> nn.Module:
    """`module` without wrappers, at any depth; it calculates the same.

    Where a part is wrapped, the result is a new tree of modules that shares the tensors of `module`, which stays as it
    is. A compiled module runs as plain PyTorch: its hooks would be passed over in compiled code.
    """
    module = _inside(module)
    if not any(_inside(part) is not part or _compiled(part) for part in module.modules()):
        return module
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    module = copy.deepcopy(module, shared)
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if _inside(child) is not child:
                setattr(part, name, _inside(child))
    for part in module.modules():
        if _compiled(part):
            part._compiled_call_impl = None
    return module


def uncompiled() -> AbstractContextManager[Any]:
    """Run functions that ``torch.compile`` made as plain PyTorch inside the block, so that hooks see their layers.

    Nothing is done, and nothing imported, where nothing was compiled.
    """
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def scripted(module: nn.Module) -> bool:
    """Whether any part is TorchScript, which runs without its Python layers."""
    return any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())


def _inside(module: nn.Module) -> nn.Module:
    inner: Any = module
    while True:
        if isinstance(inner, _PARALLEL):
            inner = inner.module
        elif "torch._dynamo" in sys.modules and isinstance(inner, _optimized()):
            inner = inner._orig_mod
        else:
            assert isinstance(inner, nn.Module)
            return inner


def _optimized() -> type[nn.Module]:
    from torch._dynamo import OptimizedModule

    return OptimizedModule


def _compiled(part: nn.Module) -> bool:
    """Whether ``module.compile()`` was called on it."""
    return getattr(part, "_compiled_call_impl", None) is not None
