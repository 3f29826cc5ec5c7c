"""Chunks of a work on the workers of a dask cluster; dask itself is imported when a cluster is asked for."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

from lensaudit.errors import LensauditError, MachineError, UsageError

T = TypeVar("T")
Task = Callable[[int], T]

DIED = "a worker process died (out of memory?); run the same command again with fewer --workers"

PATIENCE_S = 20
"""How long a scheduler may take to answer."""


def spread_on_dask(task: Task[T], chunks: Sequence[int], address: str) -> Generator[T, None, None]:
    """A few chunks for each thread of the cluster at a time, so that neither workers nor this process fill up."""
    try:
        from distributed import Client, as_completed
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise UsageError(
            "--dask needs the package distributed; install it with: pip install lensaudit[dask]"
        ) from error
    with _dask_says_nothing():
        try:
            client = Client(address, timeout=f"{PATIENCE_S}s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"--dask {address}: no dask scheduler answers there; check the address") from error
        with client:
            waiting, running = iter(chunks), as_completed(loop=client.loop)
            try:
                with _task_on_workers(client, task) as name:
                    for future in _handed_out(client, name, islice(waiting, _room(client))):
                        running.add(future)
                    for future in running:
                        done = future.result()
                        future.release()
                        for more in _handed_out(client, name, islice(waiting, max(1, _room(client) - running.count()))):
                            running.add(more)
                        yield done
            except KilledWorker as error:
                raise MachineError(f"--dask {address}: {DIED}") from error
            except (FutureCancelledError, CancelledError, OSError) as error:
                if isinstance(error, LensauditError):
                    raise
                raise MachineError(
                    f"--dask {address}: the scheduler is gone; start one and run the same command again, it goes on"
                ) from error


def _room(client: Any) -> int:
    """Chunks that may be under way: two for each thread, and one where no worker has come yet."""
    return 2 * max(1, sum(client.nthreads().values()))


def _handed_out(client: Any, name: str, chunks: Iterable[int]) -> list[Any]:
    return [client.submit(_do_there, name, chunk, os.getcwd(), pure=False) for chunk in chunks]


@contextmanager
def _task_on_workers(client: Any, task: Task[Any]) -> Iterator[str]:
    """Hand the task to every worker once, to those that come later too: it may hold a network. Gives its name there."""
    from distributed import WorkerPlugin

    class Given(WorkerPlugin):
        """Holds the task on a worker."""

        def __init__(self) -> None:
            self.task = task

    name = f"lensaudit-{uuid4().hex}"
    client.register_plugin(Given(), name=name)
    try:
        yield name
    finally:
        if client.status == "running":  # it is not where the scheduler is gone, and calling it takes half a minute
            with suppress(Exception):
                client.unregister_worker_plugin(name)


_limited: list[Any] = []
"""Of a worker of dask: the limit of threads, which is never taken off again."""


def _do_there(name: str, chunk: int, folder: str) -> Any:
    """A chunk of the task of that name on a worker of dask, in the same working folder: paths may be relative to it.

    As ever with one thread, so that results are those of any other way.
    """
    from distributed import get_worker
    from threadpoolctl import threadpool_limits

    if os.getcwd() != folder:
        try:
            os.chdir(folder)
        except OSError as error:
            raise MachineError(f"a dask worker does not see {folder}; run from a folder that all see") from error
    if not _limited:
        _limited.append(threadpool_limits(1))
        keep_freed_memory()
    given: Any = get_worker().plugins[name]
    return given.task(chunk)


_DASKS_OWN = ("MALLOC_TRIM_THRESHOLD_", "65536")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES, _MAPPED_BYTES = 1 << 28, 1 << 25  # the second is the most that glibc allows


def keep_freed_memory() -> None:
    """Let this process keep memory that it will ask for again, where dask has told it to hand all back at once.

    dask starts its workers with a `MALLOC_TRIM_THRESHOLD_` of 64 kB, under which every array of a cutout costs its
    page faults again: a block of a probe took 1.6 times as long. A value of the user's own stays.
    """
    name, value = _DASKS_OWN
    linux = sys.platform == "linux" and os.environ.get(name) == value
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if linux else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES)


@contextmanager
def _dask_says_nothing() -> Iterator[None]:
    """Hold its log back: what is wrong becomes one line of ours."""
    named = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in ("distributed", "tornado")]
    loggers = [logging.getLogger(name) for name in (*named, "asyncio")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
