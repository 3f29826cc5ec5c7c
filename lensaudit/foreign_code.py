"""Running code of the user's own (a finder's module, an edit of a probe), so that the command stays in charge.

Whatever such code does, the command answers in one line: it may raise anything, leave the program, print, read the
command line, change the working folder or install signal handlers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import site
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from lensaudit.errors import LensauditError, UsageError
from lensaudit.untrusted import printable

_NOTE = "in the user's own code: "
_PACKAGE = Path(__file__).parent
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_LIBRARIES = tuple(
    {
        path
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        for path in (sysconfig.get_path(name), os.path.realpath(sysconfig.get_path(name)))
    }
    | {site.getusersitepackages()}
)


class LeftTheProgram(SystemExit):
    """``os._exit`` was called by foreign code; raised in its place."""


@contextmanager
def own_state_kept() -> Iterator[None]:
    """Put working folder and signal handlers back after a block of foreign code; costs some microseconds."""
    folder = os.getcwd()
    handlers = [(number, signal.getsignal(number)) for number in _SIGNALS]
    try:
        yield
    finally:
        if os.getcwd() != folder:
            os.chdir(folder)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers:
                if signal.getsignal(number) is not handler and handler is not None:
                    signal.signal(number, handler)


@contextmanager
def _withheld() -> Iterator[None]:
    """Keep the command line and the way out of the program from a block of foreign code."""
    argv, leave = sys.argv, os._exit
    with own_state_kept():
        sys.argv = argv[:1]
        os._exit = _refuse_to_leave
        try:
            yield
        finally:
            sys.argv, os._exit = argv, leave


@contextmanager
def in_charge(what: str) -> Iterator[None]:
    """Run a block of foreign code; what it prints goes to standard error, and it sees no command line.

    Parameters
    ----------
    what
        Begins the message, such as ``finder mine:make: the factory``.

    Raises
    ------
    UsageError
        It raised something else than one of our errors, or tried to end the program.
    """
    with _withheld(), contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except BaseException as error:
            if _is_nobodys(error):
                raise
            raise UsageError(f"{what} {told(error)}") from error


@contextmanager
def on_its_account(what: str) -> Iterator[None]:
    """Run a block of foreign code whose errors come through as they are, with a note by which `blamed` knows them."""
    with _withheld():
        try:
            yield
        except BaseException as error:
            if not _is_nobodys(error):
                error.add_note(f"{_NOTE}{what}")
            raise


def blamed(error: BaseException) -> str | None:
    """The line that names the foreign code `error` came out of; None where it is none of that."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_NOTE):
            return f"{note.removeprefix(_NOTE)} {told(error)}"
    return f"your own code {told(error)}" if _is_to_blame(error) else None


def _is_nobodys(error: BaseException) -> bool:
    return isinstance(error, LensauditError | KeyboardInterrupt) or is_out_of_memory(error)


def told(error: BaseException) -> str:
    """What foreign code did, as a clause: ``failed (ValueError: no such key, mine.py:12); fix it``."""
    place = where(error)
    at = f", {place}" if place else ""
    if isinstance(error, SystemExit):
        call = "os._exit" if isinstance(error, LeftTheProgram) else "sys.exit or a parser of arguments"
        return f"ends the program ({call}{at}); take that out, or put it below if __name__ == '__main__'"
    words = printable(" ".join(str(error).split()), 160)
    return f"failed ({type(error).__name__}{': ' if words else ''}{words}{at}); fix it"


def where(error: BaseException) -> str:
    """``file:line`` of the innermost frame that is neither a library's nor ours; empty where there is none."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if is_foreign(file):
            found = f"{printable(file)}:{line}"
    return found


def _is_to_blame(error: BaseException) -> bool:
    """Whether `error` came out of foreign code: the innermost frame that is no library's is not ours."""
    innermost = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if is_ours(file) or is_foreign(file):
            innermost = file
    return innermost is not None and not is_ours(innermost)


def our_place(trace: TracebackType | None) -> str:
    """``file:line`` of the innermost frame of lensaudit; empty where there is none."""
    found = ""
    for frame, line in traceback.walk_tb(trace):
        if is_ours(frame.f_code.co_filename):
            found = f"{Path(frame.f_code.co_filename).relative_to(_PACKAGE.parent).as_posix()}:{line}"
    return found


def is_ours(file: str) -> bool:
    """Whether `file` is part of lensaudit."""
    return Path(file).is_relative_to(_PACKAGE)


def is_foreign(file: str) -> bool:
    """Whether `file` is the user's: a file that is part neither of lensaudit nor of a library."""
    if not os.path.isabs(file) or is_ours(file):
        return False
    return not any(Path(file).is_relative_to(library) for library in _LIBRARIES)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of the GPU, which is nobody's mistake."""
    words = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("not enough memory" in words or "can't allocate memory" in words))
    )


def imported(reference: str, what: str, called: str) -> tuple[Callable[..., Any], Path | None]:
    """What ``package.module:name`` names, found on the Python path or in the working folder, and its module's file.

    Parameters
    ----------
    reference
        As typed by the user.
    what
        Begins messages, such as ``finder mine:make``.
    called
        What must stand behind the colon, such as ``factory``.

    Raises
    ------
    UsageError
        The module cannot be imported or is a part of Python, or the name is not a function or class of it.
    """
    module, _, attribute = reference.partition(":")
    fix = f"give package.module:{called}"
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        own = Path(f"{top}.py")
        rename = f"rename your {own}, which it hides" if own.is_file() else fix
        raise UsageError(f"{what}: {top} is a module of Python itself, not one of yours; {rename}")
    if not all(module.split(".")):
        raise UsageError(f"{what}: {module!r} is not the name of a module; {fix}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # and it stays there: a function may import its neighbours when it is called
    with in_charge(f"{what}: cannot be imported: it"):
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name is None or not f"{module}.".startswith(f"{missing.name}."):
                raise
            raise UsageError(f"{what}: cannot be imported: there is no module {module}; {fix}") from missing
        file = getattr(found, "__file__", None)
        made = getattr(found, attribute, None)
    if made is None:
        raise UsageError(f"{what}: module {module} has no {attribute!r}; {fix}")
    if not callable(made):
        raise UsageError(f"{what}: {attribute} is not a function; {fix}")
    _refuse_pythons_own(made, what, called)
    return made, None if file is None else Path(file)


def _refuse_pythons_own(made: Callable[..., Any], what: str, called: str) -> None:
    """``mine:exit`` where ``mine`` says ``from sys import exit``."""
    function = made.func if isinstance(made, partial) else made
    home = str(getattr(function, "__module__", None) or type(function).__module__).partition(".")[0]
    if home in sys.stdlib_module_names and home != "functools":
        name = getattr(function, "__qualname__", type(function).__name__)
        raise UsageError(f"{what}: is {home}.{name} of Python itself; name a {called} of your own")


def _refuse_to_leave(status: int) -> NoReturn:
    raise LeftTheProgram(status)
