"""The training step, as Lightning asks for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders import Recipe
from lensaudit.finders.finder import lens_logit
from lensaudit.training.loss import weighted_losses
from lensaudit.training.options import TrainingOptions
from lensaudit.training.progress import Progress, Tally
from lensaudit.training.training_form import MaskSource

_PIXELS_PER_PIECE = 170_000


def piece_size(size: int) -> int:
    """Images per piece of a batch on the CPU: 39 of 66×66 pixels, 4 of 200×200; the quickest of those tried."""
    return max(1, round(_PIXELS_PER_PIECE / size**2))


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
        self.automatic_optimization = False  # a batch goes through in pieces, see `training_step`
        self.net, self.masks = net, masks
        self.recipe, self.options, self.class_weights = recipe, options, weights
        self.progress = progress
        self._normalises = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in net.modules())
        self.validation = Tally()
        self.optimizer_state: dict[str, Any] | None = None
        self._compiled: list[Any] = []  # in a list, so that its weights are not registered a second time

    def compile_net(self) -> None:
        """Run full pieces through ``torch.compile``; a short last piece runs as it is, as it would compile anew."""
        self._compiled = [torch.compile(self.net)]

    def logit(self, images: torch.Tensor) -> torch.Tensor:
        """Log-odds of "lens" (n,)."""
        compiled = self._compiled and len(images) == self._full(images)
        net = self._compiled[0] if compiled else self.net
        return lens_logit(net(images), self.recipe.outputs, self.recipe.lens_index)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.options.learning_rate)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        return optimizer

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        """One step of Adam on the mean loss of the batch.

        On a CPU the gradient is summed over pieces whose activations stay near the caches: a fifth quicker than the
        whole batch at once, in a tenth of the memory.
        """
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        images, is_lens = batch
        self.masks.start(self.progress.epoch, self.progress.batch)
        optimizer.zero_grad()
        for piece in self._pieces(images):
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
                logit = self.logit(images[piece])
            losses, correct = self._losses(logit.float(), is_lens[piece])
            self.manual_backward(losses.sum() / len(images))
            self.progress.tally.add(losses.detach(), correct)
        self._need_number(self.progress.tally.loss, f", step {self.progress.batch + 1}: the loss")
        optimizer.step()

    def on_validation_epoch_start(self) -> None:
        self.validation = Tally()

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        images, is_lens = batch
        for piece in self._pieces(images):
            self.validation.add(*self._losses(self.logit(images[piece]), is_lens[piece]))

    def on_validation_epoch_end(self) -> None:
        self._need_number(self.validation.mean_loss, ": the validation loss")

    def _pieces(self, images: torch.Tensor) -> Iterator[slice]:
        """The whole batch on a GPU, pieces of it on a CPU."""
        size = self._full(images)
        for first in range(0, len(images), size):
            yield slice(first, min(first + size, len(images)))

    def _full(self, images: torch.Tensor) -> int:
        """Images at a time; a batch norm takes its figures from the whole batch, as the papers' do."""
        batch = self.options.batch_size
        if images.device.type != "cpu" or (self.net.training and self._normalises):
            return batch
        return min(batch, piece_size(self.recipe.size))

    def _need_number(self, loss: float, what: str) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"epoch {self.progress.epoch + 1}{what} is {loss}; "
                f"give a learning rate below --lr {self.options.learning_rate:g}, and --restart"
            )

    def _losses(self, logit: torch.Tensor, is_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return weighted_losses(logit, is_lens, self.class_weights), (logit > 0) == (is_lens > 0.5)
