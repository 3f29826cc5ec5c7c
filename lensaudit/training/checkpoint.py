"""Where a training stands, its state in one file, and its history: all that a resumed one must know."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lensaudit.display.colour import FAINT, SERIES
from lensaudit.display.figures import legend_below, new_figure, save_figure, styled
from lensaudit.documents import Json
from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_bytes, write_text
from lensaudit.untrusted import regular_size

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class EpochRow:
    """One line of ``history.csv``; accuracies at p = 0.5, training ones with dropout on, while the weights change."""

    epoch: int
    seconds: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float


@dataclass
class Tally:
    """Running sums over the images of an epoch."""

    loss: float = 0.0
    correct: float = 0
    images: int = 0

    def add(self, loss: float, images: int, correct: float = math.nan) -> None:
        """Add images: sum of their losses, their number, how many were called right (NaN: nothing is called)."""
        self.loss += loss
        self.images += images
        self.correct += correct

    def include(self, other: Tally) -> None:
        """Add the images of another tally."""
        self.add(other.loss, other.images, other.correct)

    @property
    def mean_loss(self) -> float:
        """Loss per image; NaN without images."""
        return self.loss / self.images if self.images else math.nan

    @property
    def accuracy(self) -> float:
        """Fraction of images called right; NaN without images."""
        return self.correct / self.images if self.images else math.nan


@dataclass
class Progress:
    """The state of a training.

    Attributes
    ----------
    epoch, batch
        Epochs finished, and batches finished of the next one.
    seconds
        Time spent on the current epoch so far.
    tally
        Sums over the current epoch's training images.
    history
        One row per finished epoch.
    best_weights
        State dict after the epoch with the lowest validation loss; empty before the first.
    """

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    history: list[EpochRow] = field(default_factory=list)
    best_weights: Tensors = field(default_factory=dict)

    @property
    def best(self) -> EpochRow:
        """The epoch with the lowest validation loss, the earliest if several."""
        return min(self.history, key=lambda row: row.validation_loss)

    @property
    def validation_losses(self) -> list[float]:
        """Of the epochs so far."""
        return [row.validation_loss for row in self.history]

    def finish_epoch(self, row: EpochRow, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Record an epoch; keep a copy of `weights`, if given, where its validation loss is the lowest so far."""
        self.history.append(row)
        self.epoch, self.batch, self.seconds, self.tally = row.epoch, 0, 0.0, Tally()
        if weights is not None and self.best is row:
            self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

    def as_json(self) -> Json:
        """Everything but the weights."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "tally": asdict(self.tally),
            "history": [asdict(row) for row in self.history],
        }

    @classmethod
    def from_json(cls, words: Mapping[str, Any], best_weights: Tensors) -> Progress:
        """The inverse of `as_json`."""
        return cls(
            epoch=words["epoch"],
            batch=words["batch"],
            seconds=words["seconds"],
            tally=Tally(**words["tally"]),
            history=[EpochRow(**row) for row in words["history"]],
            best_weights=best_weights,
        )


_PARTS = ("module", "optimizer", "best")
_STAGE_PART = "net"
"""Where the autoencoders of version 0.1 kept their weights."""


def _of_stage(counts: str) -> Json:
    """Counts of an autoencoder of version 0.1, which had two losses per epoch and no times, as `Progress.as_json`."""
    words = json.loads(counts)
    rows = [
        EpochRow(epoch, 0.0, train, math.nan, validation, math.nan, math.nan)
        for epoch, (train, validation) in enumerate(words["history"], start=1)
    ]
    tally = Tally(words["loss"], math.nan if words["images"] else 0, words["images"])
    return {**asdict(Progress(words["epoch"], words["batch"], 0.0, tally, rows))}


@dataclass(frozen=True)
class Checkpoint:
    """What is stored.

    Attributes
    ----------
    identity
        Recipe, data and options that a training must share to go on from here.
    module
        State dict now.
    optimizer
        The optimizer's per-parameter tensors, keyed ``<parameter index>.<name>``.
    progress
        Counters, history and the best weights.
    """

    identity: Json
    module: Tensors
    optimizer: Tensors
    progress: Progress

    def write(self, path: Path) -> None:
        """Write to `path`, atomically."""
        parts = dict(zip(_PARTS, (self.module, self.optimizer, self.progress.best_weights), strict=True))
        tensors = {
            f"{part}/{name}": tensor.detach().cpu().contiguous()
            for part, group in parts.items()
            for name, tensor in group.items()
        }
        words = {"identity": json.dumps(self.identity), "progress": json.dumps(self.progress.as_json())}
        write_bytes(path, save(tensors, words))

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read `path`.

        Raises
        ------
        DataError
            It is torn or no checkpoint.
        """
        try:
            with safe_open(path, framework="pt") as stored:
                words = stored.metadata() or {}
                identity = json.loads(words["identity"])
                progress = json.loads(words["progress"]) if "progress" in words else _of_stage(words["counts"])
                parts: dict[str, Tensors] = {part: {} for part in (*_PARTS, _STAGE_PART)}
                for key in stored.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    part, _, name = key.partition("/")
                    parts[part][name] = stored.get_tensor(key)
            module = parts["module"] | parts[_STAGE_PART]
            _refuse_gaps(parts["optimizer"])
            return cls(identity, module, parts["optimizer"], Progress.from_json(progress, parts["best"]))
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as broken:
            raise DataError(f"{path}: is torn or no checkpoint; start anew with --restart") from broken

    def refuse_other(self, path: Path, wanted: Json, what: str = "training") -> None:
        """Raise UsageError naming what differs between this training (or other `what`) and the requested one."""
        keys = sorted(self.identity.keys() | wanted.keys())
        differing = [key for key in keys if self.identity.get(key) != wanted.get(key)]
        if differing:
            shown = "; ".join(
                f"{key} was {_brief(self.identity.get(key))}, you ask for {_brief(wanted.get(key))}"
                for key in differing[:3]
            )
            raise UsageError(
                f"{path.parent.parent}: holds another {what} ({shown}); choose another --out or add --restart"
            )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's moments and step counts, flat."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, entry in state.items() for name, tensor in entry.items()}


def _refuse_gaps(flat: Tensors) -> None:
    """ValueError where not every weight has the same moments: the optimizer would miss one at its first step."""
    moments: dict[int, set[str]] = {}
    for key in flat:
        index, _, name = key.partition(".")
        moments.setdefault(int(index), set()).add(name)
    if len({frozenset(names) for names in moments.values()}) > 1:
        raise ValueError("moments are missing")


def load_optimizer(optimizer: torch.optim.Optimizer, flat: Tensors) -> None:
    """Give a fresh `optimizer` the tensors that `optimizer_tensors` took; its settings stay."""
    state: dict[int, Tensors] = {}
    for key, tensor in flat.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    if state:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


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


FLAT = 0.01
"""A validation curve is flat where the last third of the epochs lowered its lowest loss by less than this fraction."""
FEWEST_EPOCHS = 6


def late_fall(losses: Sequence[float]) -> float | None:
    """Fraction by which the last third of the epochs lowered the lowest validation loss; None of fewer than six epochs.

    Examples
    --------
    >>> late_fall([0.7, 0.6, 0.55, 0.5, 0.45, 0.48])
    0.1
    >>> late_fall([0.7, 0.6, 0.5, 0.5, 0.5, 0.6])
    0.0
    """
    if len(losses) < FEWEST_EPOCHS:
        return None
    first = len(losses) - len(losses) // 3
    before, after = min(losses[:first]), min(losses[first:])
    return max(0.0, round((before - after) / before, 6))


def curve_in_words(epochs: int, fall: float | None) -> str:
    """Whether a validation curve of so many epochs with this `late_fall` is flat, in one sentence.

    Flat is flat for this seed and schedule: the shipped ``petrillo``, which is, has an AUROC of .637 where another seed
    has .723 (docs/deeplens.md).
    """
    if fall is None:
        return f"Fewer than {FEWEST_EPOCHS} epochs: too few to say whether the validation curve is flat."
    numbers = f"the last {epochs // 3} epochs lowered the lowest validation loss by {100 * fall:.1f} %"
    if fall < FLAT:
        return f"The validation curve is flat: {numbers}; another seed or schedule may still end lower."
    return f"The validation curve still falls: {numbers}; flat is less than {100 * FLAT:g} %."


@styled
def plot_history(path: Path, rows: Sequence[EpochRow], title: str) -> None:
    """Draw loss and accuracy against epoch as PNG, with the epoch of the lowest validation loss marked."""
    figure = new_figure(9, 3.6)
    epochs = [row.epoch for row in rows]
    best = min(rows, key=lambda row: row.validation_loss)
    marker = "o" if len(rows) == 1 else None
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, colour in (("train", SERIES[0]), ("validation", SERIES[1])):
            values = [getattr(row, f"{part}_{quantity}") for row in rows]
            axes.plot(epochs, values, color=colour, marker=marker, label="training" if part == "train" else part)
        axes.axvline(best.epoch, color=FAINT, linewidth=1, linestyle="--", label=f"weights kept: epoch {best.epoch}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("weighted cross-entropy per image" if quantity == "loss" else "accuracy at p = 0.5")
    legend_below(figure, figure.axes[0])
    figure.suptitle(title)
    save_figure(path, figure)
