"""One training in several processes, one a device: who has which images of a batch, and what they add up.

The first process leads. It runs the command, prepares the images, writes all files, and hands every training out to the
others, which only compute. They are started here (``--processes``), or all of them by ``torchrun``, which says so in
the environment. Each has its part of every batch, and gradients are added up, so that N processes train as one does up
to the rounding of sums: the same batches, dropout masks, and statistics of batch norms.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import distributed, nn

from lensaudit.errors import EXIT_MACHINE, LensauditError, MachineError, UsageError
from lensaudit.finders import choose_device
from lensaudit.spread import JOB_RANK, JOB_SIZE, rank_and_size, signals_waiting
from lensaudit.training.checkpoint import Tally
from lensaudit.untrusted import printable

_FOREVER = timedelta(days=30)
"""How long a process waits to be handed a training: as long as the first one prepares images or measures."""
_SECONDS_TO_JOIN = 300.0
_SECONDS_TO_LEAVE = 10.0
_LOCAL_RANK, _LOCAL_SIZE, _FOLDER = "LOCAL_RANK", "LOCAL_WORLD_SIZE", "LENSAUDIT_GROUP"


class BatchPart(NamedTuple):
    """The images of a batch that one process has.

    Attributes
    ----------
    rows
        From and to which image of the batch.
    images
        Images of the whole batch.
    counts
        False where the first process counts the same images: a batch smaller than the group is everybody's, so that
        none has nothing to compute.
    """

    rows: slice
    images: int
    counts: bool = True

    def of(self, first: int, last: int) -> slice:
        """Of its own images, numbered from 0, those that are images `first` to `last` of the batch."""
        start, stop = self.rows.start, self.rows.stop
        return slice(min(max(first, start), stop) - start, min(max(last, start), stop) - start)

    @property
    def own(self) -> int:
        """Number of its images."""
        return int(self.rows.stop - self.rows.start)

    @property
    def fraction(self) -> float:
        """What a mean over its images is worth in the mean over the batch."""
        return self.own / self.images if self.counts else 0.0


@dataclass(eq=False)
class Group:
    """The processes of a training, and which of them this is.

    Attributes
    ----------
    rank, size
        Number of this process, from 0, and of all.
    lost
        What to say where one of the others is gone.
    """

    rank: int = 0
    size: int = 1
    lost: Callable[[], str] = field(default=lambda: "a process of the training is gone", repr=False)
    waiting: Any = field(default=None, repr=False)
    copies: int = field(default=1, repr=False)

    def part(self, images: int) -> BatchPart:
        """What this process has of a batch of so many images."""
        if images < self.size:
            return BatchPart(slice(0, images), images, self.rank == 0)
        return BatchPart(slice(images * self.rank // self.size, images * (self.rank + 1) // self.size), images)

    def take(self, part: BatchPart) -> None:
        """Begin a batch: how many processes have each of its images."""
        self.copies = self.size if part.images < self.size else 1

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` added up over the processes, in place, to the same bits in each; MachineError where one is gone."""
        if self.size > 1:
            with self._in_touch():
                distributed.all_reduce(tensor)
        return tensor

    def add_gradients(self, net: nn.Module) -> None:
        """Give every weight the sum of its gradients over the processes, in one message."""
        if self.size == 1:
            return
        gradients = [weight.grad for weight in net.parameters() if weight.grad is not None]
        added = self.summed(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        pieces = added.split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))

    def tallied(self, tally: Tally) -> Tally:
        """The tally over all processes; sent between CPUs, which shows a process that is gone before NCCL waits."""
        if self.size == 1:
            return tally
        sums = torch.tensor([tally.loss, tally.correct, tally.images], dtype=torch.float64)
        with self._in_touch():
            distributed.all_reduce(sums, group=self.waiting)
        return Tally(float(sums[0]), float(sums[1]), round(float(sums[2])))

    def hand_out(self, what: object) -> None:
        """Give `what`, which pickle takes, to the others; None lets them go."""
        if self.size > 1:
            with self._in_touch():
                distributed.broadcast_object_list([what], src=0, group=self.waiting, device=torch.device("cpu"))

    def handed(self) -> Any:
        """What the first process hands out, waited for."""
        given: list[Any] = [None]
        with self._in_touch():
            distributed.broadcast_object_list(given, src=0, group=self.waiting, device=torch.device("cpu"))
        return given[0]

    @contextmanager
    def _in_touch(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # of torch, which has no narrower one for a connection that was closed
            raise MachineError(self.lost()) from error


ALONE = Group()


# The processes: begun, joined and ended.

_CURRENT: list[Group] = []


@contextmanager
def together(processes: int = 1, device: str = "auto") -> Iterator[Group]:
    """The group in which trainings of the block run; `ALONE` for one process outside of a job of several.

    Within another such block, and in a job that ``torchrun`` started, it is that one's.

    Raises
    ------
    UsageError
        There are too few GPUs, `processes` is below 1, or the job has another number.
    MachineError
        A process could not be started, or died.
    """
    if processes < 1:
        raise UsageError(f"--processes {processes}: at least 1 is needed")
    if _CURRENT:
        if processes not in (1, _CURRENT[-1].size):
            raise UsageError(
                f"--processes {processes}: the job has {_CURRENT[-1].size} processes already; leave it out here"
            )
        yield _CURRENT[-1]
        return
    rank, size = rank_and_size()
    if size > 1:
        need_devices(int(os.environ.get(_LOCAL_SIZE, size)), device)
        began: _Job | _Children = _Job(rank, size, device)
    elif processes > 1:
        need_devices(processes, device)
        began = _Children(processes, device)
    else:
        yield ALONE
        return
    group = began.group()
    _CURRENT.append(group)
    try:
        yield group
        group.hand_out(None)
        began.end()
    except LensauditError as error:
        if not isinstance(error, MachineError):  # the others wait, or have stopped at the same step
            with suppress(MachineError):
                group.hand_out(None)
        began.end()
        raise
    except BaseException:
        began.end(at_once=True)
        raise
    finally:
        _CURRENT.remove(group)


def need_devices(processes: int, device: str) -> None:
    """Refuse more processes on this machine than it has GPUs, where they compute on GPUs."""
    if choose_device(device).type == "cuda" and processes > (there := torch.cuda.device_count()):
        raise UsageError(
            f"--processes {processes}: this machine has {there} GPU{'s' * (there != 1)}, and each process needs its "
            f"own; give --processes {there}, or --device cpu"
        )


def all_processes(processes: int) -> int:
    """How many processes a training has: those of the job, or those that are requested."""
    return max(processes, rank_and_size()[1])


def check_processes(processes: int, device: str, batch_size: int) -> None:
    """UsageError, before anything is computed, for more processes than there are GPUs or a batch has images."""
    if rank_and_size()[1] == 1 < processes:
        need_devices(processes, device)
    processes = all_processes(processes)
    if processes > batch_size:
        raise UsageError(
            f"--processes {processes}: a batch has {batch_size} images; give --batch {processes} or more, or fewer "
            f"processes"
        )


def _joined(store: distributed.Store, rank: int, size: int, device: str, lost: Callable[[], str]) -> Group:
    """This process as a member of the group that meets at `store`."""
    on_gpu = choose_device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get(_LOCAL_RANK, 0)))
    try:
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
        waiting = distributed.new_group(backend="gloo", timeout=_FOREVER)
    except RuntimeError as error:
        raise MachineError(lost()) from error
    return Group(rank, size, lost, waiting)


class _Children:
    """Processes that this one starts; they end when it does, whatever ends it."""

    def __init__(self, size: int, device: str) -> None:
        self.size, self.device = size, device
        self.folder = Path(tempfile.mkdtemp(prefix="lensaudit-group-"))  # ours alone; no port that others could take
        self.store = distributed.FileStore(str(self.folder / "store"), size)
        self.processes: list[subprocess.Popen[bytes]] = []

    def group(self) -> Group:
        """Start them and join."""
        try:
            for rank in range(1, self.size):
                self.processes.append(self._started(rank))
            until = time.monotonic() + _SECONDS_TO_JOIN
            while self.store.add("joined", 0) < self.size - 1:
                if any(process.poll() is not None for process in self.processes) or time.monotonic() > until:
                    raise MachineError(self.lost())
                time.sleep(0.02)
            with _on_loopback():
                return _joined(self.store, 0, self.size, self.device, self.lost)
        except BaseException:
            self.end(at_once=True)
            raise

    def _started(self, rank: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, JOB_RANK: f"{rank}", JOB_SIZE: f"{self.size}", _LOCAL_RANK: f"{rank}"}
        environment |= {_FOLDER: f"{self.folder}", "PYTHONPATH": os.pathsep.join(filter(None, map(str, sys.path)))}
        words = [sys.executable, "-P", "-c", "from lensaudit.training.loop import work; work()", self.device]
        with open(self.folder / f"{rank}.log", "wb") as log, signals_waiting():  # this process decides
            return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)

    def lost(self) -> str:
        """Which process is gone, and why."""
        time.sleep(0.2)  # its end is seen a moment after its connection's
        gone = [(rank, process) for rank, process in enumerate(self.processes, 1) if process.poll() is not None]
        gone.sort(key=lambda one: one[1].returncode == EXIT_MACHINE)  # those left because of another
        who = f"process {gone[0][0] + 1}" if gone else "a process"
        why = self._why(*gone[0]) if gone else ""
        return (
            f"{who} of {self.size} of the training died ({why or 'out of memory?'}); run the same command again to go "
            f"on, with fewer --processes if memory was short"
        )

    def _why(self, rank: int, process: subprocess.Popen[bytes]) -> str:
        if process.returncode < 0:
            return f"killed by signal {-process.returncode}, out of memory?"
        lines = (self.folder / f"{rank}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return printable(lines[-1], 200) if lines else ""

    def end(self, at_once: bool = False) -> None:
        """Leave the group, and see that all have ended."""
        leave_group()
        until = time.monotonic() + (0.0 if at_once else _SECONDS_TO_LEAVE)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0.0))
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)


_MEETING: list[distributed.Store] = []
"""Where the processes of a job meet; made once, and in it a place for every group."""


class _Job:
    """Processes that ``torchrun`` started, of which this is one."""

    groups = 0

    def __init__(self, rank: int, size: int, device: str) -> None:
        self.rank, self.size, self.device = rank, size, device

    def group(self) -> Group:
        """Join."""
        if not _MEETING:
            address = ":".join(os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT"))
            try:
                _MEETING.append(next(distributed.rendezvous("env://"))[0])
            except (RuntimeError, ValueError) as error:
                raise UsageError(
                    f"{address}: the processes of the job cannot meet there (is the port taken?); start it "
                    f"with another MASTER_PORT"
                ) from error
        _Job.groups += 1
        store = distributed.PrefixStore(f"lensaudit-{_Job.groups}", _MEETING[0])
        return _joined(store, self.rank, self.size, self.device, self.lost)

    def lost(self) -> str:
        """The message."""
        return (
            f"a process of the job's {self.size} died (out of memory?); run the same command again to go on, with "
            f"fewer processes if memory was short"
        )

    def end(self, at_once: bool = False) -> None:
        """Leave the group; the processes are torchrun's."""
        leave_group()


def leave_group() -> None:
    """Out of the group again, if this process is in one."""
    if distributed.is_initialized():
        with suppress(RuntimeError):
            distributed.destroy_process_group()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have processes of one machine listen to it alone, however its name resolves."""
    name = "GLOO_SOCKET_IFNAME"
    loopback = [card for _, card in socket.if_nameindex() if card in ("lo", "lo0")]
    if name in os.environ or not loopback:
        yield
        return
    os.environ[name] = loopback[0]
    try:
        yield
    finally:
        del os.environ[name]


def joined_as_child() -> Group:
    """The group of a process that `_Children` started, which ends with whoever started it."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    rank, size = int(os.environ[JOB_RANK]), int(os.environ[JOB_SIZE])
    store = distributed.FileStore(f"{Path(os.environ[_FOLDER]) / 'store'}", size)
    store.add("joined", 1)
    with _on_loopback():
        return _joined(store, rank, size, sys.argv[1], lambda: "the first process is gone")


def _leave_with_parent() -> None:
    """Standard input ends when the first process does."""
    sys.stdin.buffer.read()
    shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)  # who was killed has not done so
    os._exit(EXIT_MACHINE)


def joined_in_job(device: str) -> Group:
    """The group of a process of a job that is not the first, which decides about signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return _Job(*rank_and_size(), device).group()
