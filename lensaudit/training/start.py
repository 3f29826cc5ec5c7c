"""Training that begins from another finder's weights, as a second stage after an easier set or after more bands."""

from __future__ import annotations

from typing import Any

import torch

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Recipe, load_finder
from lensaudit.finders.build import unfilled_module

_AGREE = ("architecture", "outputs", "extra_inputs", "symmetrise", "architecture_options")


def starting_weights(name: str, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Weights of the finder `name`, checked to fit `recipe`.

    A finder with more bands, or the same in another order, gives its first convolution's channels for the recipe's
    bands. What the other bands added is dropped, so that the start is no finder yet, only its kernels.

    Raises
    ------
    UsageError
        The finder has another architecture or other extra inputs, lacks a band, or is symmetrised and the recipe not.
    """
    finder = load_finder(name)
    for field in _AGREE:
        theirs, ours = getattr(finder.recipe, field), getattr(recipe, field)
        if theirs != ours:
            raise UsageError(f"--start {name}: its {field} is {theirs}, {recipe.name} has {ours}; they must agree")
    if missing := [band for band in recipe.bands if band not in finder.recipe.bands]:
        raise UsageError(
            f"--start {name}: its bands {', '.join(finder.recipe.bands)} lack {', '.join(missing)} of {recipe.name}; "
            f"begin from a finder that has them"
        )
    weights = {key: value.detach().cpu().clone() for key, value in finder.module.state_dict().items()}
    if finder.recipe.bands == recipe.bands:
        return weights
    chosen = _channels(finder, recipe)
    for key in _input_layers(finder.recipe, recipe):
        weights[key] = weights[key][:, chosen].contiguous()
    return weights


def start_facts(name: str | None, recipe: Recipe) -> dict[str, Any]:
    """What the record says of the start beside its name: ``start_bands``, where they are not all of its own."""
    if name is None or load_finder(name).recipe.bands == recipe.bands:
        return {}
    return {"start_bands": list(recipe.bands)}


def _channels(finder: Finder, recipe: Recipe) -> list[int]:
    """Input channels of `finder` in the recipe's order: bands, then the planes of the extra inputs."""
    bands = [finder.recipe.bands.index(band) for band in recipe.bands]
    return bands + list(range(len(finder.recipe.bands), finder.recipe.channels))


def _input_layers(theirs: Recipe, ours: Recipe) -> list[str]:
    """Names of the weights (kernels, channels, …) that see the image: those whose shape goes with the bands."""
    few, more = (theirs.model_copy(update={"bands": ("",) * count}) for count in (1, 2))
    small, large = unfilled_module(few).state_dict(), unfilled_module(more).state_dict()
    found = [key for key, tensor in small.items() if tensor.shape != large[key].shape]
    for key in found:
        if small[key].ndim != 4 or small[key].shape[1] != few.channels or large[key].shape[1] != more.channels:
            raise UsageError(
                f"--start: the bands of architecture {ours.architecture} meet elsewhere than in a first convolution, "
                f"so some of them cannot be taken; begin from a finder with bands {', '.join(ours.bands)}"
            )
    return found
