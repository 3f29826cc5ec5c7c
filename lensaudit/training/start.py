"""Training that begins from another finder's weights, as a second stage after an easier set."""

from __future__ import annotations

import torch

from lensaudit.errors import UsageError
from lensaudit.finders import Recipe, load_finder


def starting_weights(name: str, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Weights of the finder `name`, checked to fit `recipe`.

    Raises
    ------
    UsageError
        The finder has another architecture, other bands or other extra inputs, or is symmetrised and the recipe not.
    """
    finder = load_finder(name)
    for field in ("architecture", "bands", "outputs", "extra_inputs", "symmetrise"):
        theirs, ours = getattr(finder.recipe, field), getattr(recipe, field)
        if theirs != ours:
            raise UsageError(f"--start {name}: its {field} is {theirs}, {recipe.name} has {ours}; they must agree")
    return {key: value.detach().cpu().clone() for key, value in finder.module.state_dict().items()}
