"""Standard output and error of a command: only lensaudit's own words on the one, only its own lines on the other."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from lensaudit.errors import LensauditWarning
from lensaudit.untrusted import printable

_OURS = str(Path(__file__).parent)
_PRINTERS = ("typer", "rich", "click", "contextlib")
"""Libraries that print what lensaudit's commands hand them."""

SILENCED: tuple[tuple[str, str, str], ...] = (
    # (module of the warning's place, beginning of its words, why nobody need read it)
    (r"torch\.|lightning\.|captum\.", "", "of calls between libraries; what matters of a finder is checked by us"),
    (r"torchvision\.|timm\.", "", "of calls between libraries"),
    (r"astropy\.", "", "headers are checked where they are read, and what is wrong there is said by name"),
    (r"sklearn\.|openTSNE|umap\.|pynndescent\.", "", "of calls between libraries; convergence is in the record"),
    (r"zarr\.|numcodecs\.|pyarrow\.", "", "of formats whose every byte is checked by hash"),
    (r"numba\.|skypy\.|lenstronomy\.|galsim\.|photutils\.", "", "of calls between libraries"),
    (r"matplotlib\.|PIL\.|rich\.|typer\.", "", "of a figure's fonts and layout"),
    (r"", r"unclosed file|unclosed <", "closed by the garbage collector at once"),
    (r"", r"The pickle protocol|.*weights_only|You are using `torch\.load`", "only tensors are read, never code"),
)
"""Warnings of libraries that are not shown in a command, each kind with the reason; the first pattern is matched
against the module, the second against the words."""


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


@contextmanager
def own_warnings() -> Iterator[None]:
    """Show warnings as lines of ours; those of libraries that nobody can act on are silent (see `SILENCED`).

    Nothing changes where Python was told what to do with warnings (``-W``, ``PYTHONWARNINGS``), nor outside commands.
    """
    if sys.warnoptions:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("once", LensauditWarning)
        warnings.showwarning = show_warning
        yield


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line on standard error, unless it is among `SILENCED`."""
    words = " ".join(str(message).split())
    if issubclass(category, LensauditWarning):
        shown = words
    elif _is_silenced(words, filename):
        return
    else:
        shown = f"{category.__name__} of {Path(filename).name}, line {lineno}: {words}"
    with suppress(OSError):
        print(f"lensaudit: warning: {printable(shown, 400)}", file=sys.stderr)


def _is_silenced(words: str, filename: str) -> bool:
    dotted = filename.replace(os.sep, ".")
    module = dotted.rpartition("site-packages.")[2]
    return any(
        (not where or ("site-packages." in dotted and re.match(where, module))) and re.match(beginning, words)
        for where, beginning, _why in SILENCED
    )


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
