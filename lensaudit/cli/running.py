"""What a command does around its work: alone in its folder, interruptible, with progress, finder and set opened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from lensaudit.cli.compiling import Compile, compiled_if_asked
from lensaudit.cli.console import say, warn
from lensaudit.cli.dask import with_dask
from lensaudit.cli.groups import with_options
from lensaudit.cli.options import CommandWithOldOptions, Reading
from lensaudit.display.numbers import duration
from lensaudit.errors import DataError, UsageError
from lensaudit.files import working_in
from lensaudit.spread import rank_and_size
from lensaudit.untrusted import printable

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import Cutouts, LensSet

FOLDERS = ("out", "again")
"""Parameters of commands that name a folder they write; ``report --from`` draws the page in the folder it reads."""

ALSO = {"export": "key"}
"""Further parameter of a command that names such a folder."""

DIVIDED = frozenset({"train", "cross_validate", "cluster"})
"""Commands whose trainings the processes of a job divide, which ``torchrun`` starts: the first one runs the command."""

WRITES_A_FILE = frozenset({"score", "to_label", "model_card", "ci_template"})
"""Commands whose ``--out`` is one file; that of ``score`` is a folder where it has no ending."""


def each_alone_in_its_folder(app: typer.Typer) -> None:
    """Have every command of `app` and its groups hold its output folder while it runs, and take its old options."""
    for command in app.registered_commands:
        command.cls = CommandWithOldOptions
        if command.callback is not None:
            command.callback = _alone(with_dask(with_options(command.callback)))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            each_alone_in_its_folder(group.typer_instance)


def _alone(callback: Callable[..., Any]) -> Callable[..., Any]:
    also = [ALSO[callback.__name__]] if callback.__name__ in ALSO else []
    is_file = callback.__name__ in WRITES_A_FILE

    @wraps(callback)
    def command(*words: Any, **options: Any) -> Any:
        rank, size = rank_and_size() if callback.__name__ in DIVIDED else (0, 1)
        if rank > 0:
            from lensaudit.training.loop import serve_job

            return serve_job(options["device"])
        with ExitStack() as held:
            if size > 1:
                from lensaudit.training.group import together

                held.enter_context(together(device=options["device"]))
            for name in (*FOLDERS, *also):
                if options.get(name) is not None:
                    place = Path(options[name])
                    held.enter_context(
                        working_in(place, file=is_file and not (place.suffix == "" and callback.__name__ == "score"))
                    )
            return callback(*words, **options)

    return command


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


def open_both(finder: str, lens_set: Path, reading: Reading) -> tuple[Finder, LensSet]:
    """The finder called `finder`, as it reads the cutouts at `lens_set`, and those; see `open_all`."""
    loaded, sets = open_all(finder, [lens_set], reading)
    return loaded, sets[0]


def open_all(finder: str, sets: Sequence[Path], reading: Reading) -> tuple[Finder, list[LensSet]]:
    """The finder called `finder`, as it reads the cutouts at `sets`, and those sets: lens sets, or containers.

    Where statistics are taken from a set (``--refit``), they are the first one's. Of pixels that are resampled as
    asked, one line per set is printed on standard error. Errors are those of `read_by`, of opening a
    set and of `lensaudit.finders.Finder.check`.
    """
    from lensaudit.lensset import open_cutouts

    opened = [open_cutouts(path) for path in sets]  # a wrong path is told before torch is imported
    loaded = read_by(finder, reading, opened[:1])
    check_sets(loaded, opened)
    return loaded, opened


def read_by(finder: str, reading: Reading, sets: Sequence[Cutouts] = ()) -> Finder:
    """The finder called `finder` with the field of view, device, threads and, from the first set, statistics asked for.

    Raises
    ------
    UsageError
        There is no such finder, or statistics are asked for and no set is given or the stretch takes none.
    """
    from lensaudit.finders import load_finder, refitted

    if reading.refit and not sets:
        raise UsageError("--refit takes statistics from a lens set; name one, or leave it out")
    use_threads(reading.threads)
    loaded = load_finder(finder, reading.device).for_field(reading.field_of_view, reading.resample)
    if reading.refit:
        return refitted(loaded, sets[0])
    return loaded.for_units(sets[0]) if sets else loaded


def use_threads(threads: int | None) -> None:
    """Have torch use so many CPU threads; None leaves its choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def check_sets(finder: Finder, sets: Sequence[Cutouts]) -> None:
    """Make sure that the finder can take the sets as input; say what is to be known of its module, and of pixels."""
    for note in finder.notes:
        warn(f"finder {finder.name}: {note}")
    for lens_set in sets:
        finder.check(lens_set)
        if other := finder.other_pixels(lens_set):
            warn(f"{lens_set.path}: {other}; resampled as asked")
        for remark in finder.unit_remarks(lens_set):
            warn(f"{lens_set.path}: {remark}")


def warn_of_clipping(finder: Finder, scores: Scores, where: Path) -> None:
    """Say on standard error, in one line, that the stretch clips more or fewer pixels than it ordinarily does."""
    from lensaudit.finders import remarks_on

    for remark in remarks_on(finder.name, scores.clipping):
        warn(f"{where}: {remark}")


def bands_left_out(finder: Finder, lens_set: Cutouts) -> str:
    """Clause that names the bands of the set that the finder does not look at; empty for none."""
    unused = finder.unused_bands(lens_set)
    return f"; bands left out: {', '.join(unused)}" if unused else ""


def scores_of(
    finder: Finder, lens_set: Cutouts, path: Path | None, batch: int | None = None, compile: Compile = "off"
) -> Scores:
    """Scores of the set in its order, from the file `path` or computed now, `batch` images at a time.

    How `compile` reads see `lensaudit.cli.compiling`.

    Raises
    ------
    DataError
        The file holds scores of another finder or another set.
    """
    from lensaudit.evaluation import in_order_of
    from lensaudit.finders import read_scores, score_set
    from lensaudit.finders.score import first_batch

    if path is None:
        compiled = compiled_if_asked(finder, lambda: first_batch(finder, lens_set, batch), len(lens_set), compile)
        with progress_bar(f"scoring with {finder.name}") as report:
            scores = score_set(finder, lens_set, batch_size=batch, progress=report, compiled=compiled)
        warn_of_clipping(finder, scores, lens_set.path)
        return scores
    found, record = read_scores(path, lens_set.ids)
    inputs = record.provenance.inputs
    if inputs.get("finder", finder.weights_hash) != finder.weights_hash:
        raise DataError(f"{path}: holds scores of other weights than {finder.name}'s; write it with lensaudit score")
    ordered = in_order_of(lens_set.ids, found, path)
    if inputs.get("set", lens_set.content_hash) != lens_set.content_hash:
        raise DataError(f"{path}: holds scores of another set than {lens_set.path}; write it with lensaudit score")
    return ordered
