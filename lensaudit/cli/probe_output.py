"""What the commands around probes print and share: bars, the ranked table, the words of --fail-on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lensaudit.probes import ProbeAudit


def check_fail_on(word: str | None) -> None:
    """Refuse what --fail-on does not know."""
    from lensaudit.errors import UsageError

    if word not in (None, "bias"):
        raise UsageError(f"--fail-on '{word}' is unknown; allowed: bias")


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


def print_audit(audit: ProbeAudit, out: Path) -> None:
    """The leading finding of every probe, and where the rest is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("verdict", "probe", "what it means", box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for one in audit.ranked:
        table.add_row(one.verdict.word, one.probe, one.meaning)
    for name, why in audit.not_applicable.items():
        table.add_row("not applicable", name, why)
    console.print(table)
    console.print(f"written to {out}", highlight=False, markup=False)
