"""The loop does what a plain torch loop does, stops between steps, and goes on to the same bits."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from collections.abc import Iterator

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.training import loop
from lensaudit.training.checkpoint import Checkpoint, Tally
from lensaudit.training.group import BatchPart
from lensaudit.training.loop import Keep, Task, run

STEPS, EPOCHS, RATE = 4, 3, 0.05


class Line(Task[torch.Tensor]):
    """Fits a line to seeded points, each batch in pieces of two."""

    remedy = "turn it off"
    keeps_best = True

    def __init__(self) -> None:
        self.net = nn.Linear(2, 1)
        with torch.no_grad():
            self.net.weight.fill_(0.5)
            self.net.bias.fill_(0.1)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=RATE)
        self.epochs, self.steps = EPOCHS, STEPS

    def batches(self, epoch: int, first: int) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        for step in range(first, STEPS):
            points = torch.rand(6, 2, generator=torch.Generator().manual_seed(100 * epoch + step))
            yield points, self.group.part(6)

    def validation(self) -> Iterator[tuple[torch.Tensor, BatchPart]]:
        yield torch.ones(2, 2), self.group.part(2)

    def losses(self, batch: torch.Tensor, part: BatchPart, tally: Tally) -> Iterator[torch.Tensor]:
        for piece in batch.split(2):
            losses = (self.net(piece)[:, 0] - piece.sum(1)).square()
            yield losses.sum() / len(batch)
            tally.add(float(losses.detach().sum()), len(piece))

    def settings(self, step, progress):
        return {"lr": RATE / (1 + step)}


def plain() -> nn.Module:
    """The same by hand."""
    task = Line()
    for epoch in range(EPOCHS):
        for step, (batch, _) in enumerate(task.batches(epoch, 0)):
            task.optimizer.param_groups[0]["lr"] = RATE / (1 + epoch * STEPS + step)
            task.optimizer.zero_grad()
            for piece in batch.split(2):
                ((task.net(piece)[:, 0] - piece.sum(1)).square().sum() / 6).backward()
            task.optimizer.step()
    return task.net


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_bits_are_those_of_a_plain_loop():
    task = Line()
    progress = run(task)
    assert same(task.net, plain())
    assert [row.epoch for row in progress.history] == [1, 2, 3]
    assert progress.history[-1].learning_rate == RATE / (EPOCHS * STEPS)
    with torch.no_grad():
        after = float((task.net(torch.ones(1, 2)) - 2).square())
    assert progress.history[-1].validation_loss == pytest.approx(after, rel=1e-6)  # float32
    assert all(math.isnan(row.train_accuracy) for row in progress.history), "nothing is called"
    assert set(progress.best_weights) == {"weight", "bias"}


@pytest.fixture
def as_in_a_command():
    """Both signals raise KeyboardInterrupt, as the command line has it."""

    def handle(number, frame):
        raise KeyboardInterrupt(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    yield handle
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stop_at", [(0, 1), (1, 4), (2, 0)])
def test_a_signal_waits_for_the_step_and_nothing_is_lost(tmp_path, as_in_a_command, number, stop_at):
    keep = Keep(tmp_path / "c.safetensors", {"seed": 1})
    seen = []

    def report(progress, steps):
        seen.append((progress.epoch, progress.batch))
        if seen[-1] == stop_at:
            os.kill(os.getpid(), number)
            seen.append("the step goes on")

    with pytest.raises(KeyboardInterrupt):
        run(Line(), keep, report=report)
    assert seen[-1] == "the step goes on" or stop_at == (2, 0), "after an epoch the next step is done first"
    assert signal.getsignal(number) is as_in_a_command, "whoever answered signals does so again"
    earlier = Checkpoint.read(keep.checkpoint)
    assert (earlier.progress.epoch, earlier.progress.batch) == ((2, 1) if stop_at == (2, 0) else stop_at)
    task = Line()
    run(task, keep, earlier)
    assert same(task.net, plain())


def test_a_second_signal_does_not_wait(tmp_path, as_in_a_command):
    keep = Keep(tmp_path / "c.safetensors")

    def report(progress, steps):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt, match=str(int(signal.SIGTERM))):
        run(Line(), keep, report=report)
    assert not keep.checkpoint.exists()


def test_a_signal_after_the_last_step_is_not_lost(as_in_a_command):
    def report(progress, steps):
        if progress.epoch == EPOCHS:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(Line(), report=report)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        run(Line(), report=lambda progress, steps: os.kill(os.getpid(), signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_it_runs_outside_the_main_thread():
    task = Line()
    thread = threading.Thread(target=run, args=(task,))
    thread.start()
    thread.join()
    assert same(task.net, plain())


def test_a_checkpoint_is_written_after_the_seconds_and_after_every_epoch(tmp_path, monkeypatch):
    places, path = [], tmp_path / "c.safetensors"

    def write(self, where):
        places.append((self.progress.epoch, self.progress.batch))

    monkeypatch.setattr(Checkpoint, "write", write)
    run(Line(), Keep(path))
    assert places == [(1, 0), (2, 0), (3, 0)]
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    places.clear()
    run(Line(), Keep(path))
    assert places[:5] == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]


def test_a_loss_that_is_no_number_leaves_the_weights_alone():
    task = Line()
    with torch.no_grad():
        task.net.bias.fill_(math.inf)
    with pytest.raises(UsageError, match="epoch 1, step 1: the loss is inf; turn it off"):
        run(task)
    assert task.net.weight.detach().tolist() == [[0.5, 0.5]]


def test_an_autoencoder_of_version_01_is_taken_up(tmp_path):
    """Its file had other names: ``net`` for the weights, ``counts`` with two losses per epoch."""
    path = tmp_path / "denoiser.safetensors"
    counts = {"epoch": 1, "batch": 2, "loss": 1.5, "images": 12, "history": [[0.25, 0.125]]}
    tensors = {"net/weight": torch.ones(1, 2), "net/bias": torch.zeros(1), "optimizer/0.step": torch.tensor(6.0)}
    save_file(tensors, path, {"identity": json.dumps({"stage": "denoiser"}), "counts": json.dumps(counts)})
    earlier = Checkpoint.read(path)
    assert set(earlier.module) == {"weight", "bias"}
    assert set(earlier.optimizer) == {"0.step"}
    progress = earlier.progress
    assert (progress.epoch, progress.batch, progress.tally.loss, progress.tally.images) == (1, 2, 1.5, 12)
    assert [(row.train_loss, row.validation_loss) for row in progress.history] == [(0.25, 0.125)]
    with pytest.raises(UsageError, match=r"another clustering .stage was .denoiser"):
        earlier.refuse_other(path, {"stage": "extractor"}, "clustering")
