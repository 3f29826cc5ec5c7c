"""From the best epoch's weights to a finder's folder with its model card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from lensaudit.evaluation import evaluate
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
from lensaudit.provenance import provenance
from lensaudit.training.batches import Batches
from lensaudit.training.card import training_card
from lensaudit.training.fit import Fit
from lensaudit.training.history import plot_history, write_history
from lensaudit.training.lightning_module import piece_size
from lensaudit.training.options import TrainingOptions
from lensaudit.training.prepared import Advance, PreparedSet, decoded
from lensaudit.training.progress import Progress
from lensaudit.training.sets import Split, TrainingData
from lensaudit.training.split import Rows
from lensaudit.training.start import start_facts

_NEWER = {"balanced_batches", "patience", "threshold_fpr", "half"}
"""Options that a record names only where they were used."""


@dataclass(frozen=True)
class Finish:
    """All that the last part of a training needs."""

    fit: Fit
    progress: Progress
    split: Split
    data: TrainingData
    eater: Finder


def finish(ended: Finish, measured: Advance | None = None) -> tuple[Finder, FinderRecord]:
    """Measure the best weights on validation and test images; write weights, record, card, history and curves."""
    fit, options, files = ended.fit, ended.fit.options, ended.fit.files
    recipe = as_trained(ended.eater.recipe, options)
    module = unfilled_module(recipe)
    module.load_state_dict(ended.progress.best_weights)
    if (standard := ended.split.standard(options.inputs)) is not None:
        standard.fold(module)
    module = module.to(choose_device(fit.machine.device))
    finder = Finder(recipe, module, str(files.out), figures=ended.eater.figures)
    if options.half:
        finder = rounded_to_half(finder)
    prepared, rows = ended.split.validation
    chosen_on = prepared.labels[rows], logits(finder, prepared, rows, measured)
    if options.threshold_fpr is not None:
        finder = calling_at(finder, *chosen_on, options.threshold_fpr)
        recipe = finder.recipe
    facts: dict[str, Any] = {
        "origin": f"Trained by lensaudit on {len(ended.split.training[1])} images, seed {options.seed}",
        "training_data": {
            **ended.data.facts(ended.split),
            **_protocol(options),
            **start_facts(options.start, recipe),
            **{name: value for name, value in fit.identity.items() if name == "body"},
        },
        "metrics": _metrics(finder, ended, chosen_on, measured),
        "provenance": provenance(seed=options.seed, inputs=_inputs(ended.data, options.start)),
    }
    write_history(files.history, ended.progress.history)
    title = f"{recipe.name}, {len(ended.split.training[1])} training images"
    plot_history(files.curves, ended.progress.history, title)
    record = save_finder(finder, files.out, **facts, card=training_card(finder, facts))
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
    sets = {"training": data.training, "validation": data.validation, "test": data.test}
    hashes = {name: lens_set.content_hash for name, lens_set in sets.items() if lens_set is not None}
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
        "validation": measured_record(*chosen_on, finder, seed),
    }
    if ended.data.test is not None:
        scores = score_set(finder, ended.data.test, progress=measured)
        metrics["test"] = measured_record(ended.data.test.labels, scores.logit, finder, seed)
    return metrics


def measured_record(labels: np.ndarray, logit: np.ndarray, finder: Finder, seed: int) -> dict[str, Any]:
    """What a record says of scores: counts, threshold, and each metric with its interval."""
    result = evaluate(labels, expit(logit), logit, threshold=finder.recipe.threshold, seed=seed)
    counted = {"n": result.counts.n, "n_lenses": result.n_lenses, "n_non_lenses": result.n_others}
    metrics = {metric.name: metric.as_json() for metric in result.metrics}
    for words in metrics.values():
        del words["name"]
    return {**counted, "n_unscored": result.n_unscored, "threshold": result.threshold, "beta": result.beta, **metrics}


@torch.inference_mode()
def logits(finder: Finder, prepared: PreparedSet, rows: Rows, advance: Advance | None = None) -> np.ndarray:
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
