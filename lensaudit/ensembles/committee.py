"""``fit_committee``: finders whose log-odds become one, by their mean, their median or a fitted sum → a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from lensaudit.ensembles.committee_card import committee_card
from lensaudit.ensembles.fit import Fitted, fill_body, fill_member, native_input, put_together, recipe_of
from lensaudit.ensembles.map_files import Advance
from lensaudit.ensembles.stack import FOLDS, RIDGE, log_loss, stacked
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import evaluate
from lensaudit.evaluation.finder_record import facts_of
from lensaudit.files import writable_folder
from lensaudit.finders import Finder, load_finder, save_finder, score_set, unfilled_module
from lensaudit.finders.committee import MEAN, NATIVE, STACK, Committee
from lensaudit.finders.facts import FinderMetrics, TrainingFacts
from lensaudit.finders.finder import Declared
from lensaudit.finders.load import earlier_sets
from lensaudit.finders.ou_tsne import Member
from lensaudit.finders.recipe import COMMITTEE, CUSTOM
from lensaudit.finders.recipe import COMMITTEE_KINDS as KINDS
from lensaudit.finders.score import scored_batches
from lensaudit.finders.store import refuse_other_finder
from lensaudit.lensset import LensSet
from lensaudit.lensset.part import Part
from lensaudit.provenance import Provenance
from lensaudit.statistics import auroc, auroc_interval

FEWEST = 20
"""Labelled images of each class that a stack is fitted to."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CommitteePlan:
    """What decides a committee beside its members.

    Attributes
    ----------
    kind
        ``mean``, ``median`` or ``stack``.
    name
        Of the finder.
    images
        How many of the set's first images a stack is fitted to; None: all.
    seed
        Of the folds.
    """

    kind: str = MEAN
    name: str = "committee"
    images: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"--kind {self.kind}: is not known; give {', '.join(KINDS)}")


def committee_of(members: Sequence[Finder], plan: CommitteePlan, lens_set: Declared | None = None) -> Finder:
    """The members as one finder; a stack weighs them alike until it is fitted.

    Members that take the same bands, size and stretch share one input; others get the native pixels of `lens_set`.
    Members of one name are numbered.

    Raises
    ------
    UsageError
        The members do not go together, or do not share their input and no set says how large the native pixels are.
    DataError
        The set lacks a band or the field of view of one.
    """
    members = _numbered(members)
    for finder in members:
        if finder.recipe.architecture == CUSTOM and getattr(finder.module, "declaration", None) is None:
            raise UsageError(
                f"member {finder.name}: is your own code, which is not kept in a folder; export it to a file, and name "
                f"the YAML that declares it"
            )
        if lens_set is not None:
            finder.for_units(lens_set).check(lens_set)
    shared = _share_input(members)
    if not shared and lens_set is None:
        raise UsageError(
            f"--kind {plan.kind}: members {members[0].name} and others take different inputs; name with --data a lens "
            f"set whose native pixels they get"
        )
    words = _shared_input(members) if shared else _native_input(plan.name, members, cast(Declared, lens_set))
    options = {"kind": plan.kind, **words.pop("options", {})}
    recipe = recipe_of(
        f"committee {plan.name}",
        members,
        name=plan.name,
        architecture=COMMITTEE,
        threshold=_threshold(members, plan.kind),
        architecture_options=options,
        **words,
    )
    module = cast(Committee, unfilled_module(recipe))
    for finder in members:
        _fill(module.members[finder.name], finder, shared=shared)
    if plan.kind == STACK:
        cast(torch.Tensor, module.weights).fill_(1 / len(members))
        cast(torch.Tensor, module.bias).zero_()
    made = put_together(recipe, module, members)
    return replace(made, statistics=members[0].statistics) if shared else made


def _numbered(members: Sequence[Finder]) -> list[Finder]:
    """The members with names that differ: trainings of one recipe get numbers."""
    names = [one.name for one in members]
    numbered = [
        name if names.count(name) == 1 else f"{name}-{names[:place].count(name) + 1}"
        for place, name in enumerate(names)
    ]
    return [
        replace(one, recipe=one.recipe.model_copy(update={"name": name}))
        for one, name in zip(members, numbered, strict=True)
    ]


def _share_input(members: Sequence[Finder]) -> bool:
    """Whether what is prepared for one of them is what all take."""
    first = members[0]
    names = ("bands", "size", "stretch", "field_of_view_arcsec", "pixel_unit", "preprocessing")
    return first.recipe.stretch != NATIVE and all(
        all(getattr(one.recipe, name, None) == getattr(first.recipe, name, None) for name in names)
        and one.statistics.keys() == first.statistics.keys()
        and all(torch.equal(one.statistics[key], first.statistics[key]) for key in first.statistics)
        for one in members
    )


def _shared_input(members: Sequence[Finder]) -> dict[str, Any]:
    recipe = members[0].recipe
    names = ("bands", "size", "stretch", "field_of_view_arcsec", "pixel_unit")
    more = ("preprocessing",) if getattr(recipe, "preprocessing", ()) else ()
    return {name: getattr(recipe, name) for name in (*names, *more)}


def _native_input(name: str, members: Sequence[Finder], lens_set: Declared) -> dict[str, Any]:
    given = native_input(name, members, lens_set)
    return {**given.fields, "options": {"native_pixels": given.native_pixels}}


def _threshold(members: Sequence[Finder], kind: str) -> float:
    """On p: one half of a stack, whose log-odds are fitted; else the mean of the members' in log-odds."""
    if kind == STACK:
        return 0.5
    return float(expit(np.mean(logit([one.recipe.threshold for one in members]))))


def _fill(part: torch.nn.Module, finder: Finder, *, shared: bool) -> None:
    if shared:
        fill_body(part, finder)
    else:
        fill_member(cast(Member, part), finder)


def fit_committee(
    members: Sequence[Finder],
    out: Path,
    plan: CommitteePlan,
    sets: tuple[LensSet | None, LensSet | None] = (None, None),
    progress: Mapping[str, Advance] | None = None,
) -> Fitted:
    """Make a committee of `members` and write it to `out`.

    Parameters
    ----------
    members
        Two or more finders; those in files of other programs go with the committee, copied into its folder.
    out
        Becomes the finder's folder.
    sets
        The labelled set that a stack is fitted to, and whose native pixels members of different inputs get, and one
        that measures it; None for none. Members of one input need none, unless they are stacked.
    progress
        ``training`` and ``test``: called with (images scored, images in all).

    Raises
    ------
    UsageError
        The members do not go together, or a set is missing.
    DataError
        A set lacks a band, or has too few labelled images of a class to fit a stack.
    """
    watch = progress or {}
    training, test = sets
    if plan.kind == STACK and training is None:
        raise UsageError(f"--kind {STACK}: is fitted to labelled images; name a lens set with --data")
    finder = committee_of(members, plan, training)
    if test is not None:
        finder.for_units(test).check(test)
    inputs = {f"member {one.name}": own.weights_hash for one, own in zip(finder.recipe.members, members, strict=True)}
    inputs |= {"training": training.content_hash} if plan.kind == STACK and training is not None else {}
    inputs |= {"test": test.content_hash} if test is not None else {}
    settings = {"kind": plan.kind, "seed": plan.seed} if plan.kind == STACK else {"kind": plan.kind}
    refuse_other_finder(out, inputs, settings, "or remove that folder")
    out = writable_folder(out)
    names = [one.name for one in finder.recipe.members]
    hashes = dict(zip(names, [one.weights_hash for one in members], strict=True))
    data: dict[str, Any] = {**settings, "members": hashes, "earlier_sets": earlier_sets(*members)}
    metrics: dict[str, Any] = {}
    if plan.kind == STACK:
        assert training is not None
        found = _fitted(finder, training, plan, watch.get("training"))
        data, metrics = data | found[0], found[1]
    if test is not None:
        metrics |= _measured(finder, test, watch.get("test"), plan.seed)
    made = Provenance.here(seed=plan.seed, inputs=inputs)
    origin = f"{plan.kind[0].upper()}{plan.kind[1:]} of the log-odds of {', '.join(names)}"
    record = save_finder(
        finder,
        out,
        origin=origin,
        training_data=TrainingFacts.model_validate(data),
        metrics=FinderMetrics.model_validate(metrics),
        provenance=made,
        card=committee_card(finder, origin, data, metrics, made),
    )
    return Fitted(load_finder(str(out)), record)


def _fitted(
    finder: Finder, training: LensSet, plan: CommitteePlan, progress: Advance | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fill in the weights of a stack; what it was fitted to, and how good it is on images it was not fitted to."""
    logits, rows = member_logits(finder, training, plan.images, progress)
    labels = training.labels[rows].astype(np.int64)
    kept = np.isfinite(logits).all(axis=1) & (labels >= 0)
    logits, labels = logits[kept], labels[kept]
    counts = [int((labels == label).sum()) for label in (1, 0)]
    if min(counts) < FEWEST:
        raise DataError(
            f"{training.path}: {counts[0]} lenses and {counts[1]} non-lenses that all members score; a stack needs "
            f"{FEWEST} of each"
        )
    found = stacked(logits, labels, plan.seed)
    module = cast(Committee, finder.module)
    cast(torch.Tensor, module.weights).copy_(torch.from_numpy(found.weights))
    cast(torch.Tensor, module.bias).fill_(found.bias)
    told = {"stack, out of fold": found.out_of_fold, "mean of the log-odds": logits.mean(axis=1)}
    told |= {one.name: logits[:, place] for place, one in enumerate(finder.recipe.members)}
    data = {
        "set": training.content_hash,
        "instrument": training.instrument,
        "population": training.population,
        "n_training": len(labels),
        "n_left_out": int((~kept).sum()),
        "training_lens_fraction": float(labels.mean()),
        "folds": FOLDS,
        "ridge": RIDGE,
    }
    names = [one.name for one in finder.recipe.members]
    return data, {
        "stack": {"weights": dict(zip(names, found.weights.tolist(), strict=True)), "bias": found.bias},
        "cross_fitted": {name: _told(labels, scores) for name, scores in told.items()},
    }


def _told(labels: NDArray[np.int64], scores: Floats) -> dict[str, float]:
    lenses, others = scores[labels == 1], scores[labels == 0]
    low, high = auroc_interval(lenses, others)
    return {"auroc": auroc(lenses, others), "low": low, "high": high, "log_loss": log_loss(labels, scores)}


def member_logits(
    finder: Finder, lens_set: LensSet, images: int | None = None, progress: Advance | None = None
) -> tuple[Floats, NDArray[np.intp]]:
    """Log-odds of every member of a committee (n, members) of the first `images` of a set, and which these are."""
    if images is not None and images < 1:
        raise UsageError(f"--images {images}: at least 1 is needed")
    rows = np.arange(len(lens_set) if images is None else min(images, len(lens_set)))
    part = lens_set if len(rows) == len(lens_set) else Part(lens_set, rows)
    found: list[Floats] = []
    for batch in scored_batches(finder, part):
        assert batch.members is not None
        found.append(batch.members)
        if progress is not None:
            progress(sum(map(len, found)), len(rows))
    return np.concatenate(found), rows


def _measured(finder: Finder, test: LensSet, progress: Advance | None, seed: int) -> dict[str, Any]:
    scores = score_set(finder, test, progress=progress)
    found = evaluate(test.labels, scores.p_lens, scores.logit, threshold=finder.recipe.threshold, seed=seed)
    return {"test": facts_of(found).to_json()}
