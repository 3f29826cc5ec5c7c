"""Copies of a finder's module to be hooked, rewritten or back-propagated through: the user's own is never touched."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn

from lensaudit.explain.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.finder import lens_logit
from lensaudit.finders.wrapped import unwrapped

AGREE = 1e-4
"""Most that a copy's answer may differ from the finder's, as a fraction of 1 + |answer|; rounding stays below."""


class LogitModule(nn.Module):
    """Prepared images (n, bands, size, size) → log-odds of "lens" (n,), the one number that is explained."""

    def __init__(self, body: nn.Module, outputs: int, lens_index: int) -> None:
        super().__init__()
        self.body, self._outputs, self._lens_index = body, outputs, lens_index

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds (n,); the body may write into what it is given, which is therefore a copy."""
        # A GraphModule that is called prints what goes wrong inside it.
        run = self.body.forward if isinstance(self.body, fx.GraphModule) else self.body
        return lens_logit(run(images.clone()), self._outputs, self._lens_index)


def logit_module(finder: Finder, body: nn.Module) -> LogitModule:
    """`body` in place of the finder's module, in evaluation mode."""
    return LogitModule(body, finder.recipe.outputs, finder.recipe.lens_index).eval()


def copied(module: nn.Module) -> nn.Module:
    """A copy without wrappers, in evaluation mode, whose weights ask for no gradient."""
    with torch.no_grad():  # else the weights of a TorchScript copy are no leaves
        body = copy.deepcopy(unwrapped(module)).eval()
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    return body


def not_in_place(module: nn.Module) -> nn.Module:
    """A copy whose in-place activations give new tensors, which a gradient may need."""
    body = copied(module)
    for part in body.modules():
        if getattr(part, "inplace", False):
            part.inplace = False  # type: ignore[assignment]
    return body


def noise_for(finder: Finder) -> torch.Tensor:
    """Seeded images (2, channels, size, size) in [0, 1] to compare a copy with its finder on."""
    shape = 2, finder.recipe.channels, finder.recipe.size, finder.recipe.size
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(finder.device)


def answers(finder: Finder, noise: torch.Tensor) -> torch.Tensor:
    """The finder's own log-odds (n,), outside any graph."""
    with evaluating(finder.module):
        return finder.logit(noise)


def agrees(module: LogitModule, noise: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether `module` gives the log-odds `wanted` for `noise`."""
    try:
        with torch.no_grad():
            found = module(noise)
    except Exception:  # rewritten foreign code may fail in any way
        return False
    return torch.allclose(
        found, wanted, rtol=0, atol=AGREE * (1 + float(wanted.nan_to_num().abs().max())), equal_nan=True
    )
