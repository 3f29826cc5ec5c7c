"""Counts, learning rate, history and checkpoints, around the steps that Lightning runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch

from lensaudit.training.checkpoint import Checkpoint, optimizer_tensors
from lensaudit.training.history import write_history
from lensaudit.training.lightning_module import FinderModule
from lensaudit.training.progress import EpochRow, Progress
from lensaudit.training.schedule import DROPS, PLATEAU, has_ended, learning_rate, patience_of, plateaus

SECONDS_BETWEEN_CHECKPOINTS = 60.0

Report = Callable[[Progress, int], None]
"""Called after each step and each epoch with (where the training stands, steps per epoch)."""


class Bookkeeper(lightning.Callback):
    """Sets the rate of each step, counts it, and writes a checkpoint every minute and after every epoch.

    Parameters
    ----------
    steps
        Optimisation steps per epoch.
    checkpoint, history
        Files to write.
    identity
        Stored in the checkpoint, see `Checkpoint`.
    report
        Told of every step.
    """

    def __init__(
        self, steps: int, checkpoint: Path, history: Path, identity: dict[str, Any], report: Report | None
    ) -> None:
        self.steps, self.checkpoint, self.history = steps, checkpoint, history
        self.identity, self.report = identity, report
        self.every_seconds = SECONDS_BETWEEN_CHECKPOINTS
        self._last_look = self._last_checkpoint = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._last_look = self._last_checkpoint = time.monotonic()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self._rate(_ours(pl_module))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        module = _ours(pl_module)
        module.progress.batch += 1
        self._count_seconds(module.progress)
        due = time.monotonic() - self._last_checkpoint >= self.every_seconds
        if due and module.progress.batch < self.steps:  # the last step's state is stored with its epoch
            self._write(trainer, module)
        self._tell(module.progress)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        module = _ours(pl_module)
        progress = module.progress
        self._count_seconds(progress)
        progress.batch = self.steps - 1
        row = EpochRow(
            epoch=progress.epoch + 1,
            seconds=round(progress.seconds, 3),
            train_loss=progress.tally.mean_loss,
            train_accuracy=progress.tally.accuracy,
            validation_loss=module.validation.mean_loss,
            validation_accuracy=module.validation.accuracy,
            learning_rate=self._rate(module),
        )
        progress.finish_epoch(row, module.net.state_dict())
        self._write(trainer, module)
        write_history(self.history, progress.history)
        if has_ended(module.options.schedule, module.options.patience, progress.validation_losses):
            trainer.should_stop = True
        self._tell(progress)

    def _rate(self, module: FinderModule) -> float:
        options, progress = module.options, module.progress
        done = progress.epoch * self.steps + progress.batch
        wait = patience_of(options.schedule, options.patience)
        if options.schedule == PLATEAU and wait is not None:
            return float(options.learning_rate * 10.0 ** -min(plateaus(progress.validation_losses, wait), DROPS))
        return learning_rate(options.schedule, options.learning_rate, done, options.epochs * self.steps)

    def _count_seconds(self, progress: Progress) -> None:
        now = time.monotonic()
        progress.seconds += now - self._last_look
        self._last_look = now

    def _tell(self, progress: Progress) -> None:
        if self.report is not None:
            self.report(progress, self.steps)

    def _write(self, trainer: lightning.Trainer, module: FinderModule) -> None:
        weights: dict[str, torch.Tensor] = module.net.state_dict()
        moments = optimizer_tensors(trainer.optimizers[0])
        Checkpoint(self.identity, weights, moments, module.progress).write(self.checkpoint)
        self._last_checkpoint = time.monotonic()


def _ours(module: lightning.LightningModule) -> FinderModule:
    assert isinstance(module, FinderModule)
    return module
