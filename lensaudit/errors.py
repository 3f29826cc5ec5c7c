"""Which error to raise when, and the exit code each one becomes.

==================  =====================================================  ====
error               raise it when                                          exit
==================  =====================================================  ====
``UsageError``      the user's words are wrong: an option, a name, a        2
                    recipe field, a folder that cannot be written
``DataError``       the user's data are wrong: a truncated FITS, a missing   3
                    band, a state dict with other shapes, NaN pixels
``MachineError``    the machine gave out: disk full, out of memory           4
``AuditFailed``     the audit ran, and its own threshold (``--fail-on``)     1
                    was crossed
==================  =====================================================  ====

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


class UsageError(LensauditError):
    """An option, name, recipe field or output folder is wrong."""

    exit_code = EXIT_USAGE


class DataError(LensauditError):
    """An input file or its content is wrong."""

    exit_code = EXIT_DATA


class MachineError(LensauditError):
    """The disk is full, or memory ran out."""

    exit_code = EXIT_MACHINE


class AuditFailed(LensauditError):
    """The audit finished and its own threshold was crossed."""

    exit_code = EXIT_AUDIT_FAILED


class LensauditWarning(UserWarning):
    """What a user should know and need not act on; a command shows it as one line, Python as any warning."""
