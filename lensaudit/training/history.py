"""The history of a training on disk: ``history.csv`` and ``curves.png``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from lensaudit.errors import DataError, UsageError
from lensaudit.figures import save_figure
from lensaudit.files import write_text
from lensaudit.training.progress import EpochRow
from lensaudit.untrusted import regular_size

_COLUMNS = tuple(field.name for field in fields(EpochRow))


def write_history(path: Path, rows: Sequence[EpochRow]) -> None:
    """Write one line per epoch as CSV, whole or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: f"{value:.7g}" for name, value in asdict(row).items()})
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[EpochRow]:
    """Read what `write_history` wrote.

    Raises
    ------
    DataError
        The file is missing, or a line of it is not a history's.
    """
    try:
        regular_size(Path(path))
        with open(path, encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
        return [
            EpochRow(epoch=int(line["epoch"]), **{name: float(line[name]) for name in _COLUMNS if name != "epoch"})
            for line in lines
        ]
    except (UsageError, OSError, KeyError, TypeError, ValueError, csv.Error) as broken:
        raise DataError(f"{path}: is no training history ({type(broken).__name__}); train again") from broken


def plot_history(path: Path, rows: Sequence[EpochRow], title: str) -> None:
    """Draw loss and accuracy against epoch as PNG, with the epoch of the lowest validation loss marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row.epoch for row in rows]
    best = min(rows, key=lambda row: row.validation_loss)
    marker = "o" if len(rows) == 1 else None
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, colour in (("train", "#4477aa"), ("validation", "#ee6677")):
            values = [getattr(row, f"{part}_{quantity}") for row in rows]
            axes.plot(epochs, values, color=colour, marker=marker, label="training" if part == "train" else part)
        axes.axvline(best.epoch, color="0.4", linewidth=1, linestyle="--", label=f"weights kept: epoch {best.epoch}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("weighted cross-entropy per image" if quantity == "loss" else "accuracy at p = 0.5")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(title)
    save_figure(path, figure, dpi=130)
