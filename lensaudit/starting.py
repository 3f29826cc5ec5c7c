"""Ctrl-C and SIGTERM while a command is still being imported: one line, as later. Imports nothing that takes time."""

import os
import signal
from types import FrameType

AGAIN = "run the same command again to go on where it stopped"
"""What to do after an interruption."""


def answer_signals() -> None:
    """Answer SIGINT and SIGTERM by `leave` from now on; one that is ignored, as by ``nohup``, stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, leave)


def leave(number: int, _frame: FrameType | None) -> None:
    """End at once, with one line and 128 + the number of the signal: nothing is begun that would need an end.

    An exception would not do: whatever is being imported may catch it, or print it.
    """
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    try:  # noqa: SIM105 - contextlib may be what is being imported
        os.write(2, f"lensaudit: {word}; {AGAIN}\n".encode())
    except OSError:  # standard error is closed or full
        pass
    os._exit(128 + number)
