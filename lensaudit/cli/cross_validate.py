"""``lensaudit cross-validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_text

if TYPE_CHECKING:
    from lensaudit.training import Watch


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "cross-validate",
        epilog=opt.examples("lensaudit cross-validate lensflow --data runs/vis101 --folds 7 --out runs/folds"),
    )(cross_validate)


def cross_validate(
    name: opt.Recipe,
    data: Annotated[Path, typer.Option("--data", metavar="SET", help="Lens set, split into folds with classes alike.")],
    out: opt.Out,
    folds: Annotated[
        int,
        typer.Option("--folds", metavar="N", help="Parts; each is scored by a finder trained on the others."),
    ] = 7,
    pretrained: opt.Pretrained = None,
    body: opt.Body = None,
    epochs: opt.Epochs = None,
    batch: opt.TrainingBatch = None,
    lr: opt.LearningRate = None,
    augment: Annotated[
        str | None,
        typer.Option("--augment", metavar="NAME", help="none, flips, dihedral, deeplens or transfer."),
    ] = None,
    inputs: opt.Inputs = "as-is",
    precision: opt.Precision = "full",
    field_of_view: opt.TrainedField = None,
    seed: opt.Seed = 1,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    quick: opt.Quick = False,
    restart: opt.Restart = False,
    as_json: opt.Json = False,
) -> None:
    """Cross-validate a recipe: ROC AUC and F1 of every fold, their mean and spread (Akhazhanov 2018)."""
    from lensaudit.finders import choose_device, in_mode, load_recipe
    from lensaudit.lensset import LensSet
    from lensaudit.training import Machine, Place, TrainingOptions
    from lensaudit.training import cross_validate as run
    from lensaudit.training.cross_validate import OUT_OF_FOLD_FILE, PICTURE_FILE, RESULT_FILE, TABLE_FILE

    recipe = opt.of_width(in_mode(load_recipe(name), body, pretrained), field_of_view)
    options = TrainingOptions.of(
        recipe.training.quickened() if quick else recipe.training,
        epochs=epochs,
        batch_size=batch,
        learning_rate=lr,
        augment=augment,
        pretrained=pretrained,
        inputs=inputs,
        precision=precision,
        seed=seed,
    )
    choose_device(device)
    place, machine = Place(out, restart=restart), Machine(device, threads)
    run(recipe, LensSet.open(data), place, options, folds, machine, _began)
    if as_json:
        say_json(json.loads((out / RESULT_FILE).read_text(encoding="utf-8")))
        return
    say_text((out / TABLE_FILE).read_text(encoding="utf-8"))
    say(f"{out}: {RESULT_FILE}, {TABLE_FILE}, {PICTURE_FILE}, {OUT_OF_FOLD_FILE}; each training in fold-N")


def _began(fold: int) -> Watch:
    from lensaudit.cli.ablation import watch_epochs

    return watch_epochs(f"fold {fold}")
