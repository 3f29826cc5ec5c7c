"""``lensaudit gradcam``."""

from __future__ import annotations

from pathlib import Path

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def gradcam(
        finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
        lens_set: Path = typer.Argument(metavar="SET", help="Lens set, from lensaudit simulate or ingest."),
        out: Path = typer.Option(..., help="Folder for maps and pictures; those already there are kept."),
        ids: list[str] = typer.Option([], "--id", help="A system's id; give it as often as you like."),
        first: int | None = typer.Option(None, help="The first N systems of the set."),
        every: bool = typer.Option(False, "--all", help="Every system of the set."),
        threshold: float = typer.Option(
            0.05, help="Pixels are shown from this value of Guided Grad-CAM (the paper's)."
        ),
        field_of_view: float | None = typer.Option(
            None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
        ),
        resample: bool = RESAMPLE,
        device: str = typer.Option("auto", help="auto, cpu or cuda."),
        threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
        force: bool = typer.Option(False, "--force", help="Make maps anew that are there already."),
        as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
    ) -> None:
        """Grad-CAM and Guided Grad-CAM of the last convolution, as in Fig. 17 of Wilde et al. 2022."""
        from lensaudit.cli.explain import carry_out
        from lensaudit.errors import UsageError
        from lensaudit.explain import Request, chosen_systems, no_gradient
        from lensaudit.finders import load_finder
        from lensaudit.lensset import LensSet

        if not threshold > 0:
            raise UsageError(f"--threshold {threshold:g} would show everything; give a value above 0")
        opened = LensSet.open(lens_set)
        systems = chosen_systems(opened, ids, first, every)
        loaded = load_finder(finder, device).for_field(field_of_view, resample)
        if not loaded.differentiable:
            raise UsageError(no_gradient("Grad-CAM", loaded))
        warn_of_pixels(loaded, opened)
        request = Request(loaded, ("gradcam", "guided-gradcam"), threshold=threshold)
        carry_out(request, opened, systems, out, threads=threads, force=force, as_json=as_json)
