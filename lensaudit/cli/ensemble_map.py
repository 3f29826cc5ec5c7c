"""``lensaudit ensemble-map``."""

from __future__ import annotations

import json
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("ensemble-map")(ensemble_map)


def ensemble_map(
    finder: str = typer.Argument(help="An ensemble made by lensaudit ensemble: built-in name or folder."),
    lens_set: Path = typer.Argument(metavar="SET", help="Lens set to place on its map."),
    out: Path = typer.Option(
        ..., "--out", metavar="DIR", help="Folder for map.png, regions.png, map.parquet, map.json."
    ),
    region: list[str] | None = typer.Option(
        None, metavar="X0,X1,Y0,Y1", help="Show cutouts of this part of the map; may be repeated."
    ),
    images: int | None = typer.Option(None, min=1, help="So many of the set's images, evenly spread; default all."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    as_json: bool = typer.Option(False, "--json", help="Print the numbers as JSON."),
) -> None:
    """Draw the map of an ensemble: lenses and non-lenses, lens fractions, cutouts of regions."""
    from functools import partial

    from lensaudit.cli.stages import stage_bars
    from lensaudit.ensembles import map_ensemble, read_region
    from lensaudit.finders import load_finder
    from lensaudit.lensset import LensSet

    regions = [read_region(words, f"region {words}") for words in region or []]
    loaded, opened = load_finder(finder, device), LensSet.open(lens_set)
    with stage_bars() as advance:
        record = map_ensemble(loaded, opened, out, regions, images=images, progress=partial(advance, "scoring"))
    if as_json:
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{out}: map of {record['n_placed']} of {record['n']} images")
    for number, one in enumerate(record["regions"], start=1):
        share = "no labels"
        if one["lens_fraction"] is not None:
            low, high = one["interval_95"]
            share = f"{one['n_lenses']} of {one['n_labelled']} are lenses ({low:.3f}–{high:.3f})"
        place = f"x {one['x'][0]:.4g} to {one['x'][1]:.4g}, y {one['y'][0]:.4g} to {one['y'][1]:.4g}"
        typer.echo(f"  {number}: {one['name']}, {place}: {one['n']} images, {share}")
