"""``lensaudit judge``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels

if TYPE_CHECKING:
    from lensaudit.explain import Judgement


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def judge(
        finder: str = typer.Argument(help="Built-in name, a finder's folder, or package.module:factory."),
        sets: list[Path] = typer.Argument(
            metavar="SET...", help="Lens sets; truth is needed for where maps should lie."
        ),
        out: Path = typer.Option(..., help="Folder for the scores; what is finished there is kept."),
        methods: str | None = typer.Option(None, metavar="A,B", help="Methods of explanation; default all."),
        parts: str | None = typer.Option(
            None,
            "--with",
            metavar="A,B",
            help="Of localisation, deletion, insertion, infidelity, sensitivity, randomisation, compound; default all.",
        ),
        per_kind: int = typer.Option(20, help="Images of each kind of scene."),
        few: int = typer.Option(5, help="Of those, how many get the sensitivity."),
        check_images: int = typer.Option(12, help="Images of the randomisation check; more where they cannot tell."),
        fill: str = typer.Option(
            "zero", help="What stands for a missing pixel in deletion and insertion: zero or blur."
        ),
        seed: int = typer.Option(0, help="Of noise, random weights and resamples."),
        field_of_view: float | None = typer.Option(
            None, metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
        ),
        resample: bool = RESAMPLE,
        device: str = typer.Option("auto", help="auto, cpu or cuda."),
        threads: int | None = typer.Option(None, min=1, help="CPU threads; by default torch's choice."),
        as_json: bool = typer.Option(False, "--json", help="Print the scores as JSON."),
    ) -> None:
        """Score explanations: on the arcs or not, faithful or not, learnt or not; both sources of compound lenses."""
        from dataclasses import replace

        import torch

        from lensaudit.cli.explain import that_apply
        from lensaudit.cli.judge_progress import watching
        from lensaudit.explain import JudgeSettings
        from lensaudit.explain import judge as score
        from lensaudit.finders import load_finder
        from lensaudit.lensset import LensSet

        settings = JudgeSettings.of_words(
            methods, parts, per_kind=per_kind, few=few, check_images=check_images, fill=fill, seed=seed
        )
        opened = [LensSet.open(path) for path in sets]
        loaded = load_finder(finder, device).for_field(field_of_view, resample)
        warn_of_pixels(loaded, *opened)
        settings = replace(settings, methods=that_apply(loaded, settings.methods) or settings.methods)
        if threads is not None:
            torch.set_num_threads(threads)
        with watching(f"judging {loaded.name}") as watcher:
            found = score(loaded, opened, out, settings, watcher)
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False))
        else:
            _show(found, out)


def _show(found: Judgement, out: Path) -> None:
    from rich.console import Console

    from lensaudit.cli.judge_tables import tables_of
    from lensaudit.explain.judging.page import words

    console = Console(highlight=False)
    for table in tables_of(found, console.width):
        console.print(table)
    console.print("* the 95 % interval of the difference to chance lies on the better side")
    console.print("† fails the randomisation check   ‡ the check cannot tell")
    for line in words(found):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"{out}: explanation-scores.parquet, .json, .md and .png", markup=False, soft_wrap=True)
