"""Training an autoencoder to give back its images: the denoiser first, then the feature extractor on denoised ones.

Binary cross-entropy per pixel and Adam, as Cheng et al. 2020; stopped at any moment, the same call goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lensaudit.clustering.options import ClusterOptions
from lensaudit.errors import UsageError
from lensaudit.finders.running import channels_last, choose_device
from lensaudit.training.augment import AUGMENTATIONS, Draws
from lensaudit.training.batches import Batches, count_batches, shuffled
from lensaudit.training.checkpoint import Checkpoint, Progress, Tally
from lensaudit.training.group import BatchPart, Group
from lensaudit.training.loop import Keep, Task, run_in
from lensaudit.training.network import MaskSource, training_form
from lensaudit.training.prepared import PreparedSet, Rows, decoded

Advance = Callable[[int, int], object]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Images:
    """Prepared images and the rows of them that train, and whose reconstruction is measured."""

    prepared: PreparedSet
    training: Rows
    validation: Rows


@dataclass(frozen=True)
class Stage:
    """One autoencoder to be trained.

    Attributes
    ----------
    name
        ``denoiser`` or ``extractor``.
    number
        Which stage it is, from 0; its random numbers are its own.
    net
        Images → log-odds of their pixels.
    before
        What is done to the images first: nothing, or the denoiser.
    epochs
        Passes over the training images.
    """

    name: str
    number: int
    net: nn.Module
    before: nn.Module
    epochs: int


class StageTask(Task[torch.Tensor]):
    """Adam on the mean cross-entropy per pixel of what a stage gives back."""

    def __init__(self, stage: Stage, images: Images, options: ClusterOptions, device: str) -> None:
        self.number, self.images, self.options = stage.number, images, options
        self.device = choose_device(device)
        net = stage.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net = training_form(net, MaskSource(options.seed))
        self.before = stage.before.to(self.device).eval()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=options.learning_rate)
        self.epochs, self.steps = stage.epochs, count_batches(len(images.training), options.batch_size)
        self.remedy = f"give a rate below --lr {options.learning_rate:g}, and --restart"

    def batches(self, epoch: int, first: int) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        """Training images in the order of the epoch, augmented."""
        prepared, seed = self.images.prepared, self.options.seed
        number = self.number * 1_000_000 + epoch  # an epoch of its own for every stage's random numbers
        order = shuffled(self.images.training, seed, number)
        for batch in Batches(prepared, order, self.options.batch_size, seed, number, first, self.group):
            draws = Draws(batch.choices, batch.uniform, batch.is_lens)
            images = AUGMENTATIONS[self.options.augment](decoded(batch.codes, batch.scales), draws, 0)
            yield images.to(self.device), batch.part

    def validation(self) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        """Every validation image once."""
        for batch in Batches(self.images.prepared, self.images.validation, self.options.batch_size, group=self.group):
            yield decoded(batch.codes, batch.scales).to(self.device), batch.part

    def losses(self, batch: torch.Tensor, part: BatchPart, tally: Tally) -> Iterator[torch.Tensor]:
        """Mean cross-entropy per pixel, in one piece."""
        images = channels_last(batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            with torch.no_grad():
                target = self.before(images)
            answer = self.net(target)
        loss = functional.binary_cross_entropy_with_logits(answer.float(), target.float())
        yield loss
        tally.add(float(loss.detach()) * len(images), len(images))


@dataclass(frozen=True)
class StageTraining:
    """A stage and where it is trained.

    Attributes
    ----------
    identity
        What a checkpoint must share to be gone on from.
    folder
        Where the checkpoint is.
    """

    stage: Stage
    images: Images
    options: ClusterOptions
    identity: dict[str, Any]
    folder: Path

    def run(self, group: Group, device: str, advance: Advance | None = None) -> list[tuple[float, float]]:
        """Train until the last epoch; leaves the weights in the stage's net.

        A stage that has ended goes on if more epochs are asked for, as the rate is constant.

        Returns
        -------
        list of tuple
            Per epoch, mean cross-entropy per pixel of (training images, validation images).

        Raises
        ------
        UsageError
            The folder holds another training, or the loss is not a number.
        """
        path = self.folder / f"{self.stage.name}.safetensors"
        identity = {**self.identity, "stage": self.stage.name}
        earlier = Checkpoint.read(path) if path.is_file() else None
        if earlier is not None:
            earlier.refuse_other(path, identity, "clustering")
            if earlier.progress.epoch > self.stage.epochs:
                raise UsageError(
                    f"{self.folder}: the {self.stage.name} has {earlier.progress.epoch} epochs, you ask for "
                    f"{self.stage.epochs}; ask for as many or more, choose another --out or add --restart"
                )

        def report(progress: Progress, steps: int) -> None:
            if advance is not None and progress.batch:  # the end of an epoch was told with its last step
                advance(progress.epoch * steps + progress.batch, self.stage.epochs * steps)

        make = partial(StageTask, self.stage, self.images, self.options, device)
        _, progress = run_in(group, make, Keep(path, identity), earlier, report)
        return [(row.train_loss, row.validation_loss) for row in progress.history]
