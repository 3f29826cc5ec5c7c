"""The commands as typed, for tests of all of them: built once, walked and parsed without running anything."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from typer.main import get_command

from lensaudit.cli.app import build

APPLICATION: Any = get_command(build())


def walk(command: Any = APPLICATION, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of commands below `command` with its words; groups under an old name are left out."""
    for name, child in getattr(command, "commands", {}).items():
        if not (child.hidden and is_group(child)):
            yield (*words, name), child
            yield from walk(child, (*words, name))


def is_group(command: Any) -> bool:
    """Whether it only holds commands."""
    return hasattr(command, "commands")


def parse(line: str | Sequence[str]) -> None:
    """Parse a ``lensaudit …`` line as the command line would; `typer.exceptions.TyperException` where it cannot."""
    words, command, context = shlex.split(line) if isinstance(line, str) else list(line), APPLICATION, None
    while True:
        name, *rest = words
        if {"-h", "--help", "--version"} & set(rest) and not is_group(command):
            return
        context = command.make_context(name, rest, parent=context)
        if not is_group(command):
            return
        left = [*context._protected_args, *context.args]
        if not left:
            return
        _, command, remaining = command.resolve_command(context, left)
        words = [left[0], *remaining]
