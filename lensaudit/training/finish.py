"""From the best epoch's weights to a finder's folder with its model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from lensaudit.display.page import markdown_table
from lensaudit.evaluation import evaluate
from lensaudit.evaluation.finder_record import facts_of
from lensaudit.finders import (
    Finder,
    FinderRecord,
    Recipe,
    Training,
    calling_at,
    choose_device,
    load_finder,
    rounded_to_half,
    save_finder,
    score_set,
    unfilled_module,
)
from lensaudit.finders.architectures.timm_networks import PREFIX
from lensaudit.finders.facts import FinderMetrics, MeasuredFacts, TrainingFacts
from lensaudit.finders.units import scaling_words
from lensaudit.provenance import Provenance
from lensaudit.records import Json
from lensaudit.training.augment import FAULTY
from lensaudit.training.batches import Batches
from lensaudit.training.checkpoint import Progress, curve_in_words, late_fall, plot_history, write_history
from lensaudit.training.fit import Fit
from lensaudit.training.group import all_processes
from lensaudit.training.network import piece_size, start_facts
from lensaudit.training.options import TrainingOptions
from lensaudit.training.prepared import Advance, Prepared, Rows, decoded
from lensaudit.training.sets import Split, TrainingData
from lensaudit.untrusted import in_code, in_markdown

METRIC_ROWS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "fbeta": "Fβ",
    "auroc": "AUROC",
    "tpr0": "TPR0",
    "tpr10": "TPR10",
    "tpr_at_fpr": "completeness at FPR 1 %",
}
"""Rows of the table of every card: name of the metric in the record, and its label."""


def training_card(finder: Finder, facts: Mapping[str, Any]) -> str:
    """Markdown of the card.

    Parameters
    ----------
    finder
        With the weights that are kept.
    facts
        ``origin``, ``training_data``, ``metrics`` and ``provenance``, as `save_finder` takes them.
    """
    data, metrics = facts["training_data"], facts["metrics"]
    sections = {
        f"# {finder.name}": [f"{in_markdown(facts['origin'])}."],
        "## What it takes and gives": _declaration(finder),
        "## Training": _training(finder, data, metrics),
        "## Measured": _measurements(metrics),
        "## Limits": _limits(data, metrics),
        "## Made by": [f"`{in_code(facts['provenance']['command'])}`, lensaudit {facts['provenance']['lensaudit']}."],
    }
    return "\n\n".join(f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items()) + "\n"


def _declaration(finder: Finder) -> list[str]:
    recipe = finder.recipe
    return [
        f"* Architecture `{recipe.architecture}`, {finder.parameters} parameters.",
        f"* Bands in this order: {', '.join(recipe.bands)}; {recipe.size}×{recipe.size} pixels over "
        f"{recipe.field_of_view_arcsec:g}″; {scaling_words(recipe)}.",
        *[f"* Reads `{column}` of the catalogue beside the pixels." for column in finder.extra_columns],
        *(["* Logits averaged over the 8 rotations and mirrors of the image."] if recipe.symmetrise else []),
        f"* Called a lens from p = {recipe.threshold:g}.",
        f"* Weights SHA-256 `{finder.weights_hash}`.",
    ]


def _training(finder: Finder, data: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    protocol = finder.recipe.training
    same = "all these sets" if "sets" in data else "the same set"
    chosen = "a set of its own" if data["validation_set"] else f"a fraction of {same}, classes split alike"
    chosen += f", those of `{data['start']}`" if "split_seed" in data else ""
    left_out = data["n_unlabelled_left_out"]
    return [
        f"* {_sets(data)}: {data['n_training']} images "
        f"to train on, {100 * data['training_lens_fraction']:.1f} % of them lenses"
        + (f"; {left_out} without a label left out." if left_out else "."),
        f"* {data['n_validation']} validation images ({chosen}); {data['n_test']} test images.",
        f"* Adam at {protocol.learning_rate:g}, schedule `{data['schedule']}`, batches of {protocol.batch_size}, "
        f"cross-entropy with class weights `{protocol.class_weights}`, augmentation `{data['augmentation']}`, "
        f"inputs `{data['inputs']}`, "
        + ("" if data.get("precision", "full") == "full" else f"steps in `{data['precision']}`, ")
        + ("" if data.get("dropout") is None else f"dropout {data['dropout']:g}, ")
        + _start(data, finder.recipe.architecture)
        + f", seed {data['seed']}"
        + (f", divided over {data['processes']} processes." if "processes" in data else "."),
        *([f"* The finder it was begun from was trained on {_earlier(data)}."] if data.get("earlier_sets") else []),
        *([f"* Body {data['body']}."] if "body" in data else []),
        f"* {metrics['epochs']} epochs; the weights of epoch {metrics['best_epoch']} had the lowest validation loss, "
        f"{metrics['validation_loss']:.4f}, and are kept. `history.csv` has every epoch.",
        *([f"* {curve_in_words(metrics['epochs'], metrics['late_fall'])}"] if "late_fall" in metrics else []),
        "",
        "![Loss and accuracy against epoch](curves.png)",
    ]


def _sets(data: Mapping[str, Any]) -> str:
    """Which set, or sets, it was trained on, with what was drawn."""
    words = []
    for one in data.get("sets", [data]):
        said = f"`{one['set'][:16]}`, instrument `{in_code(one['instrument'])}`"
        said += f", population `{in_code(one['population'])}`" if one["population"] else ""
        said += " reddened by {:g} to {:g}".format(*one["redden"]) if one.get("redden") else ""
        said += f", {one['n_lenses']} lenses among {one['n_labelled']} with a label" if "n_labelled" in one else ""
        words.append(said)
    return f"Set {words[0]}" if len(words) == 1 else f"Sets {'; '.join(words)}"


def _earlier(data: Mapping[str, Any]) -> str:
    """Sets of the stages before; those of this one are named above."""
    parts = [one["set"] for one in data.get("sets", ())]
    words = {data["set"]: "these sets" if parts else "this set"}
    before = [one for one in data["earlier_sets"] if data["set"] not in data["earlier_sets"] or one not in parts]
    return ", ".join(words.get(one, f"`{one[:16]}`") for one in before)


def _start(data: Mapping[str, Any], architecture: str) -> str:
    if data["start"] is None:
        return "started as timm starts it" if architecture.startswith(PREFIX) else "He-normal start"
    channels = f"channels {', '.join(data['start_bands'])}" if "start_bands" in data else "weights"
    return f"begun from the {channels} of `{data['start']}`"


def _measurements(metrics: Mapping[str, Any]) -> list[str]:
    parts = [part for part in ("validation", "test") if part in metrics]
    titles = [f"{part}, {metrics[part]['n_lenses']} + {metrics[part]['n_non_lenses']}" for part in parts]
    rows = [(label, *(metric_words(metrics[part][name]) for part in parts)) for name, label in METRIC_ROWS.items()]
    beta, threshold = metrics["validation"]["beta"], metrics["validation"]["threshold"]
    return [
        markdown_table(("", *titles), rows),
        "",
        f"Lenses + non-lenses in the head; 95 % intervals; calls at p ≥ {threshold:g}; β = {beta:g}. "
        "The validation images chose the epoch, so their numbers are a little too good."
        + ("" if "test" in metrics else " No test set was measured."),
    ]


def _limits(data: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    lines = [
        "* It knows the kinds of lenses and non-lenses of its training set only. Run `lensaudit probe` and "
        "`lensaudit report` on it before using its scores for science.",
        "* Scores are not calibrated probabilities of being a lens in the sky, where lenses are rare.",
    ]
    if metrics["best_epoch"] == metrics["epochs"]:
        lines.append("* The validation loss was lowest in the last epoch: more epochs may still improve it.")
    if data["augmentation"] == "none":
        lines.append("* Trained at one orientation of the PSF: see what turning it does to the scores.")
    if data["augmentation"] == FAULTY:
        lines.append(
            "* Balanced at fault, to show it: only non-lenses were turned, so it can know them by the orientation of "
            "the PSF. `history.csv` is measured on images turned likewise; the table above is not."
        )
    return lines


def metric_words(metric: Mapping[str, Any]) -> str:
    """Value and interval of a metric's plain values, or why there is none."""
    if metric["value"] is None:
        return f"– ({metric['status']})"
    interval = "" if metric["low"] is None else f" ({metric['low']:.3f}–{metric['high']:.3f})"
    return f"{metric['value']:.3f}{interval}"


_NEWER = {"balanced_batches", "patience", "threshold_fpr", "half"}
"""Options that a record names only where they were used."""


@dataclass(frozen=True)
class Finish:
    """All that the last part of a training needs."""

    fit: Fit
    progress: Progress
    split: Split
    data: TrainingData
    untrained: Finder


def finish(ended: Finish, measured: Advance | None = None) -> tuple[Finder, FinderRecord]:
    """Measure the best weights on validation and test images; write weights, record, card, history and curves."""
    fit, options, files = ended.fit, ended.fit.options, ended.fit.files
    recipe = as_trained(ended.untrained.recipe, options)
    module = unfilled_module(recipe)
    module.load_state_dict(ended.progress.best_weights)
    if (standard := ended.split.standard(options.inputs)) is not None:
        standard.fold(module)
    module = module.to(choose_device(fit.machine.device))
    finder = Finder(recipe, module, str(files.out), statistics=ended.untrained.statistics)
    if options.half:
        finder = rounded_to_half(finder)
    prepared, rows = ended.split.validation
    chosen_on = prepared.labels[rows], logits(finder, prepared, rows, measured)
    if options.threshold_fpr is not None:
        finder = calling_at(finder, *chosen_on, options.threshold_fpr)
        recipe = finder.recipe
    made = Provenance.here(seed=options.seed, inputs=_inputs(ended.data, options.start))
    facts: Json = {
        "origin": f"Trained by lensaudit on {len(ended.split.training[1])} images, seed {options.seed}",
        "training_data": {
            **ended.data.facts(ended.split).to_json(),
            **_protocol(options),
            **start_facts(options.start, recipe),
            **{name: value for name, value in fit.identity.items() if name in ("body", "split_seed")},
            **({"processes": processes} if (processes := all_processes(fit.machine.processes)) > 1 else {}),
        },
        "metrics": _metrics(finder, ended, chosen_on, measured),
        "provenance": made.to_json(),
    }
    write_history(files.history, ended.progress.history)
    title = f"{recipe.name}, {len(ended.split.training[1])} training images"
    plot_history(files.curves, ended.progress.history, title)
    record = save_finder(
        finder,
        files.out,
        origin=facts["origin"],
        training_data=TrainingFacts.model_validate(facts["training_data"]),
        metrics=FinderMetrics.model_validate(facts["metrics"]),
        provenance=made,
        card=training_card(finder, facts),
    )
    return finder, record


def as_trained(recipe: Recipe, options: TrainingOptions) -> Recipe:
    """The recipe with the protocol that was used in place of the one it came with."""
    names = set(Training.model_fields) & set(options.model_dump())
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=options.model_dump(include=names))})


def _protocol(options: TrainingOptions) -> dict[str, Any]:
    return {
        "schedule": options.schedule,
        "augmentation": options.augment,
        "inputs": options.inputs,
        "precision": options.precision,
        "start": options.start,
        "dropout": options.dropout,
        "seed": options.seed,
        **{
            name: value
            for name, value in options.model_dump(include=_NEWER).items()
            if value != TrainingOptions.model_fields[name].default
        },
    }


def _inputs(data: TrainingData, start: str | None) -> dict[str, str]:
    sets = {"training": data, "validation": data.validation, "test": data.test}
    hashes = {name: one.content_hash for name, one in sets.items() if one is not None}
    return hashes if start is None else {**hashes, "start": load_finder(start).weights_hash}


def _metrics(
    finder: Finder, ended: Finish, chosen_on: tuple[np.ndarray, np.ndarray], measured: Advance | None
) -> dict[str, Any]:
    best, seed = ended.progress.best, ended.fit.options.seed
    metrics: dict[str, Any] = {
        "epochs": len(ended.progress.history),
        "best_epoch": best.epoch,
        "validation_loss": best.validation_loss,
        "validation_accuracy": best.validation_accuracy,
        "late_fall": late_fall(ended.progress.validation_losses),
        "validation": measured_record(*chosen_on, finder, seed).to_json(),
    }
    if ended.data.test is not None:
        scores = score_set(finder, ended.data.test, progress=measured)
        metrics["test"] = measured_record(ended.data.test.labels, scores.logit, finder, seed).to_json()
    return metrics


def measured_record(labels: np.ndarray, logit: np.ndarray, finder: Finder, seed: int) -> MeasuredFacts:
    """What a record says of scores: counts, threshold, and each metric with its interval."""
    return facts_of(evaluate(labels, expit(logit), logit, threshold=finder.recipe.threshold, seed=seed))


@torch.inference_mode()
def logits(finder: Finder, prepared: Prepared, rows: Rows, advance: Advance | None = None) -> np.ndarray:
    """Log-odds float64 (m,) of the prepared images `rows`."""
    found: list[np.ndarray] = []
    done = 0
    for batch in Batches(prepared, rows, piece_size(finder.recipe.size)):
        images = decoded(batch.codes.to(finder.device), batch.scales.to(finder.device))
        found.append(finder.logit(images).double().cpu().numpy())
        done += len(images)
        if advance is not None:
            advance(done, len(rows))
    return np.concatenate(found)
