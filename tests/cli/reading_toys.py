"""Finders that take the small sets of `tests.realism_gate.toys` only as one option says."""

from __future__ import annotations

from dataclasses import replace

import torch

from lensaudit.finders import Finder, declare_finder
from tests.realism_gate.toys import BANDS, SIDE, toy_module


def refit() -> Finder:
    """Its statistics are of pixels in another unit."""
    made = declare_finder(toy_module(), bands=BANDS, size=SIDE, stretch="noise", field_of_view_arcsec=4.8)
    recipe = made.recipe.model_copy(update={"pixel_unit": dict.fromkeys(BANDS, "another unit")})
    statistics = {"mean": torch.zeros(len(BANDS), SIDE, SIDE), "sigma": torch.full((len(BANDS),), 9.0)}
    return replace(made, recipe=recipe, statistics=statistics)


def field() -> Finder:
    """It was trained on twice the field."""
    return declare_finder(toy_module(), bands=BANDS, size=SIDE, field_of_view_arcsec=9.6)


def resampled() -> Finder:
    """It was trained on pixels of twice the size."""
    made = declare_finder(toy_module(), bands=BANDS, size=SIDE, field_of_view_arcsec=4.8)
    return replace(made, trained_scales=dict.fromkeys(BANDS, 0.4))
