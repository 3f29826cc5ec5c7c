"""Ctrl-C and SIGTERM in a command: raised where they can be raised, and never lost."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from lensaudit.errors import EXIT_INTERRUPTED, EXIT_TERMINATED
from lensaudit.starting import AGAIN, leave

_AGAIN_AFTER_SECONDS = 0.05
"""Long enough for the finaliser to have ended, in which Python cannot raise anything."""


@dataclass
class Stop:
    """Which signal asked the command to stop; None so far."""

    signal: int | None = None

    @property
    def outcome(self) -> tuple[str, int]:
        """The line to leave with, and the exit code."""
        if self.signal == signal.SIGTERM:
            return f"terminated; {AGAIN}", EXIT_TERMINATED
        return f"interrupted; {AGAIN}", EXIT_INTERRUPTED


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt in the main thread, and remember which it was.

    A signal that is ignored, as in a job that ``nohup`` or a shell started in the background, stays ignored.
    """
    stop = Stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.signal != signal.SIGTERM:  # a SIGTERM that was lost is pressed again as SIGINT
            stop.signal = number
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL, leave):
                before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def comes_of_ctrl_c(error: BaseException | None) -> bool:
    """Whether Ctrl-C is what caused `error`: numba's compiled functions turn it into a SystemError, or into two."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _press_again() -> None:
    if hasattr(signal, "pthread_kill"):  # a true signal: wakes a main thread that waits
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextmanager
def never_lost() -> Iterator[None]:
    """Have a Ctrl-C that falls into a finaliser or a callback from C raised again, where it can be raised.

    Python prints "Exception ignored in" there and goes on. A generator that is dropped before its end is
    finalised; so are files and locks.
    """
    before = sys.unraisablehook
    waiting: list[threading.Timer] = []

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        again = threading.Timer(_AGAIN_AFTER_SECONDS, _press_again)  # raised in here it would be lost too
        again.daemon = True
        again.start()
        waiting.append(again)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for again in waiting:  # what is over cannot be interrupted any more
            again.cancel()
