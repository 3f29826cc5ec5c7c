"""Slow and obvious: one image at a time through the whole module, a forward hook, autograd, torch's own optimiser."""

from __future__ import annotations

import copy

import torch
from torch import nn


def plain_kernel_image(
    module: nn.Module, layer: str, kernel: int, start: torch.Tensor, steps: int, rate: float = 0.1, decay: float = 1e-6
) -> torch.Tensor:
    """Adam on the mean of one kernel's feature map; `start` and the answer are (bands, size, size)."""
    module = frozen_copy(module)
    means: list[torch.Tensor] = []

    def note(_part: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        means.append(output[0, kernel].mean())  # at once: a ReLU in place would spoil the map

    handle = module.get_submodule(layer).register_forward_hook(note)
    image = start[None].clone().requires_grad_()
    optimiser = torch.optim.Adam([image], lr=rate, weight_decay=decay, maximize=True)
    for _ in range(steps):
        means.clear()
        optimiser.zero_grad()
        module(image.clone())
        means[0].backward()
        optimiser.step()
    handle.remove()
    return image.detach()[0]


def plain_class_image(
    module: nn.Module, output: int, start: torch.Tensor, steps: int, rate: float, stretch: bool
) -> torch.Tensor:
    """Gradient ascent on one output; with `stretch` clipped to [0, 1] and stretched to fill it after each step."""
    module = frozen_copy(module)
    image = _stretched(start) if stretch else start.clone()
    for _ in range(steps):
        leaf = image[None].clone().requires_grad_()
        module(leaf.clone()).reshape(-1)[output].backward()
        assert leaf.grad is not None
        image = image + rate * leaf.grad[0]
        if stretch:
            image = _stretched(image.clamp(0, 1))
    return image


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose weights ask for no gradient."""
    module = copy.deepcopy(module).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for part in module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False
    return module


def _stretched(image: torch.Tensor) -> torch.Tensor:
    return (image - image.min()) / (image.max() - image.min())
