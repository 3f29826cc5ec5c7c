"""Figures of a stretch from a lens set: at training, and again where pixels are in another unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.finders.finder import Finder
from lensaudit.finders.fitted import fit_figures
from lensaudit.finders.recipe import Recipe
from lensaudit.finders.stretch import STRETCHES

_CHUNK = 256

Rows = NDArray[np.integer[Any]]


class Measured(Protocol):
    """What fitting asks of a lens set."""

    def __len__(self) -> int: ...
    def images(self, band: str, index: Rows) -> NDArray[np.float32]: ...
    @property
    def pixel_units(self) -> Mapping[str, str]: ...


def figures_of(lens_set: Measured, recipe: Recipe, rows: Rows | None = None) -> dict[str, torch.Tensor]:
    """Figures that the recipe's stretch takes from the images `rows` of a set, all by default; see `fitted`."""
    chosen = np.arange(len(lens_set)) if rows is None else rows
    chunks = (
        [lens_set.images(band, chosen[first : first + _CHUNK]) for band in recipe.bands]
        for first in range(0, len(chosen), _CHUNK)
    )
    return fit_figures(recipe.stretch, len(recipe.bands), recipe.size, chunks, len(chosen))


def takes_statistics(finder: Finder) -> bool:
    """Whether its stretch takes statistics of a training set, so that it can be `refitted`."""
    return bool(STRETCHES[finder.recipe.stretch].fitted)


def refitted(finder: Finder, lens_set: Measured) -> Finder:
    """The same finder with the figures of its stretch taken from `lens_set`: for pixels in another unit.

    Its scores then depend on the set as a whole, and on lenses and non-lenses being in it in the usual proportion.

    Raises
    ------
    UsageError
        Its stretch takes no figures.
    DataError
        A band of the set has no spread.
    """
    if finder.recipe.members:
        raise UsageError(
            f"--refit: the statistics of the members of {finder.name} belong to its map; leave it out, or make the "
            f"ensemble again with lensaudit ensemble MEMBER... --refit --data SET"
        )
    if not takes_statistics(finder):
        raise UsageError(
            f"--refit: finder {finder.name} takes no statistics of a set (stretch {finder.recipe.stretch}); "
            f"leave it out"
        )
    unit = {band: lens_set.pixel_units[band] for band in finder.recipe.bands if band in lens_set.pixel_units}
    recipe = finder.recipe.model_copy(update={"pixel_unit": unit})
    missing = [band for band in recipe.bands if band not in lens_set.pixel_units]
    if missing:
        return finder  # its check names the band
    return replace(finder, recipe=recipe, figures=figures_of(lens_set, recipe), given_unit={}, refitted=True)
