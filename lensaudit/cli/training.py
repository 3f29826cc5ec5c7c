"""``lensaudit train``, with ``--ablate``, and ``cross-validate``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_text
from lensaudit.cli.running import Watching, watching
from lensaudit.display.numbers import measured

if TYPE_CHECKING:
    from lensaudit.training import Machine, Place, Progress, Trained, TrainingData, Watch
    from lensaudit.training.ablation import Arm


def run_ablation(
    arms: Sequence[Arm], data: TrainingData, place: Place, repeats: int, machine: Machine, *, as_json: bool
) -> None:
    """Train the arms and show the table."""
    from lensaudit.training import ablate
    from lensaudit.training.ablation import PICTURE_FILE, RESULT_FILE, TABLE_FILE

    ablate(arms, data, place, repeats, machine, _began)
    if as_json:
        say_json(json.loads((place.out / RESULT_FILE).read_text(encoding="utf-8")))
        return
    say_text((place.out / TABLE_FILE).read_text(encoding="utf-8"))
    say(f"{place.out}: {RESULT_FILE}, {TABLE_FILE}, {PICTURE_FILE}; each training in ARM/seed-N")


def _began(arm: str, seed: int) -> Watch:
    return watch_epochs(f"{arm}, seed {seed}")


def watch_epochs(what: str) -> Watch:
    """A line on standard error after every epoch of the training `what`."""
    from lensaudit.training import Watch

    def stepped(progress: Progress, steps: int) -> None:
        if progress.batch == 0 and progress.history:
            row = progress.history[-1]
            say(
                f"{what}, epoch {row.epoch}: loss {row.train_loss:.4f}, validation loss "
                f"{row.validation_loss:.4f}, accuracy {row.validation_accuracy:.4f}, {row.seconds:.0f} s",
                err=True,
            )

    return Watch(stepped=stepped)


def register_train(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit train ou66 --data runs/train --out runs/ou66 --quick",
            "lensaudit train lastro-101 --data runs/vis101 --test runs/test --out runs/lastro",
            "lensaudit train ou66 --start ou66 --data runs/train --data mine.yaml --out runs/mine",
            "lensaudit train ou66 --data runs/train --ablate dropout --repeats 3 --out runs/abl",
        )
    )(train)


def train(
    name: opt.Recipe,
    data: Annotated[
        list[Path],
        typer.Option("--data", metavar="SET", help="Lens set to train on, or YAML of cutouts; repeat for several."),
    ],
    out: opt.Becomes,
    validation: Annotated[
        Path | None, typer.Option("--validation", metavar="SET", help="Set that chooses the epoch.")
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option("--validation-fraction", metavar="X", help="Fraction of --data for that instead (0–1)."),
    ] = None,
    test: opt.TestSet = None,
    epochs: opt.Epochs = None,
    batch: opt.TrainingBatch = None,
    lr: opt.LearningRate = None,
    schedule: Annotated[
        Literal["constant", "cosine", "one-cycle", "steps", "plateau"] | None,
        typer.Option("--schedule", help="Of the learning rate; by default the recipe's."),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            "--augment", metavar="NAME", help="none, flips, dihedral, deeplens, transfer, non-lenses (at fault)."
        ),
    ] = None,
    balanced: Annotated[
        bool | None,
        typer.Option("--balanced/--no-balanced", help="Half of each batch lenses; by default as the recipe says."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option("--patience", metavar="N", min=1, help="Epochs without a lower validation loss: a plateau."),
    ] = None,
    threshold_fpr: Annotated[
        float | None,
        typer.Option("--threshold-fpr", metavar="RATE", help="Set the threshold at this FPR of the validation images."),
    ] = None,
    half: Annotated[
        bool | None, typer.Option("--half/--no-half", help="Keep the weights in 16 bit: half the file.")
    ] = None,
    class_weights: Annotated[
        Literal["none", "inverse-frequency"] | None, typer.Option("--class-weights", help="Of the loss.")
    ] = None,
    inputs: opt.Inputs = "as-is",
    pretrained: opt.Pretrained = None,
    body: opt.Body = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="FINDER", help="Begin from its weights (the paper: from none).")
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option("--dropout", metavar="P", help="Instead of the architecture's own (the paper: 0.2)."),
    ] = None,
    precision: opt.Precision = "full",
    field_of_view: opt.TrainedField = None,
    seed: opt.Seed = 1,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    processes: opt.Processes = 1,
    channels_last: Annotated[
        bool,
        typer.Option(
            "--channels-last/--no-channels-last", help="Memory format; the faster one wherever we measured."
        ),
    ] = True,
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile: a minute to wait, no gain seen on a CPU.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Keep prepared images here, to use them again.")
    ] = None,
    quick: opt.Quick = False,
    ablations: Annotated[
        list[str],
        typer.Option(
            "--ablate", metavar="WHAT", help="Train also without (or with) it: clip, augmentation, nir, dropout."
        ),
    ] = [],
    repeats: Annotated[
        int, typer.Option("--repeats", metavar="N", help="With --ablate: trainings of each arm, seeds from --seed on.")
    ] = 1,
    restart: opt.Restart = False,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Train a finder by its recipe's protocol; stopped at any moment, the same command goes on."""
    from lensaudit.errors import UsageError
    from lensaudit.finders import choose_device, in_mode, load_recipe
    from lensaudit.lensset import open_cutouts
    from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, Watch, arms_of
    from lensaudit.training import train as run

    if validation is not None and validation_fraction is not None:
        raise UsageError("--validation and --validation-fraction exclude each other; give one")
    recipe = opt.of_width(in_mode(load_recipe(name), body, pretrained, start), field_of_view)
    options = TrainingOptions.of(
        recipe.training.quickened() if quick else recipe.training,
        epochs=epochs,
        batch_size=batch,
        learning_rate=lr,
        schedule=schedule,
        augment=augment,
        balanced_batches=balanced,
        patience=patience,
        threshold_fpr=threshold_fpr,
        half=half,
        class_weights=class_weights,
        inputs=inputs,
        start=start,
        pretrained=pretrained,
        dropout=dropout,
        precision=precision,
        seed=seed,
        validation_fraction=validation_fraction,
    )
    choose_device(device)
    machine = Machine(device, threads, channels_last, compiled, processes)
    first, *further = map(open_cutouts, data)
    chosen_on, measured_on = (None if path is None else open_cutouts(path) for path in (validation, test))
    sets = TrainingData(first, chosen_on, measured_on, tuple(further))
    if ablations:
        arms = arms_of(recipe, options, ablations)
        run_ablation(arms, sets, Place(out, cache, restart), repeats, machine, as_json=as_json)
        return
    with watching() as show:
        watch = Watch(partial(show, "preparing images"), _stepped(show, options.epochs), partial(show, "measuring"))
        trained = run(recipe, sets, Place(out, cache, restart), options, machine, watch)
    _show(trained, out, as_json=as_json)


def _stepped(show: Watching, epochs: int) -> Callable[[Progress, int], None]:
    """Takes every step of the training; shows a line per finished epoch."""

    def stepped(progress: Progress, steps: int) -> None:
        show("training", progress.epoch * steps + progress.batch, epochs * steps)
        if progress.batch == 0 and progress.history:
            row, best = progress.history[-1], progress.best
            show.tell(
                f"epoch {row.epoch:3d}  loss {row.train_loss:.4f}  validation loss {row.validation_loss:.4f}  "
                f"accuracy {row.validation_accuracy:.4f}  {row.seconds:.0f} s"
                + ("  best so far" if best is row else f"  (best: epoch {best.epoch})")
            )

    return stepped


def _show(trained: Trained, out: Path, *, as_json: bool) -> None:
    record = trained.record
    if as_json:
        words = record.model_dump(mode="json")
        facts = {"out": str(out), **{name: words[name] for name in ("weights_hash", "training_data", "metrics")}}
        say_json(facts)
        return
    best = min(trained.history, key=lambda row: row.validation_loss)
    say(
        f"{out}: {trained.finder.name} after {len(trained.history)} epochs; weights of epoch {best.epoch} kept "
        f"(validation loss {best.validation_loss:.4f}, accuracy {best.validation_accuracy:.4f})"
    )
    parts = (
        (record.metrics.validation, "validation images, which chose the epoch"),
        (record.metrics.test, "test images"),
    )
    for part, what in parts:
        if part is not None and part.auroc is not None and part.recall is not None:
            say(f"  {part.n} {what}: AUROC {measured(part.auroc)}, recall {measured(part.recall)}")
    say(f"  use it as: lensaudit evaluate {out} SET")


def register_cross_validate(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "cross-validate",
        epilog=opt.examples("lensaudit cross-validate lensflow --data runs/vis101 --folds 7 --out runs/folds"),
    )(cross_validate)


def cross_validate(
    name: opt.Recipe,
    data: Annotated[
        Path, typer.Option("--data", metavar="SET", help="Lens set, or YAML of cutouts; its folds have classes alike.")
    ],
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
    processes: opt.Processes = 1,
    quick: opt.Quick = False,
    restart: opt.Restart = False,
    as_json: opt.Json = False,
) -> None:
    """Cross-validate a recipe: ROC AUC and F1 of every fold, their mean and spread (Akhazhanov 2018)."""
    from lensaudit.finders import choose_device, in_mode, load_recipe
    from lensaudit.lensset import open_cutouts
    from lensaudit.training import Machine, Place, TrainingOptions
    from lensaudit.training import cross_validate as run
    from lensaudit.training.cross_validation import OUT_OF_FOLD_FILE, PICTURE_FILE, RESULT_FILE, TABLE_FILE

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
    place, machine = Place(out, restart=restart), Machine(device, threads, processes=processes)
    run(recipe, open_cutouts(data), place, options, folds, machine, _cross_validation_began)
    if as_json:
        say_json(json.loads((out / RESULT_FILE).read_text(encoding="utf-8")))
        return
    say_text((out / TABLE_FILE).read_text(encoding="utf-8"))
    say(f"{out}: {RESULT_FILE}, {TABLE_FILE}, {PICTURE_FILE}, {OUT_OF_FOLD_FILE}; each training in fold-N")


def _cross_validation_began(fold: int) -> Watch:

    return watch_epochs(f"fold {fold}")
