"""``lensaudit evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lensaudit.cli.pixels import RESAMPLE, bands_left_out, warn_of_pixels

if TYPE_CHECKING:
    from lensaudit.evaluation import Evaluation, Metric
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import LensSet


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(evaluate)


def evaluate(
    finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
    lens_set: Path = typer.Argument(metavar="SET", help="Lens set with labels; unlabelled images are left out."),
    scores: Path | None = typer.Option(None, metavar="FILE", help="Scores from lensaudit score, to save scoring."),
    threshold: float | None = typer.Option(None, min=0, max=1, help="p from which it is a lens; default the finder's."),
    beta: float = typer.Option(0.03, min=0, help="β of Fβ; 0.03 in Wilde et al. 2022."),
    seed: int = typer.Option(1, min=0, help="Of the bootstrap."),
    out: Path | None = typer.Option(None, metavar="DIR", help="Folder for evaluation.json and evaluation.png."),
    field_of_view: float | None = typer.Option(
        None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
    ),
    resample: bool = RESAMPLE,
    refit: bool = typer.Option(False, help="Take the stretch's figures from this set: its unit is another."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    as_json: bool = typer.Option(False, "--json", help="Print the evaluation as JSON."),
) -> None:
    """Measure a finder on a labelled set: each number with its 95 % interval."""
    from lensaudit.cli.set_scores import scores_of
    from lensaudit.evaluation import evaluate as measure
    from lensaudit.files import writable_folder
    from lensaudit.finders import load_finder, pixel_record, refitted
    from lensaudit.lensset import LensSet
    from lensaudit.provenance import refuse_other

    opened = LensSet.open(lens_set)
    loaded = load_finder(finder, device).for_field(field_of_view, resample)
    if refit:
        loaded = refitted(loaded, opened)
    loaded.check(opened)
    warn_of_pixels(loaded, opened)
    if out is not None:
        writable_folder(out)
        inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
        refuse_other(out / "evaluation.json", inputs, "evaluation")
    found = scores_of(loaded, opened, scores)
    labels = opened.labels
    cut = loaded.recipe.threshold if threshold is None else threshold
    result = measure(labels, found.p_lens, found.logit, threshold=cut, beta=beta, seed=seed)
    record = _record(result, loaded, opened, seed)
    record["pixels"] = pixel_record(loaded, opened, found.clipping)
    if out is not None:
        _write(out, record, result, labels, found)
    if as_json:
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False))
        return
    _show(result, loaded.name, f"{lens_set}{bands_left_out(loaded, opened)}")
    if out is not None:
        typer.echo(f"{out}: evaluation.json, evaluation.png")


def _record(result: Evaluation, finder: Finder, lens_set: LensSet, seed: int) -> dict[str, Any]:
    from lensaudit.provenance import provenance

    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return {
        "finder": finder.name,
        "recipe": finder.recipe.model_dump(mode="json"),
        "set": str(lens_set.path),
        **result.as_json(),
        "provenance": provenance(seed=seed, inputs=inputs),
    }


def _write(out: Path, record: dict[str, Any], result: Evaluation, labels: Any, scores: Scores) -> None:
    from lensaudit.evaluation.plot import plot_evaluation
    from lensaudit.files import write_json

    title = f"{record['finder']} on {record['set']}: {result.n_lenses} lenses, {result.n_others} non-lenses"
    plot_evaluation(out / "evaluation.png", result, labels, scores.p_lens, title)
    write_json(out / "evaluation.json", record)


def _show(result: Evaluation, name: str, where: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    counted = f"{result.n_lenses} lenses, {result.n_others} non-lenses"
    left_out = {"unlabelled": result.n_unlabelled, "not scored": result.n_unscored}
    counted += "".join(f", {count} {why} left out" for why, count in left_out.items() if count)
    table = Table(title=f"{name} on {where}: {counted}", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("metric", "value", "95 % interval", "n", "interval by"):
        table.add_column(column, justify="right" if column in {"value", "n"} else "left")
    for metric in result.metrics:
        table.add_row(*_row(metric, result))
    Console().print(table)


def _row(metric: Metric, result: Evaluation) -> tuple[str, ...]:
    labels = {
        "accuracy": f"accuracy at p ≥ {result.threshold:g}",
        "precision": "precision (in this set)",
        "fbeta": f"Fβ, β = {result.beta:g}",
        "auroc": "AUROC",
        "tpr0": "TPR0",
        "tpr10": "TPR10",
        "tpr_at_fpr": f"TPR at FPR {100 * result.fpr:g} %",
    }
    words = metric.as_json()
    value = "–" if words["value"] is None else f"{metric.value:.4f}"
    interval = "–" if words["low"] is None else f"{metric.low:.4f} … {metric.high:.4f}"
    return labels.get(metric.name, metric.name), value, interval, str(metric.n), metric.status or metric.method
