"""The command line: one thin file per command, one place that turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from lensaudit import __version__
from lensaudit.cli.console import any_encoding, drop_what_cannot_be_written, own_output, say
from lensaudit.cli.options import examples
from lensaudit.cli.running import each_alone_in_its_folder
from lensaudit.cli.signals import Stop, comes_of_ctrl_c, never_lost, stopped_by_signals
from lensaudit.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_DATA,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_MACHINE,
    EXIT_OK,
    EXIT_USAGE,
    LensauditError,
)
from lensaudit.files import disk_is_full
from lensaudit.foreign_code import blamed, our_place
from lensaudit.own_warnings import own_warnings
from lensaudit.untrusted import printable

TRACEBACK = "LENSAUDIT_TRACEBACK"
"""Environment variable; set to 1 it shows the traceback of an error before its line."""

COMMANDS = {
    "simulate": "sets",
    "instruments": "instruments",
    "ingest": "ingest",
    "cut": "inject",
    "inject": "inject",
    "check": "sets",
    "train": "training",
    "cross_validate": "training",
    "cluster": "cluster",
    "ensemble": "ensembles",
    "ensemble_map": "ensembles",
    "models": "finders",
    "score": "finders",
    "evaluate": "evaluation",
    "audit_plan": "audit_plan",
    "audit_labels": "audit_plan",
    "to_label": "to_label",
    "grades": "evaluation",
    "compare": "report",
    "ci_template": "ci_template",
    "threshold": "calibration",
    "calibrate": "calibration",
    "false_positives": "evaluation",
    "selection": "evaluation",
    "realism": "realism",
    "embed": "embedding",
    "occlusion": "explain",
    "kernels": "explain",
    "dream": "dream",
    "explain": "explain",
    "gradcam": "explain",
    "judge": "dream",
    "probe": "probe",
    "planted_bias": "planted",
    "bench": "planted",
    "report": "report",
    "quickstart": "report",
}
"""Commands in the order of the help page, each with the module of this folder that has its ``register_…(app)``."""


class InOrder(TyperGroup):
    """Lists commands in the order of `COMMANDS`; typer itself puts groups such as ``models`` last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order of the help page."""
        named = (name.replace("_", "-") for name in COMMANDS)
        return [name for name in named if name in self.commands]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """What each command does, whole: click itself cuts it to one line."""
        commands = [(name, command) for name in self.list_commands(ctx) if not (command := self.commands[name]).hidden]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first(command.help)) for name, command in commands])


def _first(text: str | None) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join((text or "").split("\n\n")[0].split())


def build() -> typer.Typer:
    """Assemble the application; imports no torch."""
    app = typer.Typer(
        name="lensaudit",
        cls=InOrder,
        help="Train, explain, probe and report strong-lens finders.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # boxes leave a third of 80 columns to the words
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=examples(
            "lensaudit quickstart --out reports/latest",
            "lensaudit report ou66 --set runs/test --out runs/report",
            "lensaudit --install-completion",
        ),
    )

    @app.callback(invoke_without_command=True)
    def version(
        show: bool = typer.Option(False, "-V", "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        if show:
            say(f"lensaudit {__version__}")
            raise typer.Exit()

    for name, module in COMMANDS.items():
        getattr(import_module(f"lensaudit.cli.{module}"), f"register_{name}")(app)
    each_alone_in_its_folder(app)
    return app


def main() -> None:
    """Entry point of the ``lensaudit`` script: whatever happens, one line and a documented exit code."""
    any_encoding()
    message, code = Stop().outcome
    with suppress(KeyboardInterrupt), stopped_by_signals() as stop:  # one that comes now changes nothing any more
        message, code = _run(stop)
    if message:
        _say(message)
    drop_what_cannot_be_written()
    if code:
        sys.exit(code)


def _run(stop: Stop) -> tuple[str, int]:
    """Run the command the words on the command line ask for: (line to leave with, exit code)."""
    try:
        with own_output(), own_warnings(), never_lost():
            code = build()(standalone_mode=False)  # what the command returned, or the code where typer raised Exit
        return ("", code if isinstance(code, int) else EXIT_OK) if code != EXIT_INTERRUPTED else stop.outcome
    except BaseException as error:
        if os.environ.get(TRACEBACK, "0") != "0":
            traceback.print_exc()
        return _outcome(error, stop)


def _outcome(error: BaseException, stop: Stop) -> tuple[str, int]:
    """The line that says what happened, and its exit code."""
    if stop.signal is not None or comes_of_ctrl_c(error) or type(error).__name__ == "Abort":
        return stop.outcome  # numba's compiled functions make a SystemError of Ctrl-C, dying workers others
    if isinstance(error, LensauditError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return "out of memory; use a smaller --batch or a machine with more memory", EXIT_MACHINE
    if isinstance(error, BrokenPipeError):  # the reader had enough, as in `lensaudit models list | head -1`
        return "", EXIT_BROKEN_PIPE
    if line := blamed(error):
        return line, EXIT_USAGE
    if isinstance(error, OSError):
        return _explain(error)
    if isinstance(error, SystemExit):  # of typer, when it completes a word
        return "", error.code if isinstance(error.code, int) else EXIT_OK
    if type(error).__module__.split(".")[0] in {"click", "typer"}:
        return _of_typer(error)
    return _internal(error), EXIT_INTERNAL


def _internal(error: BaseException) -> str:
    """A fault of lensaudit itself: what and where, for the report."""
    words = printable(" ".join(str(error).split()), 300)
    place = our_place(error.__traceback__)
    return (
        f"internal error: {type(error).__name__}{': ' if words else ''}{words}{f' ({place})' if place else ''}; "
        f"please report it ({TRACEBACK}=1 shows the traceback)"
    )


def _explain(error: OSError) -> tuple[str, int]:
    place = error.filename or "output"
    if disk_is_full(error):
        return f"{place}: the disk is full; free some space, then run the same command again", EXIT_MACHINE
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{place}: no permission ({error.strerror}); choose another --out", EXIT_USAGE
    if error.errno == errno.ENOENT:
        return f"{place}: no such file or folder; check the path", EXIT_USAGE
    return f"{place}: {error.strerror or error}", EXIT_DATA


def _of_typer(error: Exception | BaseException) -> tuple[str, int]:
    message = _out_of_range(error) or getattr(error, "format_message", lambda: str(error))()
    code = getattr(error, "exit_code", EXIT_USAGE)
    words = " ".join(message.replace("Value error, ", "").split()).removesuffix(".")
    words = re.sub(
        r" is not one of ('.*')$", lambda found: f" is not known; allowed: {found[1]}".replace("'", ""), words
    )
    return f"{words} (see {_command_of(error)} --help)" if words else "", code


def _command_of(error: Exception | BaseException) -> str:
    """The command whose help says more: ``lensaudit train`` where one of its options is at fault."""
    names, context = [], getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(["lensaudit", *reversed(names)])


def _out_of_range(error: BaseException) -> str:
    """The option, the number given and those it may be, where typer names a bound alone; empty for other mistakes."""
    found: list[Any] = getattr(error.__cause__, "errors", list)()
    option = getattr(error, "param", None)
    if not found or found[0]["type"] not in {"greater_than_equal", "less_than_equal", "int_parsing", "float_parsing"}:
        return ""
    low, high = getattr(option, "min", None), getattr(option, "max", None)
    whole = "a whole number" if found[0]["type"] == "int_parsing" else "a number"
    allowed = {
        (False, False): whole,
        (True, False): f"{low} or more",
        (False, True): f"{high} or less",
        (True, True): f"{low} to {high}",
    }[low is not None, high is not None]
    named = " / ".join(f"'{word}'" for word in getattr(option, "opts", ()))
    return f"Invalid value for {named}: {printable(found[0]['input'], 60)} is not possible; give {allowed}"


def _say(message: str) -> None:
    if sys.stderr is None:
        return
    with suppress(OSError):  # nobody can read it where standard error is closed or full
        print(f"lensaudit: {printable(' '.join(message.split()))}", file=sys.stderr)
