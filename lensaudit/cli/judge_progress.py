"""What ``judge`` shows while it runs: how long it will take, and a bar of the work done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lensaudit.explain import Watcher


@contextmanager
def watching(what: str) -> Iterator[Watcher]:
    """Lines and a bar on standard error; parts of the work differ in cost, so the bar counts time."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from lensaudit.explain import Watcher

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console)
    task = bar.add_task(what, total=None)

    def report(done: int, total: int) -> None:
        bar.start()  # not before the first report, so that a refused command shows its one line only
        bar.update(task, completed=done, total=total)

    try:
        yield Watcher(told=lambda line: console.print(line, markup=False), progress=report)
    finally:
        if bar.live.is_started:
            bar.stop()
