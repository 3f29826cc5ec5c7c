"""Where a training stands: all that a resumed one must know besides weights and optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

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
    correct: int = 0
    images: int = 0

    def add(self, losses: torch.Tensor, correct: torch.Tensor) -> None:
        """Add one batch: loss (n,) and whether the call was right (n,)."""
        self.loss += float(losses.sum())
        self.correct += int(correct.sum())
        self.images += len(losses)

    @property
    def mean_loss(self) -> float:
        """Loss per image."""
        return self.loss / self.images

    @property
    def accuracy(self) -> float:
        """Share of images called right."""
        return self.correct / self.images


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

    def finish_epoch(self, row: EpochRow, weights: Mapping[str, torch.Tensor]) -> bool:
        """Record an epoch; keep a copy of `weights` if its validation loss is the lowest so far, and say whether."""
        self.history.append(row)
        self.epoch, self.batch, self.seconds, self.tally = row.epoch, 0, 0.0, Tally()
        improved = self.best is row
        if improved:
            self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        return improved

    def as_json(self) -> dict[str, Any]:
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
