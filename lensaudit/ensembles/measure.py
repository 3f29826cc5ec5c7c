"""An ensemble beside its members on one set, and what reaching them through one input changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from lensaudit.ensembles.member_scores import BATCH, Advance, member_scores, spread_rows
from lensaudit.evaluation import Evaluation, evaluate
from lensaudit.finders import Finder
from lensaudit.finders.ou_tsne import SUREST, OuTsne
from lensaudit.lensset import LensSet

COMPARED = 200
"""Images on which the members are also run by themselves."""


def measured(finder: Finder, test: LensSet, folder: Path, progress: Advance | None, seed: int) -> dict[str, Any]:
    """Metrics of the ensemble and of its members on all of `test`, with intervals, as ``finder.yaml`` keeps them."""
    scores = member_scores(finder, test, None, folder, progress)
    module = cast(OuTsne, finder.module)
    p_lens = np.full(len(scores.rows), np.nan)
    p_lens[scores.known] = module.map.p_lens(module.map.place(scores.vectors[scores.known]))
    ranks = logit(np.clip(p_lens, SUREST, 1 - SUREST))
    labels = test.labels
    members = {}
    for column, (name, member) in enumerate(module.members.items()):
        p_member = scores.vectors[:, column]
        threshold = cast(Any, member).recipe.threshold
        members[name] = _words(evaluate(labels, p_member, p_member, threshold=threshold, seed=seed))
    whole = evaluate(labels, expit(ranks), ranks, threshold=finder.recipe.threshold, seed=seed)
    return {"test": _words(whole), "members": members}


def resize_effect(finder: Finder, members: Sequence[Finder], lens_set: LensSet) -> dict[str, Any]:
    """How far p(lens) of each member inside the ensemble is from its own, on 200 images: median, highest, calls.

    They differ by rounding, unless a band of the set had more pixels than the map's.
    """
    rows = [row for span in spread_rows(len(lens_set), COMPARED) for row in span]
    inside, own = [], []
    with torch.inference_mode():
        for first in range(0, len(rows), BATCH):
            cutouts = lens_set.cutouts(rows[first : first + BATCH])
            inside.append(cast(OuTsne, finder.module).scores(finder.prepare(cutouts)[0]).cpu().numpy())
            own.append(np.stack([_alone(member, cutouts) for member in members], axis=1))
    both = np.concatenate(inside), np.concatenate(own)
    known = np.isfinite(both[0]).all(axis=1) & np.isfinite(both[1]).all(axis=1)
    change = np.abs(both[0] - both[1])[known]
    calls = [(p[known] >= [member.recipe.threshold for member in members]) for p in both]
    return {
        "n": int(known.sum()),
        **{
            member.name: {
                "median_change_of_p": float(np.median(change[:, column])),
                "highest_change_of_p": float(change[:, column].max()),
                "calls_changed": int((calls[0] != calls[1])[:, column].sum()),
            }
            for column, member in enumerate(members)
            if len(change)
        },
    }


def _alone(member: Finder, cutouts: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    images, good = member.prepare(cutouts)
    images = torch.where(good.all(1)[:, None, None, None], images, 0.0)
    p_lens = torch.sigmoid(member.logit(images))
    found: NDArray[np.float32] = torch.where(good.all(1), p_lens, torch.nan).cpu().numpy()
    return found


def _words(result: Evaluation) -> dict[str, Any]:
    """As a training's record has them: counts, then name → metric."""
    metrics = {metric.name: metric.as_json() for metric in result.metrics}
    for words in metrics.values():
        del words["name"]
    return {
        "n": result.counts.n,
        "n_lenses": result.n_lenses,
        "n_non_lenses": result.n_others,
        "n_unscored": result.n_unscored,
        "threshold": result.threshold,
        "beta": result.beta,
        **metrics,
    }
