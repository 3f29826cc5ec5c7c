"""``lensaudit probe``: one command per built-in probe, and ``list``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lensaudit.resources import builtin_folder

if TYPE_CHECKING:
    from lensaudit.probes import ProbeResult


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    probes = typer.Typer(no_args_is_help=True, help="Ask a finder about pairs of scenes that differ in one thing.")
    probes.command("list")(list_probes)
    for path in sorted(builtin_folder("probes").glob("*.yaml")):
        probes.command(path.stem, help=f"Run the {path.stem} probe on FINDER.")(_command(path.stem))
    app.add_typer(probes, name="probe")


def list_probes() -> None:
    """List the built-in probes."""
    from rich.console import Console
    from rich.table import Table

    from lensaudit.probes import builtin_probes, load_definition

    table = Table("probe", "question", "modes", "tolerance")
    for name in builtin_probes():
        definition = load_definition(name)
        table.add_row(name, definition.question, ", ".join(definition.modes), f"{definition.tolerance:g}")
    Console().print(table)


def _command(name: str) -> Callable[..., None]:
    def command(
        finder: str = typer.Argument(..., help="Built-in name, folder, or package.module:factory."),
        n: int = typer.Option(..., "--n", help="Pairs of each population; each is two images."),
        out: Path = typer.Option(..., "--out", help="Folder for the result; run again to go on after an interruption."),
        mode: str = typer.Option(None, "--mode", help="How scenes are drawn; see 'lensaudit probe list'."),
        seed: int = typer.Option(0, "--seed", help="Seed of the scenes, their noise and the resamples."),
        workers: int = typer.Option(1, "--workers", help="Processes that render."),
        tolerance: float = typer.Option(None, "--tolerance", help="Loss of recall that is accepted."),
        stretch: str = typer.Option(None, "--stretch", help="Stretch in place of the finder's own and the mode's."),
        device: str = typer.Option("auto", "--device", help="auto, cpu or cuda."),
        as_json: bool = typer.Option(False, "--json", help="Print the result as JSON instead of a table."),
    ) -> None:
        from lensaudit.finders import load_finder
        from lensaudit.probes import ProbeOptions, run_probe

        options = ProbeOptions(mode=mode, stretch=stretch, tolerance=tolerance, workers=workers)
        with _progress() as progress:
            result = run_probe(name, load_finder(finder, device=device), n, seed, out, options, progress)
        _print_json(result) if as_json else _print_table(result, out)

    return command


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
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


def _print_json(result: ProbeResult) -> None:
    import json

    typer.echo(json.dumps(result.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False))


def _print_table(result: ProbeResult, out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from lensaudit.probes import FINDINGS_HEAD, findings_rows

    console = Console()
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False, show_header=False)
    for line in zip(FINDINGS_HEAD, *findings_rows(result.findings), strict=True):
        table.add_row(*(cell.replace(" [", "\n[") for cell in line))
    console.print(f"{result.definition.title}: {result.finder.name}", highlight=False, markup=False)
    console.print(table)
    console.print(f"{result.verdict.word}: {result.verdict.sentence}", highlight=False, markup=False)
    console.print(f"written to {out}", highlight=False, markup=False)
