"""``lensaudit simulate``."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(simulate)


def simulate(
    instrument: str = typer.Argument(..., help="euclid, vis101, lsst or lsst-stack."),
    n: int = typer.Option(..., "--n", help="Number of systems."),
    out: Path = typer.Option(..., "--out", help="Folder of the new lens set; an interrupted run is resumed."),
    population: str = typer.Option("", "--population", help="What is drawn; default: the instrument's training mix."),
    seed: int = typer.Option(1, "--seed", help="Image i depends on (population, seed, i) alone."),
    workers: int = typer.Option(1, "--workers", help="Processes; the set is the same whatever their number."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
    dask: str = typer.Option("", "--dask", metavar="ADDRESS", help="Dask scheduler whose workers see --out."),
) -> None:
    """Simulate lenses and non-lenses with their truth."""
    from lensaudit.cli.set_summary import progress_bar, show
    from lensaudit.lensset import simulate as run
    from lensaudit.scenes import DEFAULT_POPULATION

    chosen = population or DEFAULT_POPULATION.get(instrument, instrument)
    with progress_bar("simulating") as report:
        lens_set = run(instrument, chosen, n, seed, out, dask or workers, report)
    show(lens_set, as_json=as_json)
