"""The one training loop: finders, autoencoders and planted finders run through it, in plain torch.

A training is a `Task`: a network, an optimizer, batches and losses. The loop counts epochs and steps, adds up the
gradients of pieces, validates, writes a checkpoint every minute, after every epoch and at a signal. From a
checkpoint it goes on to the bits of a training that was never stopped.

It runs alike in every process of a `lensaudit.training.group.Group`: each has its part of every batch, all take the
same step, and the first one reports, writes and answers signals.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Self, TypeVar

import torch
from torch import nn

from lensaudit.documents import Json
from lensaudit.errors import EXIT_MACHINE, EXIT_OK, MachineError, UsageError
from lensaudit.training.checkpoint import Checkpoint, EpochRow, Progress, Tally, load_optimizer, optimizer_tensors
from lensaudit.training.group import ALONE, BatchPart, Group, joined_as_child, joined_in_job, leave_group
from lensaudit.training.network import normalise_together

SECONDS_BETWEEN_CHECKPOINTS = 60.0

Report = Callable[[Progress, int], None]
"""Called after each step and each epoch with (where the training stands, steps per epoch)."""

BatchT = TypeVar("BatchT")


class Task(ABC, Generic[BatchT]):
    """What the loop needs of a training; randomness comes from (seed, epoch, step) alone, or resuming is not exact.

    Attributes
    ----------
    net, optimizer
        On their device.
    epochs, steps
        Epochs in all, and optimisation steps of each.
    remedy
        What to do where the loss is not a number, for the message.
    keeps_best
        Whether the weights of the epoch with the lowest validation loss are kept beside the last ones.
    group
        The processes that each batch is divided over, as `Group.part` says; set before the training begins.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: int
    steps: int
    remedy: str
    keeps_best = False
    group: Group = ALONE

    @abstractmethod
    def batches(self, epoch: int, first: int) -> Iterable[tuple[BatchT, BatchPart]]:
        """This process's part of the training batches of epoch `epoch` (from 0), from batch number `first` on."""

    @abstractmethod
    def losses(self, batch: BatchT, part: BatchPart, tally: Tally) -> Iterator[torch.Tensor]:
        """Loss of each piece of what `batches` gave; together the mean over its images. Adds the piece to `tally`.

        The gradient of a piece is taken before the next piece is computed. ``net.training`` says which pass it is.
        """

    def validation(self) -> Iterable[tuple[BatchT, BatchPart]]:
        """This process's part of the batches that are measured after each epoch; none by default."""
        return ()

    def settings(self, step: int, progress: Progress) -> Mapping[str, Any]:
        """The optimizer's settings, such as ``lr``, at step `step` of all epochs; by default what it was made with."""
        return {}

    def is_over(self, progress: Progress) -> bool:
        """Whether the training has ended, looked at before each epoch."""
        return progress.epoch >= self.epochs


@dataclass(frozen=True)
class Keep:
    """Where a training keeps its state.

    Attributes
    ----------
    checkpoint
        File to write; None to keep nothing.
    identity
        What a training must share to go on from there; see `Checkpoint`.
    """

    checkpoint: Path | None = None
    identity: Json = field(default_factory=dict)


def run(
    task: Task[BatchT], keep: Keep | None = None, earlier: Checkpoint | None = None, report: Report | None = None
) -> Progress:
    """Train until the task is over; its network holds the last weights then.

    SIGINT and SIGTERM, where Python answers them, wait for the end of the step and a checkpoint; a second one does not.

    Parameters
    ----------
    earlier
        State to go on from; None to begin.
    report
        Called after every step and every epoch.

    Raises
    ------
    UsageError
        The loss is not a number.
    """
    progress = Progress()
    if earlier is not None:
        progress = earlier.progress
        task.net.load_state_dict(earlier.module)
        load_optimizer(task.optimizer, earlier.optimizer)
    if task.group.size > 1:
        normalise_together(task.net, task.group)
    with _Signals() as signals:
        loop = _Loop(task, progress, keep or Keep(), report, signals)
        while not task.is_over(progress):
            loop.epoch()
    return progress


@dataclass(frozen=True)
class Order(Generic[BatchT]):
    """A training that the first process hands out to the others.

    Attributes
    ----------
    make
        Makes the task, on the device of the process; pickle takes it.
    threads
        CPU threads of each process.
    """

    make: Callable[[], Task[BatchT]]
    earlier: Checkpoint | None
    threads: int


def run_in(
    group: Group,
    make: Callable[[], Task[BatchT]],
    keep: Keep | None = None,
    earlier: Checkpoint | None = None,
    report: Report | None = None,
) -> tuple[Task[BatchT], Progress]:
    """Train what `make` makes in all processes of `group`, of which this is the first; see `run`."""
    group.hand_out(Order(make, earlier, torch.get_num_threads()))
    task = make()
    task.group = group
    return task, run(task, keep, earlier, report)


def serve(group: Group) -> None:
    """Take part in every training that the first process hands out, until it lets this one go.

    Raises
    ------
    MachineError
        The first process is gone, or another one.
    """
    while (order := group.handed()) is not None:
        torch.set_num_threads(order.threads)
        task = order.make()
        task.group = group
        with suppress(UsageError):  # the loss is not a number: the first process says so
            run(task, earlier=order.earlier)


def work() -> None:
    """What a process does that another one started."""
    try:
        serve(joined_as_child())
    except MachineError:  # the first one says what happened
        os._exit(EXIT_MACHINE)
    leave_group()
    os._exit(EXIT_OK)  # torch's own end takes seconds


def serve_job(device: str) -> int:
    """What a process of a job does that is not its first one; returns its exit code."""
    try:
        serve(joined_in_job(device))
    except MachineError:
        return EXIT_MACHINE
    finally:
        leave_group()
    return EXIT_OK


@dataclass
class _Loop(Generic[BatchT]):
    """A task while it runs."""

    task: Task[BatchT]
    progress: Progress
    keep: Keep
    report: Report | None
    signals: _Signals
    looked_at: float = field(default_factory=time.monotonic)
    written_at: float = field(default_factory=time.monotonic)

    def epoch(self) -> None:
        """What is left of the epoch that the training stands in."""
        task, progress = self.task, self.progress
        task.net.train()
        for batch, part in task.batches(progress.epoch, progress.batch):
            self._step(batch, part)
            self._count_seconds()
            if time.monotonic() - self.written_at >= SECONDS_BETWEEN_CHECKPOINTS:
                self._write()
            self._tell()
            self._stop_if_asked()
        validation = self._validated()
        self._count_seconds()
        last = task.settings((progress.epoch + 1) * task.steps - 1, progress)
        row = EpochRow(
            epoch=progress.epoch + 1,
            seconds=round(progress.seconds, 3),
            train_loss=progress.tally.mean_loss,
            train_accuracy=progress.tally.accuracy,
            validation_loss=validation.mean_loss,
            validation_accuracy=validation.accuracy,
            learning_rate=last.get("lr", task.optimizer.param_groups[0]["lr"]),
        )
        progress.finish_epoch(row, task.net.state_dict() if task.keeps_best else None)
        self._write()
        self._tell()

    def _step(self, batch: BatchT, part: BatchPart) -> None:
        task, progress = self.task, self.progress
        settings = task.settings(progress.epoch * task.steps + progress.batch, progress)
        for group in task.optimizer.param_groups:
            group.update(settings)
        task.optimizer.zero_grad()
        task.group.take(part)
        tally = progress.tally if task.group.size == 1 else Tally()
        for loss in task.losses(batch, part, tally):
            (loss * part.fraction).backward()
        if tally is not progress.tally:
            progress.tally.include(task.group.tallied(tally if part.counts else Tally()))
        self._need_number(progress.tally.loss, f", step {progress.batch + 1}: the loss")
        task.group.add_gradients(task.net)
        task.optimizer.step()
        progress.batch += 1

    def _validated(self) -> Tally:
        """Sums over the validation images, in evaluation mode."""
        tally = Tally()
        self.task.net.eval()
        with torch.inference_mode():
            for batch, part in self.task.validation():
                for _ in self.task.losses(batch, part, tally if part.counts else Tally()):
                    pass
                self._stop_if_asked()
        tally = self.task.group.tallied(tally)
        if tally.images:
            self._need_number(tally.mean_loss, ": the validation loss")
        return tally

    def _need_number(self, loss: float, what: str) -> None:
        if not math.isfinite(loss):
            raise UsageError(f"epoch {self.progress.epoch + 1}{what} is {loss}; {self.task.remedy}")

    def _stop_if_asked(self) -> None:
        if self.signals.noted is not None:
            self._write()
            self.signals.obey()

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.looked_at
        self.looked_at = now

    def _tell(self) -> None:
        if self.report is not None:
            self.report(self.progress, self.task.steps)

    def _write(self) -> None:
        if self.keep.checkpoint is not None:
            moments = optimizer_tensors(self.task.optimizer)
            stored = Checkpoint(self.keep.identity, self.task.net.state_dict(), moments, self.progress)
            stored.write(self.keep.checkpoint)
        self.written_at = time.monotonic()


class _Signals:
    """Notes SIGINT and SIGTERM while it is entered, for `obey` to hand on; a second signal is handed on at once.

    One that is ignored, or that ends the process without Python, is left alone, and so is every signal outside the
    main thread.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._before[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.obey()

    def obey(self) -> None:
        """Hand the noted signal to whoever answered it before; by default that raises KeyboardInterrupt."""
        if self.noted is not None:
            number, self.noted = self.noted, None
            self._before[number](number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted is not None:
            self._before[number](number, frame)
        self.noted = number
