"""``lensaudit kernels``."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def kernels(
        finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
        lens_set: Path = typer.Argument(metavar="SET", help="Lens set, from lensaudit simulate or ingest."),
        out: Path = typer.Option(..., help="Folder for the tables and pictures; activation values there are kept."),
        layers: list[str] = typer.Option([], "--layer", help="Draw kernels of this convolution; repeat it for more."),
        numbers: list[int] = typer.Option([], "--kernel", help="This kernel of the layer; by default all of it."),
        top: int = typer.Option(9, min=1, help="Cutouts at either end."),
        batch: int | None = typer.Option(None, min=1, help="Images at a time; by default what runs fastest."),
        field_of_view: float | None = typer.Option(
            None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
        ),
        resample: bool = RESAMPLE,
        device: str = typer.Option("auto", help="auto, cpu or cuda."),
        threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
        force: bool = typer.Option(False, "--force", help="Make the activation values anew."),
        as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
    ) -> None:
        """Show what excites each kernel of a finder over a set, and what it goes with among the lenses."""
        import torch

        from lensaudit.cli.set_summary import progress_bar
        from lensaudit.explain import KernelWish, look_at_kernels, named_kernels
        from lensaudit.finders import load_finder
        from lensaudit.lensset import LensSet

        opened = LensSet.open(lens_set)
        loaded = load_finder(finder, device).for_field(field_of_view, resample)
        warn_of_pixels(loaded, opened)
        chosen = named_kernels(loaded.module, layers, numbers) if layers or numbers else None
        if threads is not None:
            torch.set_num_threads(threads)
        with progress_bar(f"kernels of {loaded.name}") as report:
            made = look_at_kernels(loaded, opened, out, KernelWish(top, chosen, batch, force), report)
        if as_json:
            typer.echo(json.dumps(made.summary(), indent=2, ensure_ascii=False))
            return
        study = made.study
        typer.echo(f"{made.activations}: {len(study.kernels)} kernels, {study.n} of {study.table.n} images")
        typer.echo(f"{made.kernels}: a row per kernel")
        for path in filter(None, (made.correlations, *made.sheets.values())):
            typer.echo(str(path))
        lines = made.strongest if chosen is None else [line for k in chosen for line in made.statements_of(k)]
        for line in lines:
            typer.echo(f"  {line}")
        for kernel in chosen or ():
            if study.correlations is not None and not made.statements_of(kernel):
                typer.echo(f"  {kernel}: goes with none of the truth columns")
        for note in made.notes():
            typer.echo(note, err=True)
