"""``fit_ensemble``: members and a set → a finder's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.ensembles.assemble import assembled, with_map
from lensaudit.ensembles.card import ensemble_card
from lensaudit.ensembles.embedding import embedded
from lensaudit.ensembles.grid import brier_scores, counted, lens_fraction
from lensaudit.ensembles.measure import measured, resize_effect
from lensaudit.ensembles.member_scores import Advance, member_scores
from lensaudit.errors import DataError, UsageError
from lensaudit.files import writable_folder
from lensaudit.finders import Finder, FinderRecord, load_finder, save_finder
from lensaudit.finders.ou_tsne import CELLS
from lensaudit.finders.store import refuse_other_finder
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance

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
    facts: dict[str, Any] = {
        "origin": f"Ensemble of {', '.join(one.name for one in members)} on a t-SNE map of {int(kept.sum())} images",
        "training_data": _data_facts(sets, members, labels[kept], len(labels), plan),
        "metrics": metrics,
        "provenance": provenance(seed=plan.seed, inputs=_inputs(sets, members)),
    }
    record = save_finder(finder, out, **facts, card=ensemble_card(finder, facts))
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
        "population": sets.training.header.get("population"),
        "n_training": len(labels),
        "n_left_out": asked - len(labels),
        "training_lens_fraction": float(np.mean(labels == 1)),
        "test_set": None if sets.test is None else sets.test.content_hash,
        "perplexity": plan.perplexity,
        "seed": plan.seed,
        "members": {one.name: one.weights_hash for one in members},
    }


def _inputs(sets: Sets, members: Sequence[Finder]) -> dict[str, str]:
    found = {f"member {one.name}": one.weights_hash for one in members}
    found["training"] = sets.training.content_hash
    return found if sets.test is None else {**found, "test": sets.test.content_hash}
