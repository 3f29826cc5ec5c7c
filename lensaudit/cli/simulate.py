"""``lensaudit simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lensaudit.cli import options as opt


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit simulate euclid --n 2000 --seed 1 --out runs/train --workers 0",
            "lensaudit simulate lsst --population lsst-best-contaminants --n 500 --out runs/lsst",
        )
    )(simulate)


def simulate(
    instrument: Annotated[Literal["euclid", "vis101", "lsst", "lsst-stack"], typer.Argument(help="What observes.")],
    n: Annotated[int, typer.Option("--n", metavar="N", help="Number of systems.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the new lens set; a stopped run goes on.")
    ],
    population: Annotated[
        str,
        typer.Option(
            "--population", metavar="NAME", autocompletion=opt.population_names,
            help="What is drawn; default: the instrument's training mix.",
        ),
    ] = "",
    seed: opt.Seed = 1,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
    dask: Annotated[
        str, typer.Option("--dask", metavar="ADDRESS", help="Dask scheduler whose workers see --out.")
    ] = "",
) -> None:  # fmt: skip
    """Simulate lenses and non-lenses with their truth."""
    from lensaudit.cli.progress import progress_bar
    from lensaudit.cli.set_summary import show
    from lensaudit.lensset import simulate as run
    from lensaudit.scenes import DEFAULT_POPULATION

    chosen = population or DEFAULT_POPULATION.get(instrument, instrument)
    with progress_bar("simulating") as report:
        lens_set = run(instrument, chosen, n, seed, out, dask or workers, report)
    show(lens_set, as_json=as_json)
