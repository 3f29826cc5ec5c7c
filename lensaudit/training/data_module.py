"""The data of a training, as Lightning asks for it."""

from __future__ import annotations

import lightning
import torch

from lensaudit.finders import layout
from lensaudit.training.augment import AUGMENTATIONS, FAULTY, Draws
from lensaudit.training.batches import Batch, Batches, balanced, shuffled
from lensaudit.training.options import TrainingOptions
from lensaudit.training.prepared import decoded
from lensaudit.training.progress import Progress
from lensaudit.training.sets import Split


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
