"""The architectures a recipe can name, one file each; the file's name is the name a user types,
with a dash for an underscore.

A new one is a file with ``SIZE`` (pixels, or None for one that takes the recipe's as ``size=``) and
``build(bands, outputs, **options) -> nn.Module``, one entry in `_MODULES`, and a recipe under ``models/``;
``tests/finders/test_architectures.py`` then covers it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.architectures import (
    cae_bgm,
    core,
    core_p4m,
    deeplens,
    epfl_resnet,
    lastro,
    lensflow,
    ou66,
    ou66_p4m,
    ou200,
    petrillo,
    transfer,
)
from lensaudit.finders.layers import MixtureHead, P4MConv, P4MLift

_MODULES: tuple[ModuleType, ...] = (
    ou66,
    ou200,
    ou66_p4m,
    core,
    core_p4m,
    deeplens,
    petrillo,
    epfl_resnet,
    lastro,
    lensflow,
    cae_bgm,
    transfer,
)

TRAIN = "lensaudit train"

Option = bool | int | float | str
"""What an architecture's own option may be."""


@dataclass(frozen=True)
class Architecture:
    """What is registered.

    Attributes
    ----------
    name
        What a recipe calls it.
    size
        Its input in pixels; None: any, given to `build` as ``size``.
    build
        ``(bands, outputs, **options) -> nn.Module``.
    trained_by
        The command that trains it: ``TRAINED_BY`` of its file, where that is not ``lensaudit train``.
    """

    name: str
    size: int | None
    build: Callable[..., nn.Module]
    trained_by: str = TRAIN

    @property
    def options(self) -> dict[str, Option]:
        """Its own options and their defaults: what `build` takes beside bands, outputs and size."""
        taken = inspect.signature(self.build).parameters
        return {name: taken[name].default for name in taken if name not in ("bands", "outputs", "size")}


def _register(modules: tuple[ModuleType, ...]) -> dict[str, Architecture]:
    registry: dict[str, Architecture] = {}
    for module in modules:
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        if name in registry:
            raise ValueError(f"architecture {name!r} is registered twice")
        registry[name] = Architecture(name, module.SIZE, module.build, getattr(module, "TRAINED_BY", TRAIN))
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


def unfilled(
    name: str, bands: int, outputs: int = 2, size: int | None = None, options: Mapping[str, Option] | None = None
) -> Any:
    """The architecture with memory but no values yet, to be loaded or initialised; draws no random number.

    Parameters
    ----------
    name
        A key of `ARCHITECTURES`.
    bands, outputs
        Input channels and output logits.
    size
        Pixels per side, for an architecture that takes any; None for its own default.
    options
        Its own options; see `Architecture.options`.
    """
    return without_memory(name, bands, outputs, size, options).to_empty(device="cpu")


def without_memory(
    name: str, bands: int, outputs: int = 2, size: int | None = None, options: Mapping[str, Option] | None = None
) -> Any:
    """The architecture on torch's meta device: names, types and shapes alone. Takes what `unfilled` takes.

    Torch's own constructors draw from the global generator, so every module is made in this way first.
    """
    known = architecture(name)
    words: dict[str, Any] = dict(options or {})
    if known.size is None and size is not None:
        words["size"] = size
    with torch.device("meta"):
        return known.build(bands, outputs, **words)


def initialised(
    name: str,
    bands: int,
    outputs: int = 2,
    size: int | None = None,
    options: Mapping[str, Option] | None = None,
    *,
    generator: torch.Generator,
) -> Any:
    """The architecture with He-normal weights (He et al. 2015) and zero biases, drawn from `generator`.

    Parameters
    ----------
    name, bands, outputs, size, options
        As `unfilled` takes them.
    generator
        A CPU generator; the same state gives the same weights.
    """
    module = unfilled(name, bands, outputs, size, options)
    he_normal_(module, generator)
    return module


def he_normal_(module: nn.Module, generator: torch.Generator) -> None:
    """Fill every layer, in their order: weights N(0, 2 / fan_in), biases 0; batch norms as torch begins them."""
    for layer in module.modules():
        if isinstance(layer, nn.ConvTranspose2d):  # its weight is the other way round
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Conv2d | nn.Linear | P4MLift | P4MConv):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm | MixtureHead):
            layer.reset_parameters()  # constants: of a batch norm ones, zeros, and the statistics of a standard normal
            continue
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
