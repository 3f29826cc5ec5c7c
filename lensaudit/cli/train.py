"""``lensaudit train``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from lensaudit.training import Progress, Trained

    Advance = Callable[[int, int], None]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(train)


def train(
    name: str = typer.Argument(help="Recipe: built-in name (ou66, ou200, …), a recipe.yaml or its folder."),
    data: Path = typer.Option(..., "--data", metavar="SET", help="Lens set to train on."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Becomes the finder's folder; a stopped run goes on."),
    validation: Path | None = typer.Option(None, metavar="SET", help="Set that chooses the epoch."),
    validation_fraction: float | None = typer.Option(None, help="Share of --data for that instead (0–1)."),
    test: Path | None = typer.Option(None, metavar="SET", help="Set measured once at the end, for the model card."),
    epochs: int | None = typer.Option(None, min=1, help="By default the recipe's."),
    batch: int | None = typer.Option(None, min=1, help="Images per step; by default the recipe's."),
    lr: float | None = typer.Option(None, help="Adam's learning rate; by default the recipe's, 3e-4."),
    schedule: str | None = typer.Option(None, help="Learning rate: constant, cosine, one-cycle, steps or plateau."),
    augment: str | None = typer.Option(None, help="none, flips, dihedral, deeplens, transfer, non-lenses (at fault)."),
    balanced: bool | None = typer.Option(None, help="Half of each batch lenses; by default as the recipe says."),
    patience: int | None = typer.Option(None, min=1, help="Epochs without a lower validation loss: a plateau."),
    threshold_fpr: float | None = typer.Option(None, help="Set the threshold at this FPR of the validation images."),
    half: bool | None = typer.Option(None, help="Keep the weights in 16 bit: half the file."),
    class_weights: str | None = typer.Option(None, help="Of the loss: inverse-frequency or none."),
    inputs: str = typer.Option("as-is", help="as-is (the paper), or standardised, folded into the first layer."),
    pretrained: str | None = typer.Option(None, metavar="FILE", help="Weights for a transfer finder's body, or hub."),
    body: str | None = typer.Option(None, help="Of a transfer finder: frozen, fine-tuned or random."),
    start: str | None = typer.Option(None, metavar="FINDER", help="Begin from its weights (the paper: from none)."),
    dropout: float | None = typer.Option(None, help="Instead of the architecture's own (the paper: 0.2)."),
    precision: str = typer.Option("full", help="full (float32), or bf16: quicker steps where the processor has it."),
    seed: int = typer.Option(1, min=0, help="Everything random is derived from it."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
    channels_last: bool = typer.Option(True, help="Memory format; the faster one wherever we measured."),
    compiled: bool = typer.Option(False, "--compile", help="torch.compile: a minute to wait, no gain seen on a CPU."),
    cache: Path | None = typer.Option(None, metavar="DIR", help="Keep prepared images here, to share them."),
    quick: bool = typer.Option(False, help="The recipe's quick protocol: few epochs, for a first look."),
    ablations: list[str] = typer.Option(
        [],
        "--ablate",
        metavar="WHAT",
        help="Train also without (or with) it: clip, augmentation, nir, dropout.",
    ),
    repeats: int = typer.Option(1, help="With --ablate: trainings of each arm, with seeds from --seed on."),
    restart: bool = typer.Option(False, help="Forget an earlier training in --out."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Train a finder by its recipe's protocol; stopped at any moment, the same command goes on."""
    from lensaudit.errors import UsageError
    from lensaudit.finders import choose_device, in_mode, load_recipe
    from lensaudit.lensset import LensSet
    from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, Watch, arms_of
    from lensaudit.training import train as run

    if validation is not None and validation_fraction is not None:
        raise UsageError("--validation and --validation-fraction exclude each other; give one")
    recipe = in_mode(load_recipe(name), body, pretrained)
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
    machine = Machine(device, threads, channels_last, compiled)
    sets = TrainingData(*(None if path is None else LensSet.open(path) for path in (data, validation, test)))  # type: ignore[arg-type]
    if ablations:
        from lensaudit.cli.ablation import run_ablation

        arms = arms_of(recipe, options, ablations)
        run_ablation(arms, sets, Place(out, cache, restart), repeats, machine, as_json=as_json)
        return
    with _bars(options.epochs) as bars:
        trained = run(recipe, sets, Place(out, cache, restart), options, machine, Watch(*bars))
    _show(trained, out, as_json=as_json)


@contextmanager
def _bars(epochs: int) -> Iterator[tuple[Advance, Callable[[Progress, int], None], Advance]]:
    """Bars on standard error for the preparation, the steps and the measuring, and a line per finished epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bars = Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
    tasks: dict[str, Any] = {}

    def advance(task: str, done: int, total: int) -> None:
        if task not in tasks:
            bars.start()  # not before the first report, so that a refused command shows its one line only
            tasks[task] = bars.add_task(task, total=total, completed=done)
        bars.update(tasks[task], completed=done, total=total)

    def stepped(progress: Progress, steps: int) -> None:
        advance("training", progress.epoch * steps + progress.batch, epochs * steps)
        if progress.batch == 0 and progress.history:
            row, best = progress.history[-1], progress.best
            console.print(
                f"epoch {row.epoch:3d}  loss {row.train_loss:.4f}  validation loss {row.validation_loss:.4f}  "
                f"accuracy {row.validation_accuracy:.4f}  {row.seconds:.0f} s"
                + ("  best so far" if best is row else f"  (best: epoch {best.epoch})"),
                highlight=False,
            )

    try:
        yield partial(advance, "preparing images"), stepped, partial(advance, "measuring")
    finally:
        bars.stop()


def _show(trained: Trained, out: Path, *, as_json: bool) -> None:
    record = trained.record
    if as_json:
        words = record.model_dump(mode="json")
        facts = {"out": str(out), **{name: words[name] for name in ("weights_hash", "training_data", "metrics")}}
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    best = min(trained.history, key=lambda row: row.validation_loss)
    typer.echo(
        f"{out}: {trained.finder.name} after {len(trained.history)} epochs; weights of epoch {best.epoch} kept "
        f"(validation loss {best.validation_loss:.4f}, accuracy {best.validation_accuracy:.4f})"
    )
    for part, what in (("validation", "validation images, which chose the epoch"), ("test", "test images")):
        if part in record.metrics:
            area, recall = record.metrics[part]["auroc"], record.metrics[part]["recall"]
            typer.echo(f"  {record.metrics[part]['n']} {what}: AUROC {_interval(area)}, recall {_interval(recall)}")
    typer.echo(f"  use it as: lensaudit evaluate {out} SET")


def _interval(metric: dict[str, Any]) -> str:
    if metric["value"] is None:
        return f"not measured ({metric['status']})"
    return f"{metric['value']:.4f}" + ("" if metric["low"] is None else f" ({metric['low']:.4f}–{metric['high']:.4f})")
