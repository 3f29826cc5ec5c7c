"""A finder's training as the loop runs it: its images, its loss, its learning rate, and where its state lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensaudit.finders import Recipe, choose_device, fill_body, initialised_module, read_pretrained
from lensaudit.finders import running as layout
from lensaudit.finders.finder import lens_logit
from lensaudit.training.augment import (
    AUGMENTATIONS,
    DROPS,
    FAULTY,
    PLATEAU,
    Draws,
    learning_rate,
    patience_of,
    plateaus,
    weighted_losses,
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
from lensaudit.training.checkpoint import Checkpoint, Progress, Tally, write_history
from lensaudit.training.group import BatchPart, together
from lensaudit.training.loop import Keep, Report, Task, run_in
from lensaudit.training.network import MaskSource, piece_size, starting_weights, training_form
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.prepared import decoded, foldable
from lensaudit.training.sets import Split

ImagesAndLabels = tuple[torch.Tensor, torch.Tensor]
"""Prepared images (n, channels, size, size) and 0.0 or 1.0 (n,), on the device."""


class FinderTask(Task[ImagesAndLabels]):
    """Adam on the class-weighted cross-entropy of a finder's logit.

    Parameters
    ----------
    net
        The finder's module; it is changed into its training form, whose dropout is fed by `masks`.
    """

    keeps_best = True

    def __init__(
        self, net: nn.Module, recipe: Recipe, options: TrainingOptions, machine: Machine, split: Split
    ) -> None:
        self.recipe, self.options, self.split = recipe, options, split
        self.device = choose_device(machine.device)
        layout.tell_of_imitation(options.precision, self.device)
        self.masks = MaskSource(options.seed)
        channels_last = machine.channels_last is not False
        memory_format = torch.channels_last if channels_last else torch.preserve_format
        self.net = training_form(net, self.masks).to(self.device, memory_format=memory_format)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=options.learning_rate)
        self.epochs = options.epochs
        self.steps = count_batches(epoch_size(split.training_labels, options.balanced_batches), options.batch_size)
        self.remedy = f"give a learning rate below --lr {options.learning_rate:g}, and --restart"
        self._laid_out = layout.channels_last if channels_last else torch.Tensor.contiguous
        self._normalises = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in net.modules())
        self._weights, self._standard = split.weights(options.class_weights), split.standard(options.inputs)
        # Full pieces run compiled; a short last piece as it is, as it would be compiled anew.
        self._compiled: Any = torch.compile(self.net) if machine.compile else self.net

    def batches(self, epoch: int, first: int) -> Iterator[tuple[ImagesAndLabels, BatchPart]]:
        """Training images in the order of the epoch, augmented."""
        prepared, rows = self.split.training
        size, seed = self.options.batch_size, self.options.seed
        if self.options.balanced_batches:
            order = balanced(rows, prepared.labels[rows], seed, epoch)
        else:
            order = shuffled(rows, seed, epoch)
        batches = Batches(prepared, order, size, seed, epoch, first, self.group)
        for number, batch in enumerate(batches, start=first):
            self.masks.start(epoch, number)
            yield self._on_device(batch, self.options.augment), batch.part

    def validation(self) -> Iterator[tuple[ImagesAndLabels, BatchPart]]:
        """Every validation image once; the fault of `FAULTY` is in the set before it is split, so in these too."""
        prepared, rows = self.split.validation
        for batch in Batches(prepared, rows, self.options.batch_size, group=self.group):
            yield self._on_device(batch, FAULTY if self.options.augment == FAULTY else "none"), batch.part

    def losses(self, batch: ImagesAndLabels, part: BatchPart, tally: Tally) -> Iterator[torch.Tensor]:
        """Loss of each piece over the number of images.

        On a CPU the gradient is summed over pieces whose activations stay near the caches: a fifth quicker than the
        whole batch at once, in a tenth of the memory.
        """
        images, is_lens = batch
        full, bf16 = self._full_piece(), self.net.training and self.options.precision == "bf16"
        for first in range(0, part.images, full):
            last = min(first + full, part.images)
            piece = part.of(first, last)
            if piece.start == piece.stop:  # all of it is another process's
                if self.net.training and part.rows.start >= last:
                    self.masks.skip(last - first, self.net, images)
                continue
            self.masks.place(part.rows.start + piece.start - first, last - first)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                logit = self._logit(images[piece])
            losses = weighted_losses(logit.float(), is_lens[piece], self._weights)
            yield losses.sum() / len(images)
            correct = (logit > 0) == (is_lens[piece] > 0.5)
            tally.add(float(losses.detach().sum()), len(losses), int(correct.sum()))

    def settings(self, step: int, progress: Progress) -> dict[str, float]:
        """The learning rate of the schedule."""
        options = self.options
        wait = patience_of(options.schedule, options.patience)
        if options.schedule == PLATEAU and wait is not None:
            drops = min(plateaus(progress.validation_losses, wait), DROPS)
            return {"lr": float(options.learning_rate * 10.0**-drops)}
        return {"lr": learning_rate(options.schedule, options.learning_rate, step, options.epochs * self.steps)}

    def is_over(self, progress: Progress) -> bool:
        """After the last epoch, or where early stopping says so."""
        return self.options.is_over(progress.epoch, progress.validation_losses)

    def _on_device(self, batch: Batch, augment: str) -> ImagesAndLabels:
        """Decode and augment on the device; only undecoded images travel."""
        batch = batch.to(self.device)
        images = decoded(batch.codes, batch.scales)
        if self._standard is not None:
            images = self._standard.apply(images)
        draws = Draws(batch.choices, batch.uniform, batch.is_lens)
        images = AUGMENTATIONS[augment](images, draws, self.split.training[0].angles)
        return self._laid_out(images), batch.is_lens

    def _full_piece(self) -> int:
        """Images at a time; a batch norm takes its statistics from the whole batch, as the papers' do."""
        batch = self.options.batch_size
        if self.device.type != "cpu" or (self.net.training and self._normalises):
            return batch
        return min(batch, piece_size(self.recipe.size))

    def _logit(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of "lens" (n,)."""
        of_a_batch = self.group.part(self.options.batch_size).own
        net = self._compiled if len(images) == min(self._full_piece(), of_a_batch) else self.net
        return lens_logit(net(images), self.recipe.outputs, self.recipe.lens_index)


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
    earlier
        The checkpoint to go on from, or None.
    """

    recipe: Recipe
    options: TrainingOptions
    machine: Machine
    files: Files
    identity: dict[str, Any]
    earlier: Checkpoint | None

    def run(self, split: Split, report: Report | None = None) -> Progress:
        """Train until the last epoch; returns where it ended.

        Raises
        ------
        UsageError
            The loss is not a number.
        """

        def reported(progress: Progress, steps: int) -> None:
            if progress.batch == 0:
                write_history(self.files.history, progress.history)
            if report is not None:
                report(progress, steps)

        make = partial(FinderTask, self._initial(split), self.recipe, self.options, self.machine, split)
        with together(self.machine.processes, self.machine.device) as group:
            keep = Keep(self.files.checkpoint, self.identity)
            return run_in(group, make, keep, self.earlier, reported)[1]

    def _initial(self, split: Split) -> nn.Module:
        """The finder's module as the training begins."""
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
        return net


@contextmanager
def threads(number: int | None, processes: int = 1) -> Iterator[None]:
    """Let torch use so many CPU threads while the block runs; None for what is set, divided over the processes."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(max(before // processes, 1) if number is None else number)
        yield
    finally:
        torch.set_num_threads(before)
