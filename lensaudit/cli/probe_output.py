"""What the commands around probes print and share: bars, the ranked table, the words of --fail-on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lensaudit.cli.console import say
from lensaudit.verdicts import Step, fail_words

if TYPE_CHECKING:
    from lensaudit.probes import ProbeAudit

FAIL_ON = typer.Option(
    None,
    "--fail-on",
    metavar="VERDICT",
    help=f"Exit code 1 at this verdict or a graver one: {', '.join(fail_words())}.",
)


def check_fail_on(word: str | None) -> None:
    """Refuse what --fail-on does not know."""
    from lensaudit.errors import UsageError

    if word is not None and word not in fail_words():
        raise UsageError(f"--fail-on '{word}' is unknown; allowed: {', '.join(fail_words())}")


def fail_where(words: Sequence[str], fail_on: str | None) -> None:
    """End with exit code 1 where a verdict is the one the user chose to fail on, or a graver one."""
    from lensaudit.errors import EXIT_AUDIT_FAILED
    from lensaudit.verdicts import failing

    if fail_on is not None and failing(words, fail_on):
        raise typer.Exit(EXIT_AUDIT_FAILED)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on the error stream, one per kind of work, so that --json stays clean."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)  # type: ignore[arg-type]

        yield progress


def say_verdict(verdict: dict[str, Any]) -> None:
    """The verdict of a report: headline, sentences, and what to do next; an earlier version's has no next steps."""
    say(verdict["headline"])
    for sentence in verdict["sentences"]:
        say(f"  {sentence}")
    say_next([Step(step["why"], step["command"]) for step in verdict.get("next", ())])


def say_next(steps: Sequence[Step]) -> None:
    """What to do next, each command on a line of its own so that it can be copied."""
    for step in steps:
        say(f"next: {step.why}{':' if step.command else ''}")
        if step.command:
            say(f"  {step.command}")


def print_audit(audit: ProbeAudit, out: Path) -> None:
    """The leading finding of every probe, and where the rest is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from lensaudit.verdicts import in_short

    console = Console()
    table = Table("verdict", "probe", "what it means", box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for one in audit.ranked:
        table.add_row(one.verdict.word, one.probe, one.meaning)
    for name, why in audit.not_applicable.items():
        table.add_row("not applicable", name, why)
    console.print(table)
    say(in_short(audit.answers))
    say_next(audit.next_steps())
    console.print(f"written to {out}", highlight=False, markup=False)
