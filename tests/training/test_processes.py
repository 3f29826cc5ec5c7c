"""Several processes train as one does; whatever ends one of them ends all, with one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from small_tasks import EPOCHS, STEPS, Normed
from torch import nn

from lensaudit import simulate
from lensaudit.errors import MachineError, UsageError
from lensaudit.finders import Finder, initialised_module, load_finder, read_record
from lensaudit.training import Machine, Place, TrainingData, TrainingOptions, fit, train
from lensaudit.training.checkpoint import Checkpoint, Tally, read_history
from lensaudit.training.group import ALONE, Group, check_processes, together
from lensaudit.training.loop import Keep, run, run_in
from lensaudit.training.network import MaskSource, normalise_together
from lensaudit.training.sets import prepare

ROUNDING = {"rtol": 2e-5, "atol": 2e-6}
"""Sums in another order, through some tens of steps of float32."""


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, **ROUNDING, msg=name)


def trained(processes: int, keep: Keep | None = None, earlier: Checkpoint | None = None, report=None, **options):
    with together(processes, "cpu") as group:
        return run_in(group, partial(Normed, **options), keep, earlier, report)


@pytest.mark.parametrize(("images", "size"), [(7, 2), (7, 3), (2, 2), (100, 8)])
def test_every_image_is_one_process_s(images, size):
    parts = [Group(rank, size).part(images) for rank in range(size)]
    assert [row for part in parts for row in range(images)[part.rows]] == list(range(images))
    assert max(part.own for part in parts) - min(part.own for part in parts) <= 1
    assert sum(part.fraction for part in parts) == pytest.approx(1.0)


def test_a_batch_smaller_than_the_group_is_everybody_s_and_counted_once():
    parts = [Group(rank, 3).part(2) for rank in range(3)]
    assert [part.rows for part in parts] == [slice(0, 2)] * 3
    assert [part.fraction for part in parts] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("spatial", [False, True])
def test_masks_of_parts_are_the_masks_of_the_whole(spatial):
    like = torch.empty(7, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    like = like.new_ones(like.shape[:2]) if spatial else like
    level = 2**15
    whole = MaskSource(1)
    whole.start(2, 3)
    both = [whole.factors(like, level) for _ in range(2)]
    for rows in (slice(0, 3), slice(3, 7)):
        own = MaskSource(1)
        own.start(2, 3)
        own.place(rows.start, 7)
        for mask in both:
            assert torch.equal(own.factors(like[rows], level), mask[rows])


@pytest.fixture
def alone() -> Normed:
    """What one process trains."""
    return trained(1)[0]


def stopped(processes: int, path: Path) -> Checkpoint:
    """What a training leaves that is stopped in its first epoch, after two batches."""
    stopped_at = []

    def stop(progress, steps):
        if (progress.epoch, progress.batch) == (1, 2) and not stopped_at:
            stopped_at.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(processes, Keep(path, {"seed": 1}), report=stop)
    earlier = Checkpoint.read(path)
    assert (earlier.progress.epoch, earlier.progress.batch) == (1, 2)
    return earlier


def test_two_processes_go_on_from_one_after_a_mistake_that_all_of_them_see(alone, tmp_path):
    """With batch norms, and last batches of one image, which both have. A loss that is no number is the user's."""
    path = tmp_path / "c.safetensors"
    earlier = stopped(1, path)
    with together(2, "cpu") as group:
        with pytest.raises(UsageError, match="epoch 1, step 3: the loss is nan; turn it off"):
            run_in(group, partial(Normed, nan_at=2))
        task, progress = run_in(group, Normed, Keep(path, {"seed": 1}), earlier)  # for which the others wait
    assert_same(alone.net, task.net)
    assert [row.epoch for row in progress.history] == list(range(1, EPOCHS + 1))


def test_one_process_goes_on_from_two(alone, tmp_path):
    path = tmp_path / "c.safetensors"
    task, progress = trained(1, Keep(path, {"seed": 1}), stopped(2, path))
    assert_same(alone.net, task.net)
    assert [row.epoch for row in progress.history] == list(range(1, EPOCHS + 1))


def test_a_process_that_is_killed_ends_the_training_with_one_line_and_it_goes_on(tmp_path):
    keep = Keep(tmp_path / "c.safetensors")
    with pytest.raises(MachineError, match=r"process 3 of 3 .*killed by signal 9.*same command again"):
        trained(3, keep, die_at=STEPS + 1)
    assert not torch.distributed.is_initialized()
    earlier = Checkpoint.read(keep.checkpoint)
    assert earlier.progress.epoch == 1
    task = Normed()
    run(task, earlier=earlier)
    alone = Normed()
    run(alone)
    assert_same(alone.net, task.net)


def test_a_net_alone_keeps_its_batch_norms():
    task = Normed()
    run(task)
    assert type(task.net[1]) is nn.BatchNorm2d
    normalise_together(task.net, ALONE)
    assert list(task.net.state_dict()) == list(Normed().net.state_dict())


def test_more_processes_than_a_batch_has_images_are_refused_at_once(tiny, mixed, tmp_path):
    options = TrainingOptions(epochs=1, batch_size=8, learning_rate=1e-3)
    machine = Machine("cpu", 1, processes=9)
    with pytest.raises(UsageError, match="a batch has 8 images; give --batch 9"):
        train(tiny, TrainingData(mixed), Place(tmp_path), options, machine)
    with pytest.raises(UsageError, match="--processes 0: at least 1"):
        Machine("cpu", 1, processes=0)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"this machine has 1 GPU, .* give --processes 1, or --device cpu"):
        check_processes(2, "auto", 8)


OPTIONS = TrainingOptions(epochs=2, batch_size=16, learning_rate=1e-2, seed=3, augment="dihedral")


def test_two_processes_train_the_finder_that_one_does_and_say_so(tiny, mixed, tmp_path):
    alone = train(tiny, TrainingData(mixed), Place(tmp_path / "1"), OPTIONS, Machine("cpu", 1))
    both = train(tiny, TrainingData(mixed), Place(tmp_path / "2"), OPTIONS, Machine("cpu", 1, processes=2))
    assert_same(alone.finder.module, both.finder.module)
    assert both.record.training_data.processes == 2
    assert "processes" not in alone.record.training_data
    assert "divided over 2 processes" in (tmp_path / "2" / "card.md").read_text()


@pytest.mark.parametrize("size", [2, 3])
def test_gradients_of_parts_that_begin_within_a_piece_add_up(tiny, mixed, tmp_path, monkeypatch, size):
    """Pieces of 3 in batches of 16: processes leave out what is another's, its dropout too."""
    monkeypatch.setattr(fit, "piece_size", lambda pixels: 3)
    options = OPTIONS.model_copy(update={"dropout": 0.4})
    untrained = Finder(tiny, nn.Identity(), "here")
    split = prepare(TrainingData(mixed), untrained, options, tmp_path, None)

    def gradients(group: Group) -> list[torch.Tensor]:
        net = initialised_module(tiny, torch.Generator().manual_seed(1))
        task = fit.FinderTask(net, tiny, options, Machine("cpu", 1), split)
        task.group = group
        task.net.train()
        for batch, part in islice(task.batches(0, 0), 2):
            for loss in task.losses(batch, part, Tally()):
                (loss * part.fraction).backward()
        return [weight.grad for weight in task.net.parameters()]

    parts = zip(*(gradients(Group(rank, size)) for rank in range(size)), strict=True)
    for whole, own in zip(gradients(ALONE), parts, strict=True):
        torch.testing.assert_close(sum(own), whole, rtol=1e-5, atol=1e-6)  # the same sums in another order


COMMAND = ("train", "ou66", "--epochs", "1", "--batch", "8", "--validation-fraction", "0.3", "--device", "cpu")


def started(words: tuple[str, ...], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lensaudit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def euclid(tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("set") / "euclid"
    simulate("euclid", n=30, seed=1, out=out)
    return str(out)


def test_a_job_of_torchrun_runs_the_command_once(euclid, tmp_path):
    """Its environment is all that torchrun hands over."""
    port, out = free_port(), tmp_path / "out"
    job = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    words = (*COMMAND, "--data", euclid, "--out", str(out))
    ranks = [started(words, RANK=str(rank), LOCAL_RANK=str(rank), **job) for rank in range(2)]
    (said, shown), (other_said, other_shown) = (process.communicate(timeout=300) for process in ranks)
    assert [process.returncode for process in ranks] == [0, 0], shown
    assert "ou66 after 1 epochs" in said
    assert (other_said, other_shown) == ("", ""), "the first one speaks"
    assert read_record(out).training_data.processes == 2
    assert len(read_history(out / "history.csv")) == 1
    load_finder(str(out))


def test_a_taken_port_is_one_line(euclid, tmp_path, lensaudit, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        job = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in job.items():
            monkeypatch.setenv(name, value)
        done = lensaudit(*COMMAND, "--data", euclid, "--out", tmp_path / "out")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "another MASTER_PORT" in done.err


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGKILL, -9, "")])
def test_nothing_is_left_running(euclid, tmp_path, until, number, code, word):
    """Ctrl-C ends with one line and its code; whatever ends the first process ends the others."""
    out = tmp_path / "out"
    words = (*COMMAND[:3], "500", *COMMAND[4:], "--data", euclid, "--out", str(out), "--processes", "2")
    process = started(words)
    until((out / "history.csv").is_file)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(process.pid, number)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == code
    lines = [line for line in shown.splitlines() if line.startswith("lensaudit: ")]
    assert [word in line for line in lines] == [True] * bool(word), shown
    until(lambda: not Path(f"/proc/{children[0]}").exists() or is_zombie(children[0]), 30)


def is_zombie(child: str) -> bool:
    return "State:\tZ" in Path(f"/proc/{child}/status").read_text()
