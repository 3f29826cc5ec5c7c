"""From the best epoch's weights to a finder's folder with its model card."""

from __future__ import annotations

from typing import Any

from lensaudit.finders import Finder, FinderRecord, save_finder
from lensaudit.finders.architectures import unfilled
from lensaudit.finders.recipe import Recipe, Training
from lensaudit.provenance import provenance
from lensaudit.training.fit import Fit
from lensaudit.training.history import plot_history, write_history
from lensaudit.training.options import TrainingOptions
from lensaudit.training.progress import Progress
from lensaudit.training.sets import Split, TrainingData


def finish(fit: Fit, progress: Progress, split: Split, data: TrainingData) -> tuple[Finder, FinderRecord]:
    """Measure the best weights, then write weights, record, card, history and curves."""
    recipe = as_trained(fit.recipe, fit.options)
    module = unfilled(recipe.architecture, len(recipe.bands), recipe.outputs)
    module.load_state_dict(progress.best_weights)
    finder = Finder(recipe, module, str(fit.files.out))
    files = fit.files
    write_history(files.history, progress.history)
    plot_history(files.curves, progress.history, f"{recipe.name}, {len(split.training[1])} training images")
    facts = data.facts(split)
    inputs = {"training": data.training.content_hash}
    if data.validation is not None:
        inputs["validation"] = data.validation.content_hash
    record = save_finder(
        finder,
        files.out,
        origin=f"Trained by lensaudit on {facts['n_training']} images, seed {fit.options.seed}",
        training_data={**facts, **_protocol(fit.options)},
        metrics=_metrics(progress),
        provenance=provenance(seed=fit.options.seed, inputs=inputs),
    )
    return finder, record


def as_trained(recipe: Recipe, options: TrainingOptions) -> Recipe:
    """The recipe with the protocol that was used in place of the one it came with."""
    names = set(Training.model_fields) & set(options.model_dump())
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=options.model_dump(include=names))})


def _protocol(options: TrainingOptions) -> dict[str, Any]:
    return {"schedule": options.schedule, "augmentation": options.augment, "seed": options.seed}


def _metrics(progress: Progress) -> dict[str, Any]:
    best = progress.best
    return {
        "epochs": len(progress.history),
        "best_epoch": best.epoch,
        "validation_loss": best.validation_loss,
        "validation_accuracy": best.validation_accuracy,
    }
