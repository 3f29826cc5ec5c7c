"""``lensaudit selection``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels

if TYPE_CHECKING:
    from lensaudit.evaluation.selection import SelectionFunction
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(selection)


def selection(
    finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
    lens_set: Path = typer.Argument(metavar="SET", help="Simulated lens set; without truth there is nothing to ask."),
    out: Path = typer.Option(..., metavar="DIR", help="Folder for numbers, tables, page and figures."),
    threshold: float | None = typer.Option(None, min=0, max=1, help="p from which it is a lens; default the finder's."),
    fpr: float | None = typer.Option(
        None, min=0, max=1, help="Instead of --threshold: highest false-positive rate among the set's non-lenses."
    ),
    scores: Path | None = typer.Option(None, metavar="FILE", help="Scores from lensaudit score, to save scoring."),
    seed: int = typer.Option(1, min=0, help="Of the bootstrap."),
    field_of_view: float | None = typer.Option(
        None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
    ),
    resample: bool = RESAMPLE,
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    as_json: bool = typer.Option(False, "--json", help="Print the numbers as JSON."),
) -> None:
    """Say which lenses a finder selects: recall over two parameters, medians, and what drives it."""
    from lensaudit.cli.set_scores import scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.selection import LADDER, Threshold, require_truth, selection_function
    from lensaudit.evaluation.selection.write import selection_record, write_selection
    from lensaudit.files import writable_folder
    from lensaudit.finders import load_finder
    from lensaudit.lensset import LensSet
    from lensaudit.provenance import refuse_other

    if threshold is not None and fpr is not None:
        raise UsageError("--threshold and --fpr: give one of them; each fixes the other")
    opened = LensSet.open(lens_set)
    require_truth(opened)  # before minutes of scoring
    loaded = load_finder(finder, device).for_field(field_of_view, resample)
    loaded.check(opened)
    warn_of_pixels(loaded, opened)
    writable_folder(out)
    inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
    refuse_other(out / "selection.json", inputs, "selection function")
    asked = Threshold(loaded.recipe.threshold if threshold is None else threshold)
    if fpr is not None:
        asked = Threshold(fpr, "fpr")
    found = selection_function(scores_of(loaded, opened, scores), opened, (asked, *LADDER), seed=seed)
    about = _about(loaded, opened, seed)
    written = write_selection(found, about, f"{loaded.name} on {lens_set}", out)
    if as_json:
        typer.echo(json.dumps(selection_record(found, about), indent=2, ensure_ascii=False, allow_nan=False))
        return
    _show(found, loaded.name, lens_set)
    typer.echo(f"{out}: {', '.join(written)}")


def _about(finder: Finder, lens_set: LensSet, seed: int) -> dict[str, Any]:
    from lensaudit.provenance import provenance

    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return {
        "finder": finder.name,
        "set": str(lens_set.path),
        "provenance": provenance(seed=seed, inputs=inputs),
    }


def _show(found: SelectionFunction, name: str, lens_set: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from lensaudit.evaluation.selection.page import left_out, share

    console = Console(highlight=False)
    counted = f"{found.n_lenses} lenses, {found.n_others} non-lenses"
    table = Table(title=f"{name} on {lens_set}: {counted}", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("threshold", "recall", "false positives"):
        table.add_column(column)
    for cut in found.cuts:
        table.add_row(cut.words, share(cut.recall), share(cut.false_positives))
    console.print(table)
    for one in found.maps:
        few = f"{int(one.few.sum())} of {one.n.size} cells have fewer than 100 lenses"
        outside = f"{one.n_outside} lenses outside the edges, {one.n_missing} without a value"
        console.print(f"{one.x.parameter.words} × {one.y.parameter.words}: {few}; {outside}", soft_wrap=True)
    for line in (*found.drivers.sentences(), *left_out(found)):
        console.print(line, markup=False, soft_wrap=True)
