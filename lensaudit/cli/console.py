"""Everything a command prints goes through here, so that no foreign word reaches the terminal raw."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import typer

from lensaudit.untrusted import printable


def say(*lines: str, err: bool = False) -> None:
    """Print each of `lines` as one line, characters that a terminal acts on escaped."""
    for line in lines:
        typer.echo(printable(line), err=err)


def say_json(value: Any) -> None:
    """Print `value` as indented JSON; what a terminal acts on is escaped as JSON does it."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo("\n".join(re.sub(r"[^\n]", _escaped, line) for line in text.split("\n")))


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return sign if printable(sign) == sign else json.dumps(sign)[1:-1]


def any_encoding() -> None:
    """Let standard output and error take every character: what their encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
