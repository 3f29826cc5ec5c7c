"""Seeded modules and images in float64, and one call of the exact engine."""

from __future__ import annotations

import torch
from torch import nn

from lensaudit.explaining.occluding.exact import ExactEngine, Outcome
from lensaudit.explaining.occluding.windows import Grid
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder, Recipe

ROUNDING = 1e-10  # float64 sums of fewer than 1e4 terms of order 1


def filled(module: nn.Module, seed: int = 1) -> nn.Module:
    """`module` in float64 and evaluation mode, with seeded weights and batch statistics away from their defaults."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            spread = 0.5 + 0.5 * drawn.abs() if "var" in name else drawn / max(1, tensor[0].numel()) ** 0.5
            tensor.copy_(spread)
    return module


def finder_of(module: nn.Module, size: int, outputs: int = 1, bands: tuple[str, ...] = ("VIS", "H")) -> Finder:
    """`module` as a finder of images `size` pixels wide; its last output is that of lenses."""
    recipe = Recipe(name="toy", architecture="custom", bands=bands, size=size, outputs=outputs, lens_index=outputs - 1)
    return Finder(recipe, module, "test")


def picture(size: int, bands: int = 2, seed: int = 3) -> torch.Tensor:
    """A float64 image (1, bands, size, size) in [0, 1]."""
    return torch.rand(1, bands, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def first_output(outputs: torch.Tensor) -> torch.Tensor:
    return outputs.reshape(len(outputs), -1)[:, 0]


def run_engine(module: nn.Module, image: torch.Tensor, patch: int, stride: int, **options: object) -> Outcome:
    with evaluating(module):
        engine = ExactEngine(module, first_output, Grid(image.shape[-1], patch, stride), **options)
        return engine.run(image)
