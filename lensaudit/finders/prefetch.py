"""Reading ahead in a thread, so that the disk works while the network does."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE_S = 0.1  # how often a waiting reader looks whether it is still wanted


@dataclass(frozen=True)
class _End:
    """What the reader leaves behind: the error that ended it, if any."""

    error: BaseException | None = None


def prefetched(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield `items` in order while a thread gets the next ones ready, at most `depth` ahead.

    An error of the iterable is raised here, after the items before it; leaving early stops the thread.
    """
    ready: Queue[Any] = Queue(depth)
    unwanted = threading.Event()
    reader = threading.Thread(target=_read, args=(items, ready, unwanted), name="prefetch", daemon=True)
    reader.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        reader.join()


def _read(items: Iterable[Any], ready: Queue[Any], unwanted: threading.Event) -> None:
    end = _End()
    try:
        for item in items:
            if not _handed_over(item, ready, unwanted):
                return
    except BaseException as error:  # raised again where the items are used
        end = _End(error)
    _handed_over(end, ready, unwanted)


def _handed_over(item: Any, ready: Queue[Any], unwanted: threading.Event) -> bool:
    while not unwanted.is_set():
        try:
            ready.put(item, timeout=_PATIENCE_S)
            return True
        except Full:
            continue
    return False
