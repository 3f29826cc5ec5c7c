"""``lensaudit evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.evaluation import Evaluation, Metric
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import LensSet


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit evaluate ou66 runs/test",
            "lensaudit evaluate ou66 runs/test --scores runs/scores.parquet --out runs/eval",
        )
    )(evaluate)


def evaluate(
    finder: opt.Finder,
    lens_set: opt.LabelledSet,
    scores: opt.Scores = None,
    threshold: opt.Threshold = None,
    beta: Annotated[float, typer.Option("--beta", min=0, help="β of Fβ; 0.03 in Wilde et al. 2022.")] = 0.03,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for evaluation.json and evaluation.png.")
    ] = None,
    force: opt.Force = False,
    seed: opt.Seed = 1,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Measure a finder on a labelled set: each number with its 95 % interval."""
    from lensaudit.cli.opening import bands_left_out, open_both, scores_of
    from lensaudit.evaluation import evaluate as measure
    from lensaudit.files import writable_folder
    from lensaudit.finders import pixel_record
    from lensaudit.provenance import refuse_other

    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))
    cut = loaded.recipe.threshold if threshold is None else threshold
    if out is not None:
        writable_folder(out)
        inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
        if not force:
            refuse_other(out / "evaluation.json", inputs, "evaluation", "or --force to replace it")
    found = scores_of(loaded, opened, scores, batch)
    labels = opened.labels
    result = measure(labels, found.p_lens, found.logit, threshold=cut, beta=beta, seed=seed)
    record = _record(result, loaded, opened, seed)
    record["pixels"] = pixel_record(loaded, opened, found.clipping)
    if out is not None:
        _write(out, record, result, labels, found)
    if as_json:
        say_json(record)
        return
    _show(result, loaded.name, f"{lens_set}{bands_left_out(loaded, opened)}")
    if out is not None:
        say(f"{out}: evaluation.json, evaluation.png")


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
    counted = f"{result.n_lenses} lenses, {result.n_others} non-lenses"
    left_out = {"unlabelled": result.n_unlabelled, "not scored": result.n_unscored}
    counted += "".join(f", {count} {why} left out" for why, count in left_out.items() if count)
    say(f"{name} on {where}: {counted}")
    say_table(
        ("metric", "value", "95 % interval", "n", "interval by"), [_row(metric, result) for metric in result.metrics]
    )


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
