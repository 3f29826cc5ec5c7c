"""From a recipe to its module: the architecture for its channels, made invariant if the recipe says so."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from lensaudit.errors import MachineError, UsageError
from lensaudit.finders.architectures import he_normal_, without_memory
from lensaudit.finders.committee import Committee, FileMember
from lensaudit.finders.layers import Symmetrised
from lensaudit.finders.ou_tsne import OuTsne
from lensaudit.finders.recipe import COMMITTEE, CUSTOM, OU_TSNE, Recipe
from lensaudit.untrusted import printable


def blueprint(recipe: Recipe) -> nn.Module:
    """The recipe's module without memory: names, types and shapes of its tensors, on torch's meta device.

    Raises
    ------
    UsageError
        There is no such module: an option of another type, too few pixels, numbers beyond all bounds.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that a layer without elements is not initialised
            return _built(recipe)
    except UsageError:
        raise
    except Exception as error:  # an architecture takes what its options say, and torch fails in many ways
        reason = printable(f"{type(error).__name__}: {error}", 120)
        raise UsageError(
            f"recipe {recipe.name}: architecture {recipe.architecture} cannot be built with its bands, size "
            f"{recipe.size}, outputs {recipe.outputs} and options ({reason}); correct them"
        ) from error


def unfilled_module(recipe: Recipe) -> nn.Module:
    """The recipe's module with memory but no values yet; draws no random number.

    Raises
    ------
    UsageError
        As for `blueprint`.
    MachineError
        It does not fit in memory.
    """
    module = blueprint(recipe)
    try:
        return module.to_empty(device="cpu")
    except RuntimeError as error:
        gigabytes = sum(tensor.nbytes for tensor in module.state_dict().values()) / 1e9
        raise MachineError(
            f"recipe {recipe.name}: its {gigabytes:.3g} GB of weights do not fit in memory; give it a smaller size, or "
            f"fewer outputs or filters"
        ) from error


def _built(recipe: Recipe) -> nn.Module:
    if recipe.architecture in (OU_TSNE, COMMITTEE):
        ensemble = OuTsne(recipe, _built) if recipe.architecture == OU_TSNE else Committee(recipe, _member)
        return Symmetrised(ensemble) if recipe.symmetrise else ensemble
    body: nn.Module = without_memory(
        recipe.architecture, recipe.channels, recipe.outputs, recipe.size, recipe.architecture_options
    )
    return Symmetrised(body, len(recipe.extra_inputs)) if recipe.symmetrise else body


def _member(recipe: Recipe) -> nn.Module:
    return FileMember() if recipe.architecture == CUSTOM else _built(recipe)


def initialised_module(recipe: Recipe, generator: torch.Generator) -> nn.Module:
    """The recipe's module with He-normal weights drawn from `generator`.

    Raises
    ------
    UsageError
        It is an ensemble, which is made of trained finders.
    """
    if recipe.members:
        raise UsageError(f"finder {recipe.name}: has no random start; make it with lensaudit ensemble")
    module = unfilled_module(recipe)
    he_normal_(module, generator)
    return module
