"""The model card of a finder trained here: data, protocol, measurements with intervals, limits; all from facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lensaudit.finders import Finder
from lensaudit.finders.units import unit_clause
from lensaudit.training.augment import FAULTY
from lensaudit.untrusted import in_code, in_markdown

METRIC_ROWS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "fbeta": "Fβ",
    "auroc": "AUROC",
    "tpr0": "TPR0",
    "tpr10": "TPR10",
    "tpr_at_fpr": "TPR at FPR 1 %",
}
"""Rows of the table of every card: name of the metric in the record, and its words."""


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
        f"{recipe.field_of_view_arcsec:g}″; stretch `{recipe.stretch}`"
        f"{unit_clause(recipe.stretch, recipe.bands, recipe.pixel_unit)}.",
        *[f"* Reads `{column}` of the catalogue beside the pixels." for column in finder.extra_columns],
        *(["* Logits averaged over the 8 rotations and mirrors of the image."] if recipe.symmetrise else []),
        f"* Called a lens from p = {recipe.threshold:g}.",
        f"* Weights SHA-256 `{finder.weights_hash}`.",
    ]


def _training(finder: Finder, data: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    protocol = finder.recipe.training
    drawn = f", population `{in_code(data['population'])}`" if data["population"] else ""
    chosen = "a set of its own" if data["validation_set"] else "a share of the same set, classes split alike"
    left_out = data["n_unlabelled_left_out"]
    return [
        f"* Set `{data['set'][:16]}`, instrument `{in_code(data['instrument'])}`{drawn}: {data['n_training']} images "
        f"to train on, {100 * data['training_lens_fraction']:.1f} % of them lenses"
        + (f"; {left_out} without a label left out." if left_out else "."),
        f"* {data['n_validation']} validation images ({chosen}); {data['n_test']} test images.",
        f"* Adam at {protocol.learning_rate:g}, schedule `{data['schedule']}`, batches of {protocol.batch_size}, "
        f"cross-entropy with class weights `{protocol.class_weights}`, augmentation `{data['augmentation']}`, "
        f"inputs `{data['inputs']}`, "
        + ("" if data.get("precision", "full") == "full" else f"steps in `{data['precision']}`, ")
        + ("" if data.get("dropout") is None else f"dropout {data['dropout']:g}, ")
        + _start(data)
        + f", seed {data['seed']}.",
        *([f"* Body {data['body']}."] if "body" in data else []),
        f"* {metrics['epochs']} epochs; the weights of epoch {metrics['best_epoch']} had the lowest validation loss, "
        f"{metrics['validation_loss']:.4f}, and are kept. `history.csv` has every epoch.",
        "",
        "![Loss and accuracy against epoch](curves.png)",
    ]


def _start(data: Mapping[str, Any]) -> str:
    if data["start"] is None:
        return "He-normal start"
    channels = f"channels {', '.join(data['start_bands'])}" if "start_bands" in data else "weights"
    return f"begun from the {channels} of `{data['start']}`"


def _measurements(metrics: Mapping[str, Any]) -> list[str]:
    parts = [part for part in ("validation", "test") if part in metrics]
    titles = [f"{part}, {metrics[part]['n_lenses']} + {metrics[part]['n_non_lenses']}" for part in parts]
    lines = [f"| | {' | '.join(titles)} |", "| --- |" + " --- |" * len(parts)]
    for name, label in METRIC_ROWS.items():
        lines.append(f"| {label} | {' | '.join(metric_words(metrics[part][name]) for part in parts)} |")
    beta, threshold = metrics["validation"]["beta"], metrics["validation"]["threshold"]
    return [
        *lines,
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
