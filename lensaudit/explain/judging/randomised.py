"""A finder whose weights are drawn anew, from the last layer to the first."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from lensaudit.finders import Finder


def layers_with_weights(module: nn.Module) -> tuple[str, ...]:
    """Names of the parts that own parameters, in the order of definition; of a shared part only its first name."""
    return tuple(name for name, part in module.named_modules() if any(True for _ in part.parameters(recurse=False)))


def randomised_from_the_end(finder: Finder, seed: int) -> Iterator[tuple[str, Finder]]:
    """Draw the weights of one layer after the other anew, the last one first (Adebayo et al. 2018, "cascading").

    Weights of two or more dimensions are drawn He-normal, as before the training of the published finders; of vectors
    (biases, scales of normalisations) the values are shuffled, which keeps activations at a sane level. Running
    statistics stay.

    Yields
    ------
    name, finder
        The layer drawn last, and a copy of `finder` with it and all behind it drawn anew. `finder` itself stays.
    """
    rng = torch.Generator().manual_seed(seed)
    module = copy.deepcopy(finder.module)
    for name in reversed(layers_with_weights(module)):
        with torch.no_grad():
            for weights in module.get_submodule(name).parameters(recurse=False):
                weights.copy_(_drawn_anew(weights, rng))
        yield name, replace(finder, module=copy.deepcopy(module))


def fully_randomised(finder: Finder, seed: int) -> Finder:
    """A copy of `finder` with all weights drawn anew; the last that `randomised_from_the_end` yields."""
    networks = [finder, *(random for _, random in randomised_from_the_end(finder, seed))]
    return networks[-1]


def _drawn_anew(weights: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    if weights.ndim < 2:
        return weights.flatten()[torch.randperm(weights.numel(), generator=rng).to(weights.device)].view_as(weights)
    spread = math.sqrt(2 / (weights.numel() // len(weights)))
    drawn = torch.randn(weights.shape, generator=rng, dtype=torch.float32) * spread
    return drawn.to(weights)
