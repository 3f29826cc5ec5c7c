"""The training step, as Lightning asks for it."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders import Recipe
from lensaudit.finders.finder import lens_logit
from lensaudit.training.loss import weighted_losses
from lensaudit.training.options import TrainingOptions
from lensaudit.training.progress import Progress, Tally
from lensaudit.training.training_form import MaskSource


class FinderModule(lightning.LightningModule):
    """Adam on the class-weighted cross-entropy of a finder's logit.

    Attributes
    ----------
    net
        The finder's module in its training form; `masks` feeds its dropout.
    progress
        Counted here and by `Bookkeeper`.
    validation
        Sums over the validation images of the current epoch.
    optimizer_state
        Adam's state to go on with, or None.
    """

    def __init__(
        self,
        net: nn.Module,
        masks: MaskSource,
        recipe: Recipe,
        options: TrainingOptions,
        weights: tuple[float, float],
        progress: Progress,
    ) -> None:
        super().__init__()
        self.net, self.masks = net, masks
        self.recipe, self.options, self.class_weights = recipe, options, weights
        self.progress = progress
        self.validation = Tally()
        self.optimizer_state: dict[str, Any] | None = None
        self._compiled: list[Any] = []  # in a list, so that its weights are not registered a second time

    def compile_net(self) -> None:
        """Run full batches through ``torch.compile``; a short last batch runs as it is, as it would compile anew."""
        self._compiled = [torch.compile(self.net)]

    def logit(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of "lens" (n,)."""
        full = len(images) == self.options.batch_size
        net = self._compiled[0] if self._compiled and full else self.net
        return lens_logit(net(images), self.recipe.outputs, self.recipe.lens_index)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.options.learning_rate)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        return optimizer

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        images, is_lens = batch
        self.masks.start(self.progress.epoch, self.progress.batch)
        losses, correct = self._losses(images, is_lens)
        loss = losses.mean()
        self._need_number(float(loss.detach()), f", step {self.progress.batch + 1}: the loss")
        self.progress.tally.add(losses.detach(), correct)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.validation = Tally()

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        self.validation.add(*self._losses(*batch))

    def on_validation_epoch_end(self) -> None:
        self._need_number(self.validation.mean_loss, ": the validation loss")

    def _need_number(self, loss: float, what: str) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"epoch {self.progress.epoch + 1}{what} is {loss}; "
                f"give a learning rate below --lr {self.options.learning_rate:g}, and --restart"
            )

    def _losses(self, images: torch.Tensor, is_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logit = self.logit(images)
        return weighted_losses(logit, is_lens, self.class_weights), (logit > 0) == (is_lens > 0.5)
