"""Running the epochs: Lightning's trainer between a checkpoint and the last epoch."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from lensaudit.finders import Recipe, choose_device, fill_body, initialised_module, read_pretrained
from lensaudit.finders import running as layout
from lensaudit.training.augment import (
    AUGMENTATIONS,
    DROPS,
    FAULTY,
    PLATEAU,
    Draws,
    has_ended,
    learning_rate,
    patience_of,
    plateaus,
)
from lensaudit.training.batches import (
    Batch,
    Batches,
    Purpose,
    balanced,
    count_batches,
    epoch_size,
    shuffled,
    torch_seed,
)
from lensaudit.training.checkpoint import (
    Checkpoint,
    EpochRow,
    Progress,
    optimizer_state,
    optimizer_tensors,
    write_history,
)
from lensaudit.training.lightning_module import FinderModule, MaskSource, starting_weights, training_form
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.prepared import decoded, foldable
from lensaudit.training.sets import Split

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


_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
_FROZEN_BODY = r"Found \d+ module\(s\) in eval mode at the start of training"
_DEPRECATED_IN_TORCH = r"`isinstance\(treespec, LeafSpec\)` is deprecated"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's log lines, and two warnings: of its own calls of torch, and of a frozen body."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_DEPRECATED_IN_TORCH, module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=_FROZEN_BODY, module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class FinderData(lightning.LightningDataModule):
    """Training images in the order of the epoch that `progress` is in, validation images in the order of the set."""

    def __init__(
        self,
        split: Split,
        options: TrainingOptions,
        progress: Progress,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.training, self.validation = split.training, split.validation
        self.standard = split.standard(options.inputs)
        self.options, self.progress = options, progress
        self.laid_out = layout.channels_last if channels_last else torch.Tensor.contiguous

    def train_dataloader(self) -> Batches:
        """A fresh epoch; asked for again before each one."""
        prepared, rows = self.training
        seed, epoch = self.options.seed, self.progress.epoch
        if self.options.balanced_batches:
            order = balanced(rows, prepared.labels[rows], seed, epoch)
        else:
            order = shuffled(rows, seed, epoch)
        return Batches(prepared, order, self.options.batch_size, seed, epoch, first=self.progress.batch)

    def val_dataloader(self) -> Batches:
        """Every validation image once."""
        prepared, rows = self.validation
        return Batches(prepared, rows, self.options.batch_size)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode on the device, and augment while training: images (n, channels, size, size) and labels (n,)."""
        images = decoded(batch.codes, batch.scales)
        if self.standard is not None:
            images = self.standard.apply(images)
        training = self.trainer is not None and self.trainer.training
        if training or self.options.augment == FAULTY:  # that fault is in the set, before it is split
            augment = AUGMENTATIONS[self.options.augment]
            images = augment(images, Draws(batch.choices, batch.uniform, batch.is_lens), self.training[0].angles)
        return self.laid_out(images), batch.is_lens


@dataclass(frozen=True)
class Files:
    """Where a training keeps its state below the output folder."""

    out: Path

    @property
    def work(self) -> Path:
        """Folder of what only an unfinished training needs."""
        return self.out / "training"

    @property
    def checkpoint(self) -> Path:
        """State to go on from."""
        return self.work / "checkpoint.safetensors"

    @property
    def history(self) -> Path:
        """One line per epoch."""
        return self.out / "history.csv"

    @property
    def curves(self) -> Path:
        """The history drawn."""
        return self.out / "curves.png"


@dataclass(frozen=True)
class Fit:
    """A training ready to run.

    Attributes
    ----------
    identity
        What a checkpoint must share; see `Checkpoint`.
    found
        The checkpoint to go on from, or None.
    """

    recipe: Recipe
    options: TrainingOptions
    machine: Machine
    files: Files
    identity: dict[str, Any]
    found: Checkpoint | None

    def run(self, split: Split, report: Report | None = None) -> Progress:
        """Train until the last epoch; returns where it ended.

        Raises
        ------
        UsageError
            The loss is not a number.
        """
        module = self._module(split)
        if self.options.is_over(module.progress.epoch, module.progress.validation_losses):
            return module.progress
        self._fit(module, split, choose_device(self.machine.device), report)
        return module.progress

    def _fit(self, module: FinderModule, split: Split, device: torch.device, report: Report | None) -> None:
        channels_last = self.machine.channels_last is not False
        if channels_last:
            module.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.machine.compile:
            module.compile_net()
        data = FinderData(split, self.options, module.progress, channels_last)
        images = epoch_size(split.training_labels, self.options.balanced_batches)
        steps = count_batches(images, self.options.batch_size)
        keeper = Bookkeeper(steps, self.files.checkpoint, self.files.history, self.identity, report)
        with quiet_lightning():
            trainer = lightning.Trainer(
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=1,
                max_epochs=self.options.epochs - module.progress.epoch,
                reload_dataloaders_every_n_epochs=1,
                callbacks=[keeper],
                num_sanity_val_steps=0,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=self.files.work,
            )
            _fit_interruptibly(trainer, module, data)

    def _module(self, split: Split) -> FinderModule:
        recipe, options = self.recipe, self.options
        generator = torch.Generator().manual_seed(torch_seed(options.seed, Purpose.WEIGHTS))
        net = initialised_module(recipe, generator)
        if options.pretrained is not None:
            fill_body(net, read_pretrained(options.pretrained, recipe))
        if options.start is not None:
            net.load_state_dict(starting_weights(options.start, recipe))
        if options.dropout is not None:
            for layer in net.modules():
                if isinstance(layer, nn.Dropout | nn.Dropout2d):
                    layer.p = options.dropout
        if (standard := split.standard(options.inputs)) is not None:
            foldable(net)
            if options.start is not None:  # its weights are for plain images
                standard.unfold(net)
        progress = Progress() if self.found is None else self.found.progress
        masks = MaskSource(options.seed)
        weights = split.weights(options.class_weights)
        module = FinderModule(training_form(net, masks), masks, recipe, options, weights, progress)
        if self.found is not None:
            net.load_state_dict(self.found.module)
            count = len(list(net.parameters()))
            module.optimizer_state = optimizer_state(self.found.optimizer, options.learning_rate, count)
        return module.train()


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Let torch use so many CPU threads while the block runs; None for what is set."""
    before = torch.get_num_threads()
    try:
        if number is not None:
            torch.set_num_threads(number)
        yield
    finally:
        torch.set_num_threads(before)


def _fit_interruptibly(trainer: lightning.Trainer, module: FinderModule, data: FinderData) -> None:
    """Fit; Ctrl-C stays a KeyboardInterrupt, where Lightning would leave with exit code 1 and SIGINT ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data)
    except SystemExit as leaving:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from leaving
