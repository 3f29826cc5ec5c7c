"""Which error to raise when, and the exit code each one becomes.

==================  ===================================================  ====  =====================
error               raise it when                                        exit  is also a
==================  ===================================================  ====  =====================
``UsageError``      the user's words are wrong: an option, a name, a     2     ``ValueError``
                    recipe field, a folder that cannot be written
``NoSuchFile``      what the user names does not exist (a UsageError)    2     ``FileNotFoundError``
``DataError``       the user's data are wrong: a truncated FITS, a       3     ``ValueError``
                    missing band, a state dict with other shapes
``NoSuchData``      a file that should hold data is missing (DataError)  3     ``FileNotFoundError``
``MachineError``    the machine gave out: disk full, a worker died       4     ``OSError``
``OutOfMemory``     memory ran out (a MachineError)                      4     ``MemoryError``
``AuditFailed``     the audit ran, and its threshold (``--fail-on``)     1
                    was crossed
==================  ===================================================  ====  =====================

Each is also the builtin error that Python code expects, so that ``except ValueError`` and ``except FileNotFoundError``
work. The other side of that: a handler of ours for ``ValueError`` or ``OSError`` around calls of our own functions lets
`LensauditError` through first. Advice names options, as ``--resample``; `lensaudit.api` turns it into arguments.

Ctrl-C ends with 130, SIGTERM with 143, and a reader that closes the pipe (``| head``) with 141. An error that nobody
foresaw is a fault of lensaudit and ends with 70 (``EX_SOFTWARE`` of sysexits.h), never with 1. ``assert`` is for our
own invariants only: whatever a user can cause gets one of these, with one line that names the file, the field and
the fix.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_AUDIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DATA = 3
EXIT_MACHINE = 4
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_TERMINATED = 143


class LensauditError(Exception):
    """Base of all errors a user may see; its message is one line with the fix."""

    exit_code = EXIT_USAGE


class UsageError(LensauditError, ValueError):
    """An option, name, recipe field or output folder is wrong."""

    exit_code = EXIT_USAGE


class NoSuchFile(UsageError, FileNotFoundError):
    """A file or folder that the user names does not exist."""

    # ValueError's, which is found first, makes none: tblib, of dask, calls it
    __new__ = FileNotFoundError.__new__  # type: ignore[assignment]


class DataError(LensauditError, ValueError):
    """An input file or its content is wrong."""

    exit_code = EXIT_DATA


class NoSuchData(DataError, FileNotFoundError):
    """A file that should hold data does not exist."""

    __new__ = FileNotFoundError.__new__  # type: ignore[assignment]  # as of `NoSuchFile`


class MachineError(LensauditError, OSError):
    """The disk is full, or a worker died."""

    exit_code = EXIT_MACHINE


class OutOfMemory(MachineError, MemoryError):
    """Memory ran out."""


class AuditFailed(LensauditError):
    """The audit finished and its own threshold was crossed."""

    exit_code = EXIT_AUDIT_FAILED


class LensauditWarning(UserWarning):
    """What a user should know and need not act on; a command shows it as one line, Python as any warning."""
