"""``lensaudit occlusion``."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def occlusion(
        finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
        lens_set: Path = typer.Argument(metavar="SET", help="Lens set, from lensaudit simulate or ingest."),
        out: Path = typer.Option(..., help="Folder for the maps; those already there are kept."),
        ids: list[str] = typer.Option([], "--id", help="A system's id; give it as often as you like."),
        first: int | None = typer.Option(None, help="The first N systems of the set."),
        every: bool = typer.Option(False, "--all", help="Every system of the set."),
        patch: int | None = typer.Option(None, help="Side of the patch in the finder's pixels; default: the paper's."),
        stride: int | None = typer.Option(None, help="Pixels between patches; default: the patch."),
        engine: str = typer.Option("exact", help="exact, or captum: the slow reference."),
        view: str = typer.Option(
            "log-odds", help="Of the picture: log-odds, on one scale; or paper: p(lens), each side on its own."
        ),
        batch: int | None = typer.Option(None, help="Most positions at a time; by default what runs fastest."),
        field_of_view: float | None = typer.Option(
            None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
        ),
        resample: bool = RESAMPLE,
        device: str = typer.Option("auto", help="auto, cpu or cuda."),
        threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
        force: bool = typer.Option(False, "--force", help="Make maps anew that are there already."),
        as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
    ) -> None:
        """Map where hiding a patch changes the log-odds of lens: FITS with WCS and a picture per system."""
        import torch

        from lensaudit.cli.set_summary import progress_bar
        from lensaudit.explain import Occluder, chosen_systems, occlude_systems
        from lensaudit.finders import load_finder
        from lensaudit.lensset import LensSet

        opened = LensSet.open(lens_set)
        systems = chosen_systems(opened, ids, first, every)
        loaded = load_finder(finder, device).for_field(field_of_view, resample)
        warn_of_pixels(loaded, opened)
        occluder = Occluder(loaded, patch, stride, engine, batch)
        if threads is not None:
            torch.set_num_threads(threads)
        with progress_bar(f"occluding with {occluder.finder.name}") as report:
            files = occlude_systems(occluder, opened, systems, out, view=view, force=force, progress=report)
        if as_json:
            facts = {"finder": occluder.finder.name, "patch": occluder.grid.patch, "stride": occluder.grid.stride}
            maps = [entry.summary() for entry in files]
            typer.echo(json.dumps({**facts, "engine": engine, "maps": maps}, indent=2, ensure_ascii=False))
            return
        for entry in files:
            typer.echo(
                f"{entry.id}: {entry.status}" + (f", {entry.fits} and .png" if entry.fits else ""), err=entry.failed
            )
        notes = {note for e in files if e.result for note in (e.result.note, _told(e.result.fallbacks)) if note}
        for note in sorted(notes):
            typer.echo(note, err=True)


def _told(fallbacks: tuple[str, ...]) -> str:
    """Which layers the exact engine had no rule for; empty if none."""
    return f"no window rule for {', '.join(fallbacks)}: plain batches from there on" if fallbacks else ""
