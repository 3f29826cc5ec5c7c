"""What a clustering leaves on disk beside its finders and its page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lensaudit.clustering.network import History
from lensaudit.clustering.page import LENS_RICH, Cluster
from lensaudit.display.colour import SERIES
from lensaudit.display.figures import legend_below, new_figure, save_figure, styled
from lensaudit.display.markdown import table as markdown_table
from lensaudit.files import replacing, write_text
from lensaudit.finders import Finder
from lensaudit.training.finish import METRIC_ROWS, metric_words
from lensaudit.untrusted import in_code, in_markdown

_UNITS = {
    "id": "",
    "label": "1 lens, 0 non-lens, -1 unknown",
    "cluster": "most likely cluster",
    "responsibility": "posterior probability of that cluster",
}


def write_members(path: Path, ids: Sequence[str], labels: NDArray[np.int8], posterior: NDArray[np.float64]) -> None:
    """Write one row per clustered image as Parquet: id, label, most likely cluster and its responsibility."""
    columns = {
        "id": pa.array(list(ids)),
        "label": pa.array(labels.astype(np.int8)),
        "cluster": pa.array(posterior.argmax(axis=1).astype(np.int32)),
        "responsibility": pa.array(posterior.max(axis=1)),
    }
    fields = [pa.field(name, array.type, metadata={"unit": _UNITS[name]}) for name, array in columns.items()]
    with replacing(path) as partial:
        pq.write_table(pa.table(list(columns.values()), schema=pa.schema(fields)), partial)


def write_history(path: Path, history: History) -> None:
    """Write one line per epoch of each stage as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["stage", "epoch", "train_cross_entropy", "validation_cross_entropy"])
    for stage, rows in history.items():
        for epoch, (train, validation) in enumerate(rows, start=1):
            table.writerow([stage, epoch, f"{train:.7g}", f"{validation:.7g}"])
    write_text(path, text.getvalue())


@styled
def plot_curves(path: Path, history: History, title: str) -> None:
    """Draw the reconstruction error of both stages against epoch as PNG."""
    figure = new_figure(9, 3.6)
    for axes, (stage, rows) in zip(figure.subplots(1, 2), history.items(), strict=True):
        epochs = range(1, len(rows) + 1)
        for column, (part, colour) in enumerate((("training", SERIES[0]), ("validation", SERIES[1]))):
            axes.plot(epochs, [row[column] for row in rows], color=colour, marker="o", markersize=3, label=part)
        axes.set(title=stage, xlabel="epoch", ylabel="cross-entropy per pixel / nat")
        axes.xaxis.get_major_locator().set_params(integer=True)
    legend_below(figure, figure.axes[0])
    figure.suptitle(title)
    save_figure(path, figure)


def clustering_card(finder: Finder, clusters: Sequence[Cluster], facts: Mapping[str, Any]) -> str:
    """Markdown of the card.

    Parameters
    ----------
    finder
        With its mixture.
    clusters
        Of the images it was made from.
    facts
        ``origin``, ``training_data``, ``metrics`` and ``provenance``, as `save_finder` takes them.
    """
    sections = {
        f"# {finder.name}": [f"{in_markdown(facts['origin'])}."],
        "## What it takes and gives": _declaration(finder),
        "## Training": _training(facts["training_data"], facts["metrics"]),
        "## Clusters": _clusters(clusters),
        "## Measured": _measurements(facts["metrics"]),
        "## Limits": _limits(finder, facts["metrics"]),
        "## Made by": [f"`{in_code(facts['provenance']['command'])}`, lensaudit {facts['provenance']['lensaudit']}."],
    }
    return "\n\n".join(f"{title}\n\n" + "\n".join(lines) for title, lines in sections.items()) + "\n"


def _declaration(finder: Finder) -> list[str]:
    recipe = finder.recipe
    options = recipe.architecture_options
    by = "a person's marks" if options.get("marked") else "the known lens fractions"
    return [
        f"* Architecture `{recipe.architecture}`, {finder.parameters} parameters and {options.get('embedding', 24)} "
        f"clusters of as many features; {options.get('filters', 128)} filters in its first layer (the paper: 128).",
        f"* Bands in this order: {', '.join(recipe.bands)}; {recipe.size}×{recipe.size} pixels over "
        f"{recipe.field_of_view_arcsec:g}″; stretch `{recipe.stretch}`.",
        f"* p is the mean of {by} of the clusters, weighted by their responsibilities.",
        *(["* Embedding averaged over the 8 rotations and mirrors of the image."] if options.get("pose_free") else []),
        f"* Called a lens from p = {recipe.threshold:g}.",
        f"* Weights SHA-256 `{finder.weights_hash}`.",
    ]


def _training(data: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    if not data:
        return ["* Clusters of another finder."]
    options = data["options"]
    labelled = f"{data['n_lenses']} lenses and {data['n_non_lenses']} non-lenses with a label"
    mixture = metrics["mixture"]
    ended = "converged" if mixture["converged"] else "not converged"
    return [
        f"* Set `{data['set'][:16]}`, instrument `{in_code(data['instrument'])}`: {data['n_images']} images, "
        f"{labelled}, which gave the clusters their known fractions and nothing else.",
        f"* Denoiser {options['denoiser_epochs']} epochs, extractor {options['epochs']} epochs on the denoised images; "
        f"Adam at {options['learning_rate']:g}, batches of {options['batch_size']}, cross-entropy per pixel, "
        f"augmentation `{options['augment']}`, steps in `{options['precision']}`, seed {options['seed']}.",
        f"* Cross-entropy per pixel of {data['n_validation']} images kept aside, after the last epoch: "
        + ", ".join(f"{stage} {value:.5f}" for stage, value in metrics["validation_cross_entropy"].items())
        + ". `history.csv` has every epoch.",
        f"* Mixture: {mixture['iterations']} iterations, {ended}.",
        "",
        "![Reconstruction error against epoch](curves.png)",
    ]


def _clusters(clusters: Sequence[Cluster]) -> list[str]:
    rows = []
    for one in clusters:
        mark = "–" if one.mark is None else f"{one.mark:g}"
        rows.append((str(one.number), f"{one.n}{' (empty)' if one.is_empty else ''}", str(one.lenses), mark))
    return [markdown_table(("cluster", "n", "lens fraction", "mark"), rows), "", "95 % intervals by Wilson."]


def _measurements(metrics: Mapping[str, Any]) -> list[str]:
    columns = measured_columns(metrics.get("test") or {})
    if not columns:
        return ["No test set was measured."]
    titles = [f"{title}, {one['n_lenses']} + {one['n_non_lenses']}" for title, one in columns.items()]
    rows = [(label, *(metric_words(one[name]) for one in columns.values())) for name, label in METRIC_ROWS.items()]
    rich = metrics["test"]["lenses_in_rich_clusters"]
    fraction = metric_words({**rich, "status": "no lenses"})
    return [
        markdown_table(("", *titles), rows),
        "",
        "Lenses + non-lenses of the test set in the head; 95 % intervals.",
        f"Lenses in clusters of a lens fraction of at least {LENS_RICH:g}: {fraction}, n = {rich['n']}.",
    ]


def measured_columns(test: Mapping[str, Any]) -> dict[str, Any]:
    """Title → metrics of each way the test set was measured."""
    named = {"known": "known fractions", "marks": "marks"}
    columns = {}
    for name, title in named.items():
        if name in test:
            columns[title] = test[name]["all"]
            if "cut" in test[name]:
                columns[f"{title}, cut"] = test[name]["cut"]
    return columns


def _limits(finder: Finder, metrics: Mapping[str, Any]) -> list[str]:
    lines = [
        "* It was trained without labels: its clusters are what differs most between the images, which need not be "
        "lensing. Run `lensaudit probe` and `lensaudit report` on it before using its scores for science.",
        "* Scores are not calibrated probabilities of being a lens in the sky, where lenses are rare.",
    ]
    if not finder.recipe.architecture_options.get("pose_free"):
        lines.append("* A turned image may be in another cluster; see the orientation splitting.")
    return lines
