"""Each command alone in the folder it writes: a second one into the same ``--out`` is refused while the first runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from lensaudit.files import working_in

FOLDERS = ("out", "again")
"""Parameters of commands that name a folder they write; ``report --from`` draws the page in the folder it reads."""

ALSO = {"export": "key"}
"""Further parameter of a command that names such a folder."""

WRITES_A_FILE = frozenset({"score"})
"""Commands whose ``--out`` is one file."""


def each_alone_in_its_folder(app: typer.Typer) -> None:
    """Have every command of `app` and its groups hold its output folder while it runs."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _alone(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            each_alone_in_its_folder(group.typer_instance)


def _alone(callback: Callable[..., Any]) -> Callable[..., Any]:
    also = [ALSO[callback.__name__]] if callback.__name__ in ALSO else []
    is_file = callback.__name__ in WRITES_A_FILE

    @wraps(callback)
    def command(*words: Any, **options: Any) -> Any:
        with ExitStack() as held:
            for name in (*FOLDERS, *also):
                if options.get(name) is not None:
                    held.enter_context(working_in(Path(options[name]), file=is_file))
            return callback(*words, **options)

    return command
