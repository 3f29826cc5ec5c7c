"""``lensaudit ci-template``: a job that compares a new finder with the one in use, to begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_text

TEMPLATES = {"shell": "gate.sh", "github": "github.yml", "gitlab": "gitlab.yml"}
"""What ``--for`` takes → its file."""


def register_ci_template(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "ci-template",
        epilog=opt.examples(
            "lensaudit ci-template --for github --out .github/workflows/finder-gate.yml",
            "lensaudit ci-template --for shell --out gate.sh",
        ),
    )(ci_template)


def ci_template(
    for_: Annotated[
        Literal["shell", "github", "gitlab"],
        typer.Option("--for", help="A shell script, or a job of a service."),
    ] = "shell",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write it; default: on the terminal.")
    ] = None,
    force: opt.Force = False,
) -> None:
    """Write a job that fails where a new finder is worse than the one in use, and keeps the page.

    Its exit code is that of lensaudit compare: 0 no regression, 1 a regression, 2 usage, 3 data, 4 machine.
    """
    from lensaudit.errors import UsageError
    from lensaudit.files import writable_folder, write_text

    words = (Path(__file__).parents[1] / "comparing" / "template" / "ci" / TEMPLATES[for_]).read_text(encoding="utf-8")
    if out is None:
        say_text(words.rstrip("\n"))
        return
    if out.exists() and not force:
        raise UsageError(f"{out}: is there already; choose another --out, or --force to replace it")
    writable_folder(out.parent)
    write_text(out, words)
    say(f"{out}: change the names of finders and set at its top; see the how-to on retraining")
