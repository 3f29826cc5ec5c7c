"""The architectures a recipe can name: a file each, or one for those of one paper.

A new one is a file with ``SIZE`` (pixels, or None for one that takes the recipe's as ``size=``) and
``build(bands, outputs, **options) -> nn.Module``, one entry in `ARCHITECTURES`, and a recipe under ``models/``;
``tests/finders/test_architectures.py`` then covers it. ``timm:NAME`` is any network of timm; none is registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.architectures import (
    cae_bgm,
    core,
    deeplens,
    epfl,
    lensflow,
    ou,
    resnet18,
    timm_networks,
    transfer,
)
from lensaudit.finders.layers import MixtureHead, P4MConv, P4MLift

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
        The command that trains it.
    words
        Its options and their defaults, where `build` takes them as ``**options``.
    """

    name: str
    size: int | None
    build: Callable[..., nn.Module]
    trained_by: str = TRAIN
    words: Mapping[str, Option] | None = None

    @property
    def options(self) -> dict[str, Option]:
        """Its own options and their defaults: what `build` takes beside bands, outputs and size."""
        if self.words is not None:
            return dict(self.words)
        taken = inspect.signature(self.build).parameters
        return {name: taken[name].default for name in taken if name not in ("bands", "outputs", "size")}


def _registered(*known: Architecture) -> dict[str, Architecture]:
    registry = {one.name: one for one in known}
    if len(registry) < len(known):
        raise ValueError(f"an architecture is registered twice: {', '.join(one.name for one in known)}")
    return registry


ARCHITECTURES: dict[str, Architecture] = _registered(
    Architecture("ou66", 66, ou.ou66),
    Architecture("ou200", 200, ou.ou200),
    Architecture("ou66-p4m", 66, ou.ou66_p4m),
    Architecture("core", core.SIZE, core.core),
    Architecture("core-p4m", core.SIZE, core.core_p4m),
    Architecture("deeplens", deeplens.SIZE, deeplens.deeplens),
    Architecture("petrillo", deeplens.SIZE, deeplens.petrillo),
    Architecture("epfl-resnet", None, epfl.epfl_resnet),
    Architecture("lastro", None, epfl.lastro),
    Architecture("lensflow", lensflow.SIZE, lensflow.build),
    Architecture("cae-bgm", cae_bgm.SIZE, cae_bgm.build, cae_bgm.TRAINED_BY, cae_bgm.OPTIONS),
    Architecture("resnet18", resnet18.SIZE, resnet18.build),
    Architecture("transfer", transfer.SIZE, transfer.build),
)
"""By the name a user types."""


def architecture(name: str) -> Architecture:
    """The registered architecture called `name`, or for ``timm:NAME`` that network, which may then not exist.

    Raises
    ------
    UsageError
        There is none; the message lists what is allowed.
    """
    if name.startswith(timm_networks.PREFIX):
        build = partial(timm_networks.build, name.removeprefix(timm_networks.PREFIX))
        return Architecture(name, None, build, words=timm_networks.OPTIONS)
    if name not in ARCHITECTURES:
        raise UsageError(f"architecture {name!r} is not known; allowed: {', '.join(ARCHITECTURES)}, timm:NAME")
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
    """Fill every layer, in their order: weights N(0, 2 / fan_in), biases 0; batch norms as torch begins them.

    A network of timm begins as timm begins it: its layers are of kinds and scales for which this rule is not made.
    """
    begun: set[nn.Module] = set()
    for layer in module.modules():
        if isinstance(layer, timm_networks.TimmNetwork):
            layer.start(generator)
            begun |= set(layer.modules())
        if layer in begun:
            continue
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
