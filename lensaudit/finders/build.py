"""From a recipe to its module: the architecture for its channels, made invariant if the recipe says so."""

from __future__ import annotations

import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders.architectures import he_normal_, unfilled
from lensaudit.finders.ou_tsne import OuTsne
from lensaudit.finders.recipe import OU_TSNE, Recipe
from lensaudit.finders.symmetrised import Symmetrised


def unfilled_module(recipe: Recipe) -> nn.Module:
    """The recipe's module with memory but no values yet; draws no random number."""
    if recipe.architecture == OU_TSNE:
        ensemble = OuTsne(recipe, unfilled_module)
        return Symmetrised(ensemble) if recipe.symmetrise else ensemble
    body: nn.Module = unfilled(
        recipe.architecture, recipe.channels, recipe.outputs, recipe.size, recipe.architecture_options
    )
    return Symmetrised(body, len(recipe.extra_inputs)) if recipe.symmetrise else body


def initialised_module(recipe: Recipe, generator: torch.Generator) -> nn.Module:
    """The recipe's module with He-normal weights drawn from `generator`.

    Raises
    ------
    UsageError
        It is an ensemble, whose map is made of scores.
    """
    if recipe.architecture == OU_TSNE:
        raise UsageError(f"finder {recipe.name}: has no random start; make it with lensaudit ensemble")
    module = unfilled_module(recipe)
    he_normal_(module, generator)
    return module
