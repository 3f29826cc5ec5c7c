"""What a command shows while it runs: bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lensaudit.cli.console import say
from lensaudit.durations import duration
from lensaudit.untrusted import printable

EVERY = 0.1
"""Fraction of a stage after which a log gets another line."""

SECONDS = 30.0
"""Seconds after which a log gets another line, whatever has been done."""

LEAST_SECONDS = 1.0
"""A log gets no two lines within this time, and none of a stage that takes no longer."""


class Watching(Protocol):
    """Takes reports of work in named stages."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take that `done` of `total` steps of `stage` are done."""

    def tell(self, line: str) -> None:
        """Show a line of its own."""


@contextmanager
def watching(*, counted: bool = True) -> Iterator[Watching]:
    """Show on standard error how stages of work get on, so that standard output stays clean.

    Parameters
    ----------
    counted
        Whether steps are things that people count; otherwise only their fraction is shown.
    """
    if not sys.stderr.isatty():
        yield Log(counted=counted)
        return
    bars = _bars(counted)
    try:
        yield bars
    finally:
        bars.stop()


@contextmanager
def progress_bar(stage: str) -> Iterator[Callable[[int, int], None]]:
    """Show how one stage gets on; yields the callback (done, total)."""
    with watching() as show:
        yield lambda done, total: show(stage, done, total)


@dataclass
class _Stage:
    """Of one stage: when and with how many steps done it began, and when and at which fraction it last had a line."""

    began: float
    first: int
    told_at: float
    told: float


class Log:
    """Lines for a log without a terminal: one per tenth of a stage or half a minute, with the time that is left."""

    def __init__(
        self,
        *,
        counted: bool = True,
        write: Callable[[str], object] = lambda line: say(line, err=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counted, self._write, self._clock = counted, write, clock
        self._stages: dict[str, _Stage] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take a report; most of them give no line."""
        now = self._clock()
        fraction = done / total if total else 1.0
        known = self._stages.get(stage)
        if known is None or fraction < known.told:  # the first report, or a stage of that name begun again
            known = self._stages[stage] = _Stage(now, done, now, fraction)
        waited = now - known.told_at
        if waited < LEAST_SECONDS or fraction <= known.told:
            return
        if fraction - known.told >= EVERY - 1e-9 or waited >= SECONDS or done >= total:
            known.told_at, known.told = now, fraction
            self._write(self._line(stage, known, done, total))

    def tell(self, line: str) -> None:
        """Write a line of its own."""
        self._write(line)

    def _line(self, stage: str, known: _Stage, done: int, total: int) -> str:
        spent = known.told_at - known.began
        counted = f"{done} of {total} ({100 * done // max(total, 1)} %)"
        words = f"{stage}: {counted if self._counted else f'{100 * done // max(total, 1)} %'}, {duration(spent)}"
        if done >= total or done <= known.first:
            return words
        return f"{words}, about {duration(spent / (done - known.first) * (total - done))} left"


def _bars(counted: bool) -> Any:
    """Bars of rich, one per stage; not before the first report, so that a refused command shows its one line only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False)
    text = TextColumn("{task.description}", markup=False)
    count = MofNCompleteColumn() if counted else TaskProgressColumn()
    bars = Progress(text, BarColumn(), count, TimeElapsedColumn(), TimeRemainingColumn(), console=console)

    class Bars:
        def __init__(self) -> None:
            self.tasks: dict[str, Any] = {}

        def __call__(self, stage: str, done: int, total: int) -> None:
            if stage not in self.tasks:
                bars.start()
                self.tasks[stage] = bars.add_task(printable(stage), total=total, completed=done)
            bars.update(self.tasks[stage], completed=done, total=total)

        def tell(self, line: str) -> None:
            console.print(printable(line), markup=False, soft_wrap=True)

        def stop(self) -> None:
            if bars.live.is_started:
                bars.stop()

    return Bars()
