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
from lensaudit.figures import save_figure
from lensaudit.files import replacing, write_text

_UNITS = {
    "id": "",
    "label": "1 lens, 0 non-lens, -1 unknown",
    "cluster": "most likely cluster",
    "responsibility": "posterior probability of that cluster",
}


def write_members(path: Path, ids: Sequence[str], labels: NDArray[np.int8], shares: NDArray[np.float64]) -> None:
    """Write one row per clustered image as Parquet: id, label, most likely cluster and its responsibility."""
    columns = {
        "id": pa.array(list(ids)),
        "label": pa.array(labels.astype(np.int8)),
        "cluster": pa.array(shares.argmax(axis=1).astype(np.int32)),
        "responsibility": pa.array(shares.max(axis=1)),
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


def plot_curves(path: Path, history: History, title: str) -> None:
    """Draw the reconstruction error of both stages against epoch as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (stage, rows) in zip(figure.subplots(1, 2), history.items(), strict=True):
        epochs = range(1, len(rows) + 1)
        for column, (part, colour) in enumerate((("training", "#4477aa"), ("validation", "#ee6677"))):
            axes.plot(epochs, [row[column] for row in rows], color=colour, marker="o", markersize=3, label=part)
        axes.set(title=stage, xlabel="epoch", ylabel="cross-entropy per pixel / nat")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(title)
    save_figure(path, figure, dpi=130)


def plot_sweep(path: Path, record: Mapping[str, Any]) -> None:
    """Draw AUROC against embedding size as PNG: mean of the reruns, and a band from the lowest to the highest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    sizes = [row["embedding"] for row in record["sizes"]]
    values = [row["auroc"] for row in record["sizes"]]
    means, lows, highs = ([part(row) for row in values] for part in (np.mean, min, max))
    axes.fill_between(sizes, lows, highs, color="#4477aa", alpha=0.25, linewidth=0, label="lowest to highest rerun")
    axes.plot(sizes, means, color="#4477aa", marker="o", label=f"mean of {record['reruns']} reruns")
    axes.axhline(0.5, color="0.5", linewidth=1, linestyle="--", label="chance")
    axes.set(
        xlabel="features of the embedding = clusters",
        ylabel="AUROC",
        title=f"{record['n']} {record['measured_on']} images, trained on {record['n_training']}, {record['stretch']}",
        xticks=sizes,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save_figure(path, figure, dpi=130)
