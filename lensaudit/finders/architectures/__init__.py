"""The architectures a recipe can name, one file each; the file's name is the name a user types,
with a dash for an underscore.

A new one is a file with ``SIZE`` (pixels) and ``build(bands, outputs) -> nn.Sequential``, one entry in `_MODULES`,
and a recipe under ``models/``; ``tests/finders/test_architectures.py`` then covers it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.architectures import core, core_p4m, ou66, ou66_p4m, ou200
from lensaudit.finders.p4m import P4MConv, P4MLift

_MODULES: tuple[ModuleType, ...] = (ou66, ou200, ou66_p4m, core, core_p4m)


@dataclass(frozen=True)
class Architecture:
    """What is registered: its name, its input size in pixels and its builder."""

    name: str
    size: int
    build: Callable[[int, int], nn.Sequential]


def _register(modules: tuple[ModuleType, ...]) -> dict[str, Architecture]:
    registry: dict[str, Architecture] = {}
    for module in modules:
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        if name in registry:
            raise ValueError(f"architecture {name!r} is registered twice")
        registry[name] = Architecture(name, module.SIZE, module.build)
    return registry


ARCHITECTURES: dict[str, Architecture] = _register(_MODULES)


def architecture(name: str) -> Architecture:
    """The registered architecture called `name`.

    Raises
    ------
    UsageError
        There is none; the message lists what is allowed.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"architecture {name!r} is not known; allowed: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def unfilled(name: str, bands: int, outputs: int = 2) -> nn.Sequential:
    """The architecture with memory but no values yet, to be loaded or initialised; draws no random number.

    Torch's own constructors draw from the global generator, so the module is made without storage first.
    """
    with torch.device("meta"):
        module = architecture(name).build(bands, outputs)
    return module.to_empty(device="cpu")


def initialised(name: str, bands: int, outputs: int = 2, *, generator: torch.Generator) -> nn.Sequential:
    """The architecture with He-normal weights (He et al. 2015) and zero biases, drawn from `generator`.

    Parameters
    ----------
    name
        A key of `ARCHITECTURES`.
    bands, outputs
        Input channels and output logits.
    generator
        A CPU generator; the same state gives the same weights.
    """
    module = unfilled(name, bands, outputs)
    he_normal_(module, generator)
    return module


def he_normal_(module: nn.Module, generator: torch.Generator) -> None:
    """Fill every convolution and dense layer: weights N(0, 2 / fan_in), biases 0, in the order of the layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | P4MLift | P4MConv):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
