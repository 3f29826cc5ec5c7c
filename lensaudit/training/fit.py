"""Running the epochs: Lightning's trainer between a checkpoint and the last epoch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from lensaudit.finders import Recipe, choose_device, fill_body, initialised_module, read_pretrained
from lensaudit.training.batches import count_batches, epoch_size
from lensaudit.training.bookkeeper import Bookkeeper, Report
from lensaudit.training.checkpoint import Checkpoint, optimizer_state
from lensaudit.training.data_module import FinderData
from lensaudit.training.lightning_module import FinderModule
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.progress import Progress
from lensaudit.training.quiet import quiet_lightning
from lensaudit.training.random_streams import Purpose, torch_seed
from lensaudit.training.sets import Split
from lensaudit.training.standardise import foldable
from lensaudit.training.start import starting_weights
from lensaudit.training.training_form import MaskSource, training_form


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
