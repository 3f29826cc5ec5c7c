"""From member finders to one module that holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from pydantic import ValidationError

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Recipe, load_finder, unfilled_module
from lensaudit.finders.finder import Declared
from lensaudit.finders.ou_tsne import OuTsne, with_native_pixels
from lensaudit.finders.recipe import OU_TSNE

SEVEN = ("ou-j", "ou-y", "ou-h", "ou-jyh", "ou-vis", "ou66", "ou200")
"""Members of OU-T-SNE in Wilde et al. 2022."""


def open_members(names: Sequence[str], device: str = "cpu") -> list[Finder]:
    """The finders called `names`, at least two.

    Raises
    ------
    UsageError
        Fewer than two, or one that is not known or has no weights.
    """
    if len(names) < 2:
        raise UsageError(f"an ensemble needs two members or more, not {len(names)}; name finders or their folders")
    return [load_finder(name, device) for name in names]


def assembled(name: str, finders: Sequence[Finder], lens_set: Declared) -> Finder:
    """An ensemble with its members' weights, for the bands of `lens_set`, and a map still to be filled.

    Its input is as large as the largest band of the set and the largest member's, so that no band loses pixels on its
    way to a member; its bands are those of the member with most, then what others add.

    Raises
    ------
    UsageError
        The members do not go together: names alike, fields of view that differ, the user's own module among them.
    DataError
        The set lacks a band or the field of view of one.
    """
    for finder in finders:
        finder.check(lens_set)
    unit = _one_unit(name, finders)
    most = max(finders, key=lambda finder: len(finder.recipe.bands)).recipe.bands
    bands = dict.fromkeys([*most, *(band for finder in finders for band in finder.recipe.bands)])
    sides = {band: max(lens_set.shape[band]) for band in bands}
    options: dict[str, bool | int | float | str] = {
        "references": 1,
        "cells": 1,
        "native_pixels": with_native_pixels(sides, tuple(bands)),
    }
    try:
        recipe = Recipe(
            name=name,
            architecture=OU_TSNE,
            bands=tuple(bands),
            size=max(*(finder.recipe.size for finder in finders), *sides.values()),
            stretch="native",
            field_of_view_arcsec=finders[0].recipe.field_of_view_arcsec,
            outputs=1,
            lens_index=0,
            architecture_options=options,
            pixel_unit=unit,
            members=tuple(finder.recipe for finder in finders),
        )
    except ValidationError as invalid:
        message = invalid.errors(include_url=False, include_context=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"ensemble {name}: {message}") from invalid
    module = cast(OuTsne, unfilled_module(recipe))
    for finder in finders:
        member = module.members[finder.name]
        member.body.load_state_dict(finder.module.state_dict())  # type: ignore[union-attr]
        for figure, values in finder.figures.items():
            getattr(member, figure).copy_(values)
    first = finders[0]
    return Finder(
        recipe,
        module.to(first.device),
        "assembled here",
        given_field_arcsec=first.given_field_arcsec,
        resamples=first.resamples,
    )


def _one_unit(name: str, finders: Sequence[Finder]) -> dict[str, str]:
    """Band → the pixel unit of all members that measure it; the ensemble hands each the same pixels."""
    units: dict[str, str] = {}
    for finder in finders:
        for band, unit in finder.recipe.pixel_unit.items():
            if units.setdefault(band, unit) != unit:
                raise UsageError(
                    f"ensemble {name}: member {finder.name} scales band {band} by statistics in {unit}, another by "
                    f"statistics in {units[band]}; take members of one pixel unit"
                )
    return units


def with_map(empty: Finder, arrays: dict[str, torch.Tensor]) -> Finder:
    """The ensemble `empty` with the map `arrays`: vectors, positions, labels and fraction.

    Its recipe says how many images lie on the map, and in how many cells.
    """
    sizes = {"references": len(arrays["vectors"]), "cells": len(arrays["fraction"])}
    options = {**empty.recipe.architecture_options, **sizes}
    recipe = empty.recipe.model_copy(update={"architecture_options": options})
    module = cast(OuTsne, unfilled_module(recipe))
    members = {key: value for key, value in empty.module.state_dict().items() if key.startswith("members.")}
    module.load_state_dict({**members, **arrays})
    return replace(empty, recipe=recipe, module=module.to(empty.device))
