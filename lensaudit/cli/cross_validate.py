"""``lensaudit cross-validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from lensaudit.training import Progress, Watch


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("cross-validate")(cross_validate)


def cross_validate(
    name: str = typer.Argument(help="Recipe: built-in name, a recipe.yaml or its folder."),
    data: Path = typer.Option(..., "--data", metavar="SET", help="Lens set, split into folds with classes alike."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Folder for folds and results; a stopped run goes on."),
    folds: int = typer.Option(7, help="Parts of the set; each is scored by a finder trained on the others."),
    pretrained: str | None = typer.Option(None, metavar="FILE", help="Weights for a transfer finder's body, or hub."),
    body: str | None = typer.Option(None, help="Of a transfer finder: frozen, fine-tuned or random."),
    epochs: int | None = typer.Option(None, min=1, help="By default the recipe's."),
    batch: int | None = typer.Option(None, min=1, help="Images per step; by default the recipe's."),
    lr: float | None = typer.Option(None, help="Adam's learning rate; by default the recipe's."),
    augment: str | None = typer.Option(None, help="Augmentation; by default the recipe's."),
    inputs: str = typer.Option("as-is", help="as-is, or standardised."),
    precision: str = typer.Option("full", help="full (float32), or bf16."),
    seed: int = typer.Option(1, min=0, help="Everything random is derived from it."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
    quick: bool = typer.Option(False, help="The recipe's quick protocol: few epochs, for a first look."),
    restart: bool = typer.Option(False, help="Forget an earlier run in --out."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Cross-validate a recipe: ROC AUC and F1 of every fold, their mean and spread (Akhazhanov 2018)."""
    from lensaudit.finders import choose_device, in_mode, load_recipe
    from lensaudit.lensset import LensSet
    from lensaudit.training import Machine, Place, TrainingOptions
    from lensaudit.training import cross_validate as run
    from lensaudit.training.cross_validate import OUT_OF_FOLD_FILE, PICTURE_FILE, RESULT_FILE, TABLE_FILE

    recipe = in_mode(load_recipe(name), body, pretrained)
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
        typer.echo((out / RESULT_FILE).read_text(encoding="utf-8").rstrip())
        return
    typer.echo((out / TABLE_FILE).read_text(encoding="utf-8").rstrip())
    typer.echo(f"{out}: {RESULT_FILE}, {TABLE_FILE}, {PICTURE_FILE}, {OUT_OF_FOLD_FILE}; each training in fold-N")


def _began(fold: int) -> Watch:
    from lensaudit.training import Watch

    def stepped(progress: Progress, steps: int) -> None:
        if progress.batch == 0 and progress.history:
            row = progress.history[-1]
            typer.echo(
                f"fold {fold}, epoch {row.epoch}: loss {row.train_loss:.4f}, validation loss "
                f"{row.validation_loss:.4f}, accuracy {row.validation_accuracy:.4f}, {row.seconds:.0f} s",
                err=True,
            )

    return Watch(stepped=stepped)
