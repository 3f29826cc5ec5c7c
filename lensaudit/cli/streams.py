"""Standard output of a command: only lensaudit's own words; and streams that are closed or full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

_OURS = str(Path(__file__).parent)
_PRINTERS = ("typer", "rich", "click", "contextlib")
"""Libraries that print what lensaudit's commands hand them."""


class _Output:
    """Standard output that takes what lensaudit's commands print; all else goes to standard error.

    A module of the user's that prints while it works would otherwise end up in what ``--json`` prints.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text` where it belongs."""
        stream = self._stream if _by_lensaudit(sys._getframe(1)) else sys.stderr
        return stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _by_lensaudit(frame: FrameType | None) -> bool:
    """Whether the innermost frame that is not a printing library's is a command's."""
    while frame is not None:
        file, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if file != __file__ and module not in _PRINTERS:
            return file.startswith(_OURS) or not os.path.isabs(file)  # such as <string>, given to python -c
        frame = frame.f_back
    return True


@contextmanager
def own_output() -> Iterator[None]:
    """Keep foreign words out of standard output, and let a closed stream take everything."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        error = sys.stderr or nowhere
        with redirect_stderr(error), redirect_stdout(_Output(sys.stdout or nowhere)):
            yield
            sys.stdout.flush()


def drop_what_cannot_be_written() -> None:
    """After a write that failed: let Python's own last flush of both streams succeed."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
