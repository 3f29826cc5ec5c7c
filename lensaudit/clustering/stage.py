"""Training an autoencoder to give back its images: the denoiser first, then the feature extractor on denoised ones.

Binary cross-entropy per pixel and Adam, as Cheng et al. 2020; stopped at any moment, the same call goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from lensaudit.clustering.options import ClusterOptions
from lensaudit.errors import DataError, UsageError
from lensaudit.files import write_bytes
from lensaudit.finders.running import channels_last
from lensaudit.training.augment import AUGMENTATIONS, Draws
from lensaudit.training.batches import Batches, count_batches, shuffled
from lensaudit.training.checkpoint import optimizer_state, optimizer_tensors
from lensaudit.training.lightning_module import MaskSource, training_form
from lensaudit.training.prepared import PreparedSet, Rows, decoded

Tensors = dict[str, torch.Tensor]


@dataclass
class StageState:
    """Where a stage stands.

    Attributes
    ----------
    net, optimizer
        Weights, and Adam's tensors.
    epoch, batch
        Epochs finished, and batches finished of the next one.
    loss, images
        Sum over the images of the current epoch so far, and their number.
    history
        Per finished epoch, mean cross-entropy per pixel of (training images, validation images).
    """

    net: Tensors
    optimizer: Tensors = field(default_factory=dict)
    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    images: int = 0
    history: list[tuple[float, float]] = field(default_factory=list)

    def write(self, path: Path, identity: dict[str, Any]) -> None:
        """Write to `path`, atomically."""
        parts = {"net": self.net, "optimizer": self.optimizer}
        tensors = {
            f"{part}/{name}": tensor.detach().cpu().contiguous()
            for part, group in parts.items()
            for name, tensor in group.items()
        }
        counts = {name: getattr(self, name) for name in ("epoch", "batch", "loss", "images", "history")}
        write_bytes(path, save(tensors, {"identity": json.dumps(identity), "counts": json.dumps(counts)}))

    @classmethod
    def read(cls, path: Path, identity: dict[str, Any]) -> StageState:
        """Read `path`, which must be of the stage `identity`.

        Raises
        ------
        DataError
            It is torn or no such file.
        UsageError
            It is of another stage; the message names what differs.
        """
        parts: dict[str, Tensors] = {"net": {}, "optimizer": {}}
        try:
            with safe_open(path, framework="pt") as stored:
                words = stored.metadata() or {}
                theirs, counts = json.loads(words["identity"]), json.loads(words["counts"])
                for key in stored.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    part, _, name = key.partition("/")
                    parts[part][name] = stored.get_tensor(key)
            counts["history"] = [(float(train), float(validation)) for train, validation in counts["history"]]
            state = cls(parts["net"], parts["optimizer"], **counts)
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as broken:
            raise DataError(f"{path}: is torn or no checkpoint; start anew with --restart") from broken
        differing = sorted(name for name in theirs.keys() | identity.keys() if theirs.get(name) != identity.get(name))
        if differing:
            name = differing[0]
            raise UsageError(
                f"{path.parent.parent}: holds another clustering ({name} was {theirs.get(name)!r}, you ask for "
                f"{identity.get(name)!r}); choose another --out or add --restart"
            )
        return state


SECONDS_BETWEEN_CHECKPOINTS = 60.0

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


@dataclass
class Trainer:
    """Runs a stage.

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

    @property
    def path(self) -> Path:
        """Of the checkpoint."""
        return self.folder / f"{self.stage.name}.safetensors"

    def run(self, device: torch.device, advance: Advance | None = None) -> list[tuple[float, float]]:
        """Train until the last epoch; leaves the weights in the stage's net and returns the history.

        A stage that has ended goes on if more epochs are asked for, as the rate is constant.

        Raises
        ------
        UsageError
            The folder holds another training, or the loss is not a number.
        """
        words = {**self.identity, "stage": self.stage.name}
        net = self.stage.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        before = self.stage.before.to(device).eval()
        state = StageState(net.state_dict())
        if self.path.is_file():
            state = StageState.read(self.path, words)
            net.load_state_dict(state.net)
        if state.epoch > self.stage.epochs:
            raise UsageError(
                f"{self.folder}: the {self.stage.name} has {state.epoch} epochs, you ask for {self.stage.epochs}; ask "
                f"for as many or more, choose another --out or add --restart"
            )
        if state.epoch == self.stage.epochs:
            return state.history
        fitted = _Fitted(training_form(net, MaskSource(self.options.seed)), before, self.options, state)
        last = time.monotonic()
        while state.epoch < self.stage.epochs:
            for batch in self._batches(state):
                fitted.step(batch.to(device))
                if time.monotonic() - last >= SECONDS_BETWEEN_CHECKPOINTS:
                    self._write(fitted, words)
                    last = time.monotonic()
                self._tell(advance, state)
            fitted.end_epoch(self._validation(device))
            self._write(fitted, words)
        return state.history

    def _batches(self, state: StageState) -> Iterator[torch.Tensor]:
        """Images of what is left of the epoch, augmented."""
        prepared, seed = self.images.prepared, self.options.seed
        number = self.stage.number * 1_000_000 + state.epoch  # an epoch of its own for every stage's random numbers
        order = shuffled(self.images.training, seed, number)
        for batch in Batches(prepared, order, self.options.batch_size, seed, number, first=state.batch):
            draws = Draws(batch.choices, batch.uniform, batch.is_lens)
            yield AUGMENTATIONS[self.options.augment](decoded(batch.codes, batch.scales), draws, 0)

    def _validation(self, device: torch.device) -> Iterator[torch.Tensor]:
        for batch in Batches(self.images.prepared, self.images.validation, self.options.batch_size):
            yield decoded(batch.codes, batch.scales).to(device)

    def _write(self, fitted: _Fitted, words: dict[str, Any]) -> None:
        state = fitted.state
        state.net, state.optimizer = fitted.net.state_dict(), optimizer_tensors(fitted.optimizer)
        state.write(self.path, words)

    def _tell(self, advance: Advance | None, state: StageState) -> None:
        steps = count_batches(len(self.images.training), self.options.batch_size)
        if advance is not None:
            advance(state.epoch * steps + state.batch, self.stage.epochs * steps)


class _Fitted:
    """Weights, optimizer and counts of a stage while it runs."""

    def __init__(self, net: nn.Module, before: nn.Module, options: ClusterOptions, state: StageState) -> None:
        self.net, self.before, self.options, self.state = net.train(), before, options, state
        self.optimizer = torch.optim.Adam(net.parameters(), lr=options.learning_rate)
        moments = optimizer_state(state.optimizer, options.learning_rate, len(list(net.parameters())))
        if moments is not None:
            self.optimizer.load_state_dict(moments)

    def step(self, images: torch.Tensor) -> None:
        """One step of Adam on the mean loss of the batch."""
        self.optimizer.zero_grad()
        loss = self._loss(images)
        loss.backward()
        self.optimizer.step()
        self.state.loss += float(loss.detach()) * len(images)
        self.state.images += len(images)
        self.state.batch += 1
        if not np.isfinite(self.state.loss):
            raise UsageError(f"the loss is {self.state.loss}; give a rate below --lr {self.options.learning_rate:g}")

    def end_epoch(self, validation: Iterator[torch.Tensor]) -> None:
        """Measure the validation images and count the epoch."""
        state, total, count = self.state, 0.0, 0
        with torch.inference_mode():
            for images in validation:
                total += float(self._loss(images)) * len(images)
                count += len(images)
        state.history.append((state.loss / state.images, total / count))
        state.epoch, state.batch, state.loss, state.images = state.epoch + 1, 0, 0.0, 0

    def _loss(self, images: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy per pixel."""
        images = channels_last(images)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            with torch.no_grad():
                target = self.before(images)
            answer = self.net(target)
        return functional.binary_cross_entropy_with_logits(answer.float(), target.float())
