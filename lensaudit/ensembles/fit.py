"""``fit_ensemble``: members and a set → a finder's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from lensaudit.ensembles.map_files import Advance, member_scores
from lensaudit.ensembles.map_picture import brier_scores, counted, embedded, lens_fraction
from lensaudit.ensembles.measure import ensemble_card, measured, resize_effect
from lensaudit.errors import DataError, UsageError
from lensaudit.files import writable_folder
from lensaudit.finders import Finder, FinderRecord, Recipe, load_finder, save_finder, unfilled_module
from lensaudit.finders.committee import FileMember
from lensaudit.finders.facts import FinderMetrics, TrainingFacts
from lensaudit.finders.finder import Declared
from lensaudit.finders.load import earlier_sets
from lensaudit.finders.ou_tsne import CELLS, Member, OuTsne, with_native_pixels
from lensaudit.finders.recipe import OU_TSNE
from lensaudit.finders.store import refuse_other_finder
from lensaudit.lensset import LensSet
from lensaudit.provenance import Provenance

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
    given = native_input(name, finders, lens_set)
    options = {"references": 1, "cells": 1, "native_pixels": given.native_pixels}
    recipe = recipe_of(
        f"ensemble {name}", finders, name=name, architecture=OU_TSNE, architecture_options=options, **given.fields
    )
    module = cast(OuTsne, unfilled_module(recipe))
    for finder in finders:
        fill_member(cast(Member, module.members[finder.name]), finder)
    return put_together(recipe, module, finders)


@dataclass(frozen=True)
class NativeInput:
    """What members of different inputs are given: native images of all their bands.

    Attributes
    ----------
    fields
        Of the recipe: bands, size, stretch, field of view, pixel unit.
    native_pixels
        Its option of that name.
    """

    fields: dict[str, Any]
    native_pixels: str


def native_input(name: str, finders: Sequence[Finder], lens_set: Declared) -> NativeInput:
    """Bands of the member with most, then what others add; as large as the largest band and the largest member."""
    most = max(finders, key=lambda finder: len(finder.recipe.bands)).recipe.bands
    bands = tuple(dict.fromkeys([*most, *(band for finder in finders for band in finder.recipe.bands)]))
    sides = {band: max(lens_set.shape[band]) for band in bands}
    fields = {
        "bands": bands,
        "size": max(*(finder.recipe.size for finder in finders), *sides.values()),
        "stretch": "native",
        "field_of_view_arcsec": finders[0].recipe.field_of_view_arcsec,
        "pixel_unit": one_unit(name, finders),
    }
    return NativeInput(fields, with_native_pixels(sides, bands))


def recipe_of(what: str, finders: Sequence[Finder], **fields: Any) -> Recipe:
    """The recipe of several finders as one; UsageError, which `what` begins, where they do not go together."""
    try:
        return Recipe(outputs=1, lens_index=0, members=tuple(finder.recipe for finder in finders), **fields)
    except ValidationError as invalid:
        message = invalid.errors(include_url=False, include_context=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"{what}: {message}") from invalid


def fill_body(body: nn.Module, finder: Finder) -> None:
    """Give the network of a member the weights of the finder; one in another program's file is taken as it is."""
    if isinstance(body, FileMember):
        body.take(finder.module)
    else:
        body.load_state_dict(finder.module.state_dict())


def fill_member(member: Member, finder: Finder) -> None:
    """Give a member the weights and statistics of a finder."""
    fill_body(member.body, finder)
    for name, values in finder.statistics.items():
        getattr(member, name).copy_(values)


def put_together(recipe: Recipe, module: torch.nn.Module, finders: Sequence[Finder]) -> Finder:
    """The members' one finder, on their device; it reads sets as the first of them does."""
    first = finders[0]
    return Finder(
        recipe,
        module.to(first.device),
        "assembled here",
        given_field_arcsec=first.given_field_arcsec,
        resamples=first.resamples,
    )


def one_unit(name: str, finders: Sequence[Finder]) -> dict[str, str]:
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


LEAST = 20
"""Images that a map needs: fewer are fewer than t-SNE's neighbours."""


@dataclass(frozen=True)
class EnsemblePlan:
    """What decides an ensemble beside its members and the set.

    Attributes
    ----------
    name
        Of the finder.
    images
        How many of the set's images to take, evenly spread; None: all.
    perplexity
        Of t-SNE; the paper gives none, 30 is openTSNE's.
    cells
        Of the grid, along each side; 100 in the paper. None: as many as describe the map's images best, each left out.
    seed
        Of t-SNE.
    """

    name: str = "ou-tsne"
    images: int | None = None
    perplexity: float = 30.0
    cells: int | None = CELLS
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.perplexity >= 2:
            raise UsageError(f"--perplexity {self.perplexity:g}: at least 2 is needed")
        if self.cells is not None and self.cells < 2:
            raise UsageError(f"--cells {self.cells}: at least 2 are needed")


@dataclass(frozen=True)
class Fitted:
    """A finished ensemble and what its ``finder.yaml`` says."""

    finder: Finder
    record: FinderRecord


@dataclass(frozen=True)
class Sets:
    """The set the map is made of, and one that measures it; None for none."""

    training: LensSet
    test: LensSet | None = None


def fit_ensemble(
    members: Sequence[Finder],
    sets: Sets,
    out: Path,
    plan: EnsemblePlan | None = None,
    progress: Mapping[str, Advance] | None = None,
) -> Fitted:
    """Make OU-T-SNE of `members` and write it to `out`.

    Stopped while it scores, the same call goes on where it was.

    Parameters
    ----------
    members
        Two or more finders of built-in architectures, whose bands the sets have.
    sets
        Images without a label, or that a member cannot scale, are left out of the map.
    out
        Becomes the finder's folder.
    progress
        ``training`` and ``test``: called with (images scored, images in all).

    Raises
    ------
    UsageError
        The members do not go together.
    DataError
        A set lacks a band, a class, or images.
    """
    plan, watch = plan or EnsemblePlan(), progress or {}
    empty = assembled(plan.name, members, sets.training)
    if sets.test is not None:
        empty.for_units(sets.test).check(sets.test)
    settings = {"perplexity": plan.perplexity, "seed": plan.seed, "set": sets.training.content_hash}
    refuse_other_finder(out, _inputs(sets, members), settings, "or remove that folder")
    out = writable_folder(out)
    scores = member_scores(empty, sets.training, plan.images, out, watch.get("training"))
    labels = sets.training.labels[scores.rows].astype(np.int64)
    kept = scores.known & (labels >= 0)
    _need_both(sets.training, labels[kept])
    arrays, tried = _map_of(scores.vectors[kept], labels[kept], plan)
    finder = with_map(empty, arrays)
    metrics: dict[str, Any] = {
        "map": _map_facts(arrays, tried),
        "resized": resize_effect(finder, members, sets.training),
    }
    if sets.test is not None:
        metrics |= measured(finder, sets.test, out, watch.get("test"), plan.seed)
    made = Provenance.here(seed=plan.seed, inputs=_inputs(sets, members))
    facts: dict[str, Any] = {
        "origin": f"Ensemble of {', '.join(one.name for one in members)} on a t-SNE map of {int(kept.sum())} images",
        "training_data": _data_facts(sets, members, labels[kept], len(labels), plan),
        "metrics": metrics,
        "provenance": made.to_json(),
    }
    record = save_finder(
        finder,
        out,
        origin=facts["origin"],
        training_data=TrainingFacts.model_validate(facts["training_data"]),
        metrics=FinderMetrics.model_validate(metrics),
        provenance=made,
        card=ensemble_card(finder, facts),
    )
    return Fitted(load_finder(str(out)), record)


def _map_of(
    vectors: NDArray[np.float64], labels: NDArray[np.int64], plan: EnsemblePlan
) -> tuple[dict[str, torch.Tensor], dict[int, float]]:
    """Arrays of the map, and the error of each grid tried: none where the plan says which to take."""
    positions = embedded(vectors, plan.perplexity, plan.seed)
    tried = brier_scores(positions, labels) if plan.cells is None else {}
    cells = plan.cells or min(tried, key=lambda side: (tried[side], side))
    fraction = lens_fraction(*counted(positions, labels, cells))
    arrays = {
        "vectors": torch.from_numpy(vectors).float(),
        "positions": torch.from_numpy(positions).float(),
        "labels": torch.from_numpy(labels),
        "fraction": torch.from_numpy(fraction).float(),
    }
    return arrays, tried


def _map_facts(arrays: Mapping[str, torch.Tensor], tried: Mapping[int, float]) -> dict[str, Any]:
    cells = len(arrays["fraction"])
    _, everyone = counted(arrays["positions"].double().numpy(), arrays["labels"].numpy(), cells)
    filled = everyone[everyone > 0]
    return {
        "cells": cells,
        "cells_with_images": len(filled),
        "median_images_per_filled_cell": float(np.median(filled)),
        "cells_with_one_image": int((filled == 1).sum()),
        "brier_left_out": {str(side): error for side, error in tried.items()},
    }


def _need_both(lens_set: LensSet, labels: NDArray[np.int64]) -> None:
    if len(labels) < LEAST or not (labels == 1).any() or not (labels == 0).any():
        raise DataError(
            f"{lens_set.path}: {len(labels)} labelled images that all members score, {int((labels == 1).sum())} of "
            f"them lenses; the map needs {LEAST} or more, of both classes"
        )


def _data_facts(
    sets: Sets, members: Sequence[Finder], labels: NDArray[np.int64], asked: int, plan: EnsemblePlan
) -> dict[str, Any]:
    return {
        "set": sets.training.content_hash,
        "instrument": sets.training.instrument,
        "population": sets.training.population,
        "n_training": len(labels),
        "n_left_out": asked - len(labels),
        "training_lens_fraction": float(np.mean(labels == 1)),
        "test_set": None if sets.test is None else sets.test.content_hash,
        "perplexity": plan.perplexity,
        "seed": plan.seed,
        "members": {one.name: one.weights_hash for one in members},
        "earlier_sets": earlier_sets(*members),
    }


def _inputs(sets: Sets, members: Sequence[Finder]) -> dict[str, str]:
    found = {f"member {one.name}": one.weights_hash for one in members}
    found["training"] = sets.training.content_hash
    return found if sets.test is None else {**found, "test": sets.test.content_hash}
