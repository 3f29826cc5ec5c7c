"""An ensemble beside its members on one set, and what reaching them through one input changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from lensaudit.display.numbers import MISSING, with_interval
from lensaudit.display.page import markdown_table
from lensaudit.ensembles.map_files import BATCH, Advance, member_scores, spread_rows
from lensaudit.evaluation import evaluate
from lensaudit.evaluation.finder_record import facts_of
from lensaudit.finders import Finder
from lensaudit.finders.ou_tsne import SUREST, OuTsne
from lensaudit.lensset import LensSet
from lensaudit.training.finish import METRIC_ROWS
from lensaudit.untrusted import in_code, in_markdown

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
        members[name] = facts_of(evaluate(labels, p_member, p_member, threshold=threshold, seed=seed)).to_json()
    whole = evaluate(labels, expit(ranks), ranks, threshold=finder.recipe.threshold, seed=seed)
    return {"test": facts_of(whole).to_json(), "members": members}


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


PAPER = {"precision": 0.9431, "recall": 0.4846, "fbeta": 0.9423, "auroc": 0.666, "accuracy": 0.5371}
"""OU-T-SNE on the EVAL set at p ≥ 0.5 (Wilde et al. 2022, Table 5)."""

EVAL = (
    "100 000 images of the challenge, by the paper's own figures 85 % of them lenses, of which OU-T-SNE calls 48 % "
    "lenses, and 17 % of the non-lenses"
)
"""From precision, recall and accuracy of Table 5: TP + TN = π r + 1 − π − π r (1 / precision − 1) gives π."""


def ensemble_card(finder: Finder, facts: Mapping[str, Any]) -> str:
    """Markdown of the card; `facts` as `save_finder` takes them."""
    sections = {
        f"# {finder.name}": [f"{in_markdown(facts['origin'])}."],
        "## What it takes and gives": _declaration(finder),
        "## The map": _map(facts["training_data"], facts["metrics"]["map"]),
        "## Members through one input": _resized(finder, facts["metrics"]["resized"]),
        "## Measured": _measurements(facts["metrics"]),
        "## Limits": _limits(facts["metrics"]["map"]),
        "## Made by": [f"`{in_code(facts['provenance']['command'])}`, lensaudit {facts['provenance']['lensaudit']}."],
    }
    return "\n\n".join(f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items()) + "\n"


def _declaration(finder: Finder) -> list[str]:
    recipe = finder.recipe
    return [
        f"* Architecture `{recipe.architecture}`: {len(recipe.members)} members with {finder.parameters} parameters, a "
        f"t-SNE map of their scores, a grid of lens fractions.",
        f"* Bands in this order: {', '.join(recipe.bands)}; native pixels resized to {recipe.size}×{recipe.size} over "
        f"{recipe.field_of_view_arcsec:g}″; each member resizes and scales them in its own way.",
        f"* One output, the log-odds of the cell's lens fraction, kept within {SUREST:g} and {1 - SUREST:g}.",
        f"* Called a lens from p = {recipe.threshold:g}. No gradient: occlusion and probes apply, gradients do not.",
        f"* Weights SHA-256 `{finder.weights_hash}`.",
    ]


def _map(data: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    drawn = f", population `{in_code(data['population'])}`" if data["population"] else ""
    return [
        f"* Set `{data['set'][:16]}`, instrument `{in_code(data['instrument'])}`{drawn}: {data['n_training']} images, "
        f"{100 * data['training_lens_fraction']:.1f} % of them lenses; {data['n_left_out']} left out (no label, or a "
        f"member cannot scale them).",
        f"* openTSNE, perplexity {data['perplexity']:g}, seed {data['seed']}, else its defaults; the paper gives none.",
        f"* Grid of {found['cells']}×{found['cells']} cells over the map: {found['cells_with_images']} hold images, "
        f"{found['cells_with_one_image']} of them one only, the median "
        f"{found['median_images_per_filled_cell']:g}. An empty cell has the mean of its defined neighbours, in "
        f"rounds until all are defined; the paper stops after one.",
        *_tried(found),
        "* A new image is placed by openTSNE against the map alone, whatever else is scored with it.",
    ]


def _tried(found: Mapping[str, Any]) -> list[str]:
    tried = found.get("brier_left_out")
    if not tried:
        return []
    words = ", ".join(f"{side}² {error:.4f}" for side, error in tried.items())
    return [
        "* The grid with the least error of the lens fractions over the map's own images, each left out in turn (mean "
        f"squared, in cells): {words}. The paper has 100²."
    ]


def _resized(finder: Finder, found: Mapping[str, Any]) -> list[str]:
    rows = []
    for member in finder.recipe.members:
        words = found.get(member.name)
        if words:
            changes = (f"{words[f'{which}_change_of_p']:.1e}" for which in ("median", "highest"))
            rows.append((member.name, *changes, f"{words['calls_changed']} of {found['n']}"))
    return [
        f"Every band comes as {finder.recipe.size}×{finder.recipe.size} pixels; the ensemble undoes that resizing "
        f"before its members begin theirs (native pixels: {finder.recipe.architecture_options['native_pixels']}). "
        f"Each member in here against itself alone, on {found['n']} images of the map's set:",
        "",
        markdown_table(("member", "median change of p", "highest", "calls changed"), rows),
    ]


def _measurements(metrics: Mapping[str, Any]) -> list[str]:
    if "test" not in metrics:
        return ["No test set was measured."]
    test, members = metrics["test"], metrics["members"]
    head = f"test, {test['n_lenses']} + {test['n_non_lenses']}"
    rows = [(label, _value(test[name]), str(PAPER.get(name, "–"))) for name, label in METRIC_ROWS.items()]
    shown = ("auroc", "precision", "recall", "accuracy")
    beside = [(name, *(_value(words[metric]) for metric in shown)) for name, words in members.items()]
    return [
        markdown_table(("", head, "OU-T-SNE in the paper"), rows),
        "",
        f"Lenses + non-lenses in the head; 95 % intervals; calls at p ≥ {test['threshold']:g}; β = {test['beta']:g}. "
        f"The paper's set is another: {EVAL}. Of accuracy, precision and Fβ, which depend on the fraction of lenses, "
        "the columns cannot be compared; recall and AUROC also go with how faint the lenses are.",
        "",
        "Its members on the same images, as the ensemble sees them:",
        "",
        markdown_table(("member", "AUROC", "precision", "recall", "accuracy"), beside),
    ]


def _limits(found: Mapping[str, Any]) -> list[str]:
    return [
        "* The map is made of images that the members may have been trained on, as in the paper: there they are surer "
        "than on new ones.",
        f"* p is the lens fraction of a cell, mostly of {found['median_images_per_filled_cell']:g} images: coarse, and "
        "it jumps at the cells' edges. Many images share a value, which TPR0 and TPR10 feel.",
        "* Hiding pixels for an occlusion map puts them at 0 in the set's units, the sky; the members then scale "
        "anew. Other finders' patches are at 0 after scaling, the darkest pixel.",
        "* It knows the kinds of lenses and non-lenses of its members' training sets only. Run `lensaudit probe` and "
        "`lensaudit report` on it before using its scores for science.",
    ]


def _value(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return f"{MISSING} ({metric['status']})"
    return with_interval(metric["value"], metric["low"], metric["high"])
