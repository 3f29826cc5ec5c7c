"""Spreading independent chunks over processes of this machine, or over a dask cluster."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from multiprocessing import connection, get_context, parent_process, resource_tracker
from os import _exit  # the true one: the name in os is held back while foreign code runs
from typing import Any, TypeVar

from lensaudit.errors import MachineError, UsageError
from lensaudit.on_dask import DIED, spread_on_dask
from lensaudit.own_warnings import show_as_ours, shown_as_ours

T = TypeVar("T")

Task = Callable[[int], T]
"""Does one chunk and returns what came of it; picklable, and the same result wherever it runs."""

Progress = Callable[[int, int], None]
"""Called with how many are done, of how many."""
StageProgress = Callable[[str, int, int], None]
"""The same of a work with several stages, after the name of the one that is on."""
"""Called with (systems done, systems in all)."""

_DECIDED_BY_PARENT = (signal.SIGINT, signal.SIGTERM)
"""Signals that a terminal or a batch system sends to all processes; workers leave them to the parent."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


JOB_RANK, JOB_SIZE = "RANK", "WORLD_SIZE"
_OF_A_JOB = (JOB_RANK, JOB_SIZE, "MASTER_ADDR", "MASTER_PORT")


def rank_and_size() -> tuple[int, int]:
    """(number of this process, number of all) in a job that ``torchrun`` or the like started; (0, 1) outside of one.

    Raises
    ------
    UsageError
        The environment says something else than numbers.
    """
    if not all(name in os.environ for name in _OF_A_JOB):
        return 0, 1
    try:
        return int(os.environ[JOB_RANK]), int(os.environ[JOB_SIZE])
    except ValueError as wrong:
        raise UsageError(
            f"environment: {JOB_RANK} and {JOB_SIZE} must be whole numbers, as torchrun sets them"
        ) from wrong


def spread(task: Task[T], chunks: Sequence[int], workers: int | str | Team = 1) -> Generator[T, None, None]:
    """Run `task` on every chunk and yield what it gives for each, as they end.

    Parameters
    ----------
    workers
        Number of processes, each with one thread (1: this process), a `Team`, or the address of a dask scheduler. In
        `on_cluster` it is the cluster's workers, whatever is given.

    Raises
    ------
    UsageError
        `workers` is below 1, dask is not installed, or nobody answers at the address.
    MachineError
        A worker process died, or the scheduler is gone.
    """
    if isinstance(workers, str):
        return spread_on_dask(task, chunks, workers)
    if cluster():
        return spread_on_dask(task, chunks, cluster())
    if isinstance(workers, Team):
        return workers.do(task, chunks)
    if workers < 1:
        raise UsageError(f"--workers must be at least 1, not {workers}")
    return _here(task, chunks) if workers == 1 or len(chunks) < 2 else _in_processes(task, chunks, workers)


def _here(task: Task[T], chunks: Iterable[int]) -> Generator[T, None, None]:
    from threadpoolctl import threadpool_limits

    for chunk in chunks:
        with threadpool_limits(1):
            done = task(chunk)
        yield done


class Team:
    """This process and others beside it, started once for several works.

    The others take part from when they are ready: what is done before is done here, so that a short work never waits
    for them.

    Parameters
    ----------
    workers
        Processes in all.
    get_ready
        What another process does before it takes part: imports, tables.

    Raises
    ------
    UsageError
        `workers` is below 1.
    """

    def __init__(self, workers: int, get_ready: Callable[[], object]) -> None:
        if workers < 1:
            raise UsageError(f"--workers must be at least 1, not {workers}")
        self._others, self._get_ready, self._works = workers - 1, get_ready, 0

    def __enter__(self) -> Team:
        if self._others:
            context = get_context("spawn")
            self._told = context.Queue()
            with _one_thread_each():
                self._pool = ProcessPoolExecutor(self._others, context, _prepare_helper, (self._told, shown_as_ours()))
                self._becoming = _submitted(self._pool, [self._get_ready] * self._others, _call)
        return self

    def __exit__(self, *_: object) -> None:
        if self._others:
            _stop(self._pool)
            self._told.cancel_join_thread()
            self._told.close()

    def do(self, task: Task[T], chunks: Sequence[int]) -> Generator[T, None, None]:
        """Run `task` on every chunk, see `spread`."""
        waiting = iter(chunks)
        if not self._others:
            yield from _here(task, waiting)
            return
        self._works += 1
        for _ in range(self._others):
            self._told.put((self._works, task))
        running: set[Future[Any]] = set()
        try:
            for here in _here(task, waiting):
                yield here
                running = self._joined(running, waiting)
                yield from _taken(running)
            while running:
                wait(running, return_when=FIRST_COMPLETED)
                yield from _taken(running)
        except BrokenProcessPool as error:
            raise MachineError(DIED) from error

    def _joined(self, running: set[Future[Any]], waiting: Iterator[int]) -> set[Future[Any]]:
        """What runs in the others, with new chunks for those that are ready."""
        for future in [one for one in self._becoming if one.done()]:
            self._becoming.remove(future)
            future.result()
        ready = self._others - len(self._becoming)
        free = 2 * ready - sum(not future.done() for future in running)
        return running | _submitted(self._pool, ((self._works, chunk) for chunk in islice(waiting, free)), _do_told)


def _taken(running: set[Future[Any]]) -> Iterator[Any]:
    """Answers of those that have ended, which are taken out."""
    for future in [one for one in running if one.done()]:
        running.remove(future)
        yield future.result()


def _in_processes(task: Task[T], chunks: Sequence[int], workers: int) -> Generator[T, None, None]:
    with _one_thread_each():
        pool = ProcessPoolExecutor(
            min(workers, len(chunks)), get_context("spawn"), _prepare_worker, (task, shown_as_ours())
        )
        waiting = iter(chunks)
        try:
            running = _submitted(pool, islice(waiting, 2 * workers), _do)
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()
                running |= _submitted(pool, islice(waiting, len(ended)), _do)
        except BrokenProcessPool as error:
            raise MachineError(DIED) from error
        finally:
            _stop(pool)


def _submitted(pool: ProcessPoolExecutor, chunks: Iterable[Any], do: Callable[[Any], Any]) -> set[Future[Any]]:
    """Hand chunks to the workers, which start now and inherit that signals wait until they can ignore them."""
    resource_tracker.ensure_running()  # started later, it would let signals through again
    with signals_waiting():
        return {pool.submit(do, chunk) for chunk in chunks}


@contextmanager
def signals_waiting() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back from this process while the block runs, and from those that it starts, for good."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DECIDED_BY_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(pool: ProcessPoolExecutor) -> None:
    """Drop what waits and end the workers; what they were writing has no name yet and is written again."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()  # they ignore SIGTERM
    for process in processes:
        process.join()


_given: list[Task[Any]] = []
"""The task of this worker process, handed over once: the plan of a large ingest is large."""


def _do(chunk: int) -> Any:
    return _given[0](chunk)


def _call(get_ready: Callable[[], object]) -> None:
    get_ready()


_told: list[Any] = []
"""Of a process of a team: where it is told works, the number of the one it knows, and that."""


def _do_told(work_and_chunk: tuple[int, int]) -> Any:
    work, chunk = work_and_chunk
    while _told[1] != work:  # there are as many of each as processes; what this one had no part in is passed over
        _told[1:] = _told[0].get()
    return _told[2](chunk)


def _prepare_helper(told: Any, in_command: bool) -> None:
    _told[:] = [told, 0, None]
    _prepare_worker(None, in_command)


def _prepare_worker(task: Task[Any] | None, in_command: bool) -> None:
    if task is not None:
        _given.append(task)
    sys.stdout = sys.stderr  # what the user's own edits print does not belong into --json
    for number in _DECIDED_BY_PARENT:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _DECIDED_BY_PARENT)
    if in_command:
        show_as_ours()
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A worker whose parent was killed must not go on writing into a set that another run takes up."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        _exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Environment under which spawned workers use one thread each: so results do not depend on their number."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_cluster: ContextVar[str] = ContextVar("cluster", default="")


@contextmanager
def on_cluster(address: str) -> Iterator[None]:
    """Have what is spread in the block go to the workers of the dask scheduler at `address`; nothing where it is empty.

    Whatever number of processes is asked for, this one only hands out chunks and takes what comes of them.
    """
    token = _cluster.set(address or _cluster.get())
    try:
        yield
    finally:
        _cluster.reset(token)


def cluster() -> str:
    """Address of the scheduler that work goes to; empty outside `on_cluster`."""
    return _cluster.get()
