"""The training step, as Lightning asks for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Recipe, load_finder
from lensaudit.finders.build import unfilled_module
from lensaudit.finders.finder import lens_logit
from lensaudit.training.augment import weighted_losses
from lensaudit.training.batches import Purpose, stream
from lensaudit.training.checkpoint import Progress, Tally
from lensaudit.training.options import TrainingOptions

_LEVELS = 2**16


class MaskSource:
    """The dropout masks of one optimisation step; they depend on (seed, epoch, step) alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = stream(seed, Purpose.DROPOUT, 0, 0)

    def start(self, epoch: int, step: int) -> None:
        """Begin step `step` of epoch `epoch`."""
        self._numbers = stream(self._seed, Purpose.DROPOUT, epoch, step)

    @torch.compiler.disable
    def factors(self, like: torch.Tensor, level: int) -> torch.Tensor:
        """0 with probability `level` / 65 536, else the gain that keeps the mean, shaped and laid out as `like`."""
        kept = self._kept_on_cpu(like, level) if like.device.type == "cpu" else self._kept(like, level)
        return kept.to(torch.float32).mul_(_LEVELS / (_LEVELS - level))

    def _kept_on_cpu(self, like: torch.Tensor, level: int) -> torch.Tensor:
        count = like.numel()
        draws = self._numbers.bit_generator.random_raw((count + 3) // 4).view(np.int16)[:count]
        kept = torch.from_numpy(draws >= level - _LEVELS // 2)
        dense = like.is_contiguous() or like.is_contiguous(memory_format=torch.channels_last)
        return kept.as_strided(like.shape, like.stride()) if dense else kept.view(like.shape)

    def _kept(self, like: torch.Tensor, level: int) -> torch.Tensor:
        generator = torch.Generator(like.device).manual_seed(int(self._numbers.integers(2**63 - 1)))
        draws = torch.randint(_LEVELS, (like.numel(),), generator=generator, device=like.device, dtype=torch.int32)
        return (draws >= level).view(like.shape)


class SeededDropout(nn.Module):
    """Dropout whose masks come from a `MaskSource`; the probability is rounded to 1/65 536, and the gain with it."""

    def __init__(self, probability: float, masks: MaskSource) -> None:
        super().__init__()
        self.level = round(probability * _LEVELS)
        self.masks = masks

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a share of `values` and scale the rest; nothing in evaluation mode."""
        if not self.training or self.level == 0:
            return values
        if self.level == _LEVELS:
            return values * 0.0
        return values * self.masks.factors(values, self.level)


class SeededSpatialDropout(SeededDropout):
    """The same for whole maps of (n, channels, h, w): one draw for each map."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a share of the maps and scale the rest; nothing in evaluation mode."""
        if not self.training or self.level == 0:
            return values
        each = values.new_ones(values.shape[:2])
        return values * super().forward(each)[:, :, None, None]


def training_form(module: nn.Module, masks: MaskSource) -> nn.Module:
    """Change `module` in place: seeded dropout, ReLUs in place and after the pools they stood in front of."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, SeededDropout(child.p, masks))
            elif type(child) is nn.Dropout2d:
                setattr(parent, name, SeededSpatialDropout(child.p, masks))
            elif type(child) is nn.ReLU:
                setattr(parent, name, nn.ReLU(inplace=True))
        if isinstance(parent, nn.Sequential):
            _pool_first(parent)
    return module


def _pool_first(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        if type(layers[index]) is nn.ReLU and type(layers[index + 1]) is nn.MaxPool2d:
            layers[index], layers[index + 1] = layers[index + 1], layers[index]


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


_AGREE = ("architecture", "outputs", "extra_inputs", "symmetrise", "architecture_options")


def starting_weights(name: str, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Weights of the finder `name`, checked to fit `recipe`.

    A finder with more bands, or the same in another order, gives its first convolution's channels for the recipe's
    bands. What the other bands added is dropped, so that the start is no finder yet, only its kernels.

    Raises
    ------
    UsageError
        The finder has another architecture or other extra inputs, lacks a band, or is symmetrised and the recipe not.
    """
    finder = load_finder(name)
    for field in _AGREE:
        theirs, ours = getattr(finder.recipe, field), getattr(recipe, field)
        if theirs != ours:
            raise UsageError(f"--start {name}: its {field} is {theirs}, {recipe.name} has {ours}; they must agree")
    if missing := [band for band in recipe.bands if band not in finder.recipe.bands]:
        raise UsageError(
            f"--start {name}: its bands {', '.join(finder.recipe.bands)} lack {', '.join(missing)} of {recipe.name}; "
            f"begin from a finder that has them"
        )
    weights = {key: value.detach().cpu().clone() for key, value in finder.module.state_dict().items()}
    if finder.recipe.bands == recipe.bands:
        return weights
    chosen = _channels(finder, recipe)
    for key in _input_layers(finder.recipe, recipe):
        weights[key] = weights[key][:, chosen].contiguous()
    return weights


def start_facts(name: str | None, recipe: Recipe) -> dict[str, Any]:
    """What the record says of the start beside its name: ``start_bands``, where they are not all of its own."""
    if name is None or load_finder(name).recipe.bands == recipe.bands:
        return {}
    return {"start_bands": list(recipe.bands)}


def _channels(finder: Finder, recipe: Recipe) -> list[int]:
    """Input channels of `finder` in the recipe's order: bands, then the planes of the extra inputs."""
    bands = [finder.recipe.bands.index(band) for band in recipe.bands]
    return bands + list(range(len(finder.recipe.bands), finder.recipe.channels))


def _input_layers(theirs: Recipe, ours: Recipe) -> list[str]:
    """Names of the weights (kernels, channels, …) that see the image: those whose shape goes with the bands."""
    few, more = (theirs.model_copy(update={"bands": ("",) * count}) for count in (1, 2))
    small, large = unfilled_module(few).state_dict(), unfilled_module(more).state_dict()
    found = [key for key, tensor in small.items() if tensor.shape != large[key].shape]
    for key in found:
        if small[key].ndim != 4 or small[key].shape[1] != few.channels or large[key].shape[1] != more.channels:
            raise UsageError(
                f"--start: the bands of architecture {ours.architecture} meet elsewhere than in a first convolution, "
                f"so some of them cannot be taken; begin from a finder with bands {', '.join(ours.bands)}"
            )
    return found
