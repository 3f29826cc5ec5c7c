"""``lensaudit dream``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels

if TYPE_CHECKING:
    from lensaudit.explain import DreamFiles


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def dream(
        finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
        out: Path = typer.Option(..., help="Folder for the images; those already there are kept."),
        classes: list[str] = typer.Option([], "--class", help="lens or non-lens; by default both."),
        layers: list[str] = typer.Option([], "--layer", help="All kernels of this convolution, in one optimisation."),
        kernels: list[str] = typer.Option([], "--kernel", metavar="LAYER:KERNEL", help="One kernel, as 13:4."),
        begin: Path | None = typer.Option(
            None, "--from", metavar="SET", help="Deep Dream: begin from systems of this lens set, not from noise."
        ),
        ids: list[str] = typer.Option([], "--id", help="Which systems of it; give it as often as you like."),
        beside: Path | None = typer.Option(
            None, "--set", metavar="SET", help="Draw the cutouts of this set that excite a target most beside it."
        ),
        scan: int = typer.Option(2000, help="Most cutouts of it to look at."),
        steps: int | None = typer.Option(
            None, help="Default: the paper's, 5000 from noise, 1000 from a cutout, kernels 50."
        ),
        rate: float | None = typer.Option(None, help="Default: the paper's, 0.1 from noise, 0.001 from a cutout."),
        optimiser: str | None = typer.Option(
            None, help="ascent or adam. Default: ascent for classes, adam for kernels."
        ),
        bounds: str | None = typer.Option(
            None, help="Pixels in [0, 1]: rescale (classes), clip, or free (kernels; clipped for the picture)."
        ),
        objective: str | None = typer.Option(None, help="Of a class: output (before softmax, default) or log-odds."),
        decay: float | None = typer.Option(None, help="Weight decay. Default: 0 for classes, 1e-6 for kernels."),
        regularise: str = typer.Option(
            "", metavar="WORDS", help="jitter, fourier, tv; with strengths: jitter=4,tv=0.5."
        ),
        seed: int = typer.Option(0, help="Of noise and jitter."),
        brighten: float = typer.Option(
            0.0, metavar="PERCENT", help="Brighten NISP pictures; the paper's Fig. 16: 150."
        ),
        field_of_view: float | None = typer.Option(
            None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
        ),
        resample: bool = RESAMPLE,
        device: str = typer.Option("auto", help="auto, cpu or cuda."),
        threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
        force: bool = typer.Option(False, "--force", help="Make anew what is there already."),
        as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
    ) -> None:
        """Make images that excite a class or a kernel most: class images, Deep Dream, kernel images."""
        import torch

        from lensaudit.cli.set_summary import progress_bar
        from lensaudit.errors import UsageError
        from lensaudit.explain import Changes, DreamWish, chosen_targets, dream_files, from_cutouts, from_noise
        from lensaudit.finders import load_finder
        from lensaudit.lensset import LensSet

        if ids and begin is None:
            raise UsageError("--id names a system of a lens set; say which set with --from SET")
        loaded = load_finder(finder, device).for_field(field_of_view, resample)
        targets = chosen_targets(loaded.module, classes, kernels, layers)
        changes = Changes(steps, rate, optimiser, bounds, objective, decay, seed, regularise)
        if threads is not None:
            torch.set_num_threads(threads)
        starts = (from_noise(loaded, seed),) if begin is None else from_cutouts(loaded, LensSet.open(begin), ids)
        opened = LensSet.open(beside) if beside is not None else None
        warn_of_pixels(loaded, *([opened] if opened is not None else []))
        wish = DreamWish(targets, starts, changes, opened, scan, brighten, force)
        run = dream_files(loaded, wish, out, progress_bar)
        if as_json:
            facts = {"finder": loaded.name, "dreams": [entry.summary() for entry in run.files]}
            facts |= {"sheets": [str(path) for path in run.sheets], "notes": list(run.notes)}
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
            return
        for entry in run.files:
            typer.echo(_line(entry), err=entry.failed)
        for path in run.sheets:
            typer.echo(str(path))
        for note in run.notes:
            typer.echo(note, err=True)


def _line(entry: DreamFiles) -> str:
    where = entry.target.name + (f" from {entry.start}" if entry.start else "")
    if entry.dream is None:
        return f"{where}: {entry.status}"
    first, last = entry.dream.values[0], entry.dream.values[-1]
    p = entry.dream.p_lens
    return (
        f"{where}: {entry.status}, {first:.3g} → {last:.3g}, p(lens) {p[0]:.3f} → {p[-1]:.3f}, {entry.fits} .png .gif"
    )
