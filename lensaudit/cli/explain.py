"""``lensaudit explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def explain(
        finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
        lens_set: Path = typer.Argument(metavar="SET", help="Lens set, from lensaudit simulate or ingest."),
        out: Path = typer.Option(..., help="Folder for maps and pictures; those already there are kept."),
        method: list[str] = typer.Option([], "--method", help="A method's name; give it as often as you like; or all."),
        ids: list[str] = typer.Option([], "--id", help="A system's id; give it as often as you like."),
        first: int | None = typer.Option(None, help="The first N systems of the set."),
        every: bool = typer.Option(False, "--all", help="Every system of the set."),
        seed: int = typer.Option(0, min=0, help="Of the noise of SmoothGrad."),
        field_of_view: float | None = typer.Option(
            None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
        ),
        resample: bool = RESAMPLE,
        device: str = typer.Option("auto", help="auto, cpu or cuda."),
        threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
        force: bool = typer.Option(False, "--force", help="Make maps anew that are there already."),
        as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
    ) -> None:
        """Map which pixels speak for "lens": gradients, Grad-CAM, DeepLIFT, occlusion and more; FITS and pictures."""
        from lensaudit.errors import UsageError
        from lensaudit.explain import METHODS, Request, applicable_methods, chosen_systems, no_gradient
        from lensaudit.finders import load_finder
        from lensaudit.lensset import LensSet

        opened = LensSet.open(lens_set)
        systems = chosen_systems(opened, ids, first, every)
        names = tuple(METHODS) if not method or "all" in method else tuple(dict.fromkeys(method))
        loaded = load_finder(finder, device).for_field(field_of_view, resample)
        warn_of_pixels(loaded, opened)
        if not set(names) & set(applicable_methods(loaded)) and set(names) <= set(METHODS):
            raise UsageError(no_gradient(METHODS[names[0]].title, loaded))
        request = Request(loaded, that_apply(loaded, names), seed)
        carry_out(request, opened, systems, out, threads=threads, force=force, as_json=as_json)


def that_apply(finder: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Of the methods `names` those that apply, with a line on the error stream where some need a gradient."""
    from lensaudit.explain import METHODS, applicable_methods

    apply = applicable_methods(finder)
    if left := [name for name in names if name in METHODS and name not in apply]:
        typer.echo(f"finder {finder.name} has no gradient, so these do not apply: {', '.join(left)}", err=True)
    return tuple(name for name in names if name not in left)


def carry_out(
    request: Any, lens_set: Any, systems: Any, out: Path, *, threads: int | None, force: bool, as_json: bool
) -> None:
    """Make the files and tell of them; shared with ``lensaudit gradcam``."""
    import torch

    from lensaudit.cli.set_summary import progress_bar
    from lensaudit.explain import explain_systems

    if threads is not None:
        torch.set_num_threads(threads)
    with progress_bar(f"explaining {request.finder.name}") as report:
        files = explain_systems(request, lens_set, systems, out, force=force, progress=report)
    if as_json:
        facts = {"finder": request.finder.name, "methods": list(request.methods), "seed": request.seed}
        typer.echo(json.dumps({**facts, "systems": [one.summary() for one in files]}, indent=2, ensure_ascii=False))
        return
    for entry in files:
        typer.echo(
            f"{entry.id}: {entry.status}" + (f", {entry.fits} and .png" if entry.fits else ""), err=entry.fits is None
        )
    told = [note for entry in files for result in entry.results for note in result.notes]
    told += [why for entry in files if entry.fits for why in entry.failed.values()]
    for note in dict.fromkeys(told):
        typer.echo(note, err=True)
