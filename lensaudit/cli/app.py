"""The command line: one thin file per command, one place that turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from lensaudit import __version__
from lensaudit.cli.interrupts import comes_of_ctrl_c, never_lost
from lensaudit.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_DATA,
    EXIT_INTERRUPTED,
    EXIT_MACHINE,
    EXIT_USAGE,
    LensauditError,
)

COMMANDS = (
    "simulate",
    "ingest",
    "check",
    "train",
    "cross_validate",
    "cluster",
    "ensemble",
    "ensemble_map",
    "models",
    "score",
    "evaluate",
    "grades",
    "compare",
    "threshold",
    "false_positives",
    "selection",
    "occlusion",
    "kernels",
    "dream",
    "explain",
    "gradcam",
    "judge",
    "probe",
    "bench",
    "report",
    "quickstart",
)
"""Modules of this folder, in the order of the help page; each has ``register(app)``."""

_INTERRUPTED = ("interrupted; run the same command again to go on where it stopped", EXIT_INTERRUPTED)


class InOrder(TyperGroup):
    """Lists commands in the order of `COMMANDS`; typer itself puts groups such as ``models`` last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order of the help page."""
        named = (module.replace("_", "-") for module in COMMANDS)
        return [name for name in named if name in self.commands]


def build() -> typer.Typer:
    """Assemble the application; imports no torch."""
    app = typer.Typer(
        name="lensaudit",
        cls=InOrder,
        help="Train, explain, probe and report strong-lens finders.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def version(
        show: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
    ) -> None:
        if show:
            typer.echo(f"lensaudit {__version__}")
            raise typer.Exit()

    for name in COMMANDS:
        import_module(f"lensaudit.cli.{name}").register(app)
    return app


def main() -> None:
    """Entry point of the ``lensaudit`` script; never shows a traceback for a user's mistake."""
    try:
        with never_lost():
            code = build()(standalone_mode=False)  # what the command returned, or the code where typer raised Exit
        if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into Exit(130)
            raise KeyboardInterrupt
        if isinstance(code, int):
            sys.exit(code)
    except LensauditError as error:
        _leave(str(error), error.exit_code)
    except KeyboardInterrupt:
        _leave(*_INTERRUPTED)
    except SystemError as error:  # how a Ctrl-C leaves numba's compiled functions, about one in a hundred
        if not comes_of_ctrl_c(error):
            raise
        _leave(*_INTERRUPTED)
    except MemoryError:
        _leave("out of memory; use a smaller --batch or a machine with more memory", EXIT_MACHINE)
    except BrokenPipeError:  # the reader had enough, as in `lensaudit models list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except OSError as error:
        _leave(*_explain(error))
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _leave(  # Lightning imports a torchvision that lies beside it, and fails where that is built for another torch
            "the torchvision installed here does not load beside this torch; install the build made for it, or "
            "pip uninstall torchvision, which only transfer finders need",
            EXIT_MACHINE,
        )
    except Exception as error:
        if type(error).__module__.split(".")[0] in {"click", "typer"}:
            _leave_click(error)
        raise


def _explain(error: OSError) -> tuple[str, int]:
    place = error.filename or "output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{place}: the disk is full; free some space, then run the same command again", EXIT_MACHINE
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{place}: no permission ({error.strerror}); choose another --out", EXIT_USAGE
    if error.errno == errno.ENOENT:
        return f"{place}: no such file or folder; check the path", EXIT_USAGE
    return f"{place}: {error.strerror or error}", EXIT_DATA


def _leave_click(error: Exception) -> None:
    if type(error).__name__ == "Abort":
        _leave(*_INTERRUPTED)
    message = getattr(error, "format_message", lambda: str(error))()
    if message:
        _leave(" ".join(message.split()) + " (see lensaudit --help)", getattr(error, "exit_code", EXIT_USAGE))
    sys.exit(getattr(error, "exit_code", EXIT_USAGE))


def _leave(message: str, code: int) -> None:
    print(f"lensaudit: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
