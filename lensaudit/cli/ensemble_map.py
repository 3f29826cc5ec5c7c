"""``lensaudit ensemble-map``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        "ensemble-map",
        epilog=opt.examples(
            "lensaudit ensemble-map ou-tsne runs/test --out runs/map",
            "lensaudit ensemble-map ou-tsne runs/test --region=-20,-10,0,10 --out runs/map",
        ),
    )(ensemble_map)


def ensemble_map(
    finder: Annotated[
        str,
        typer.Argument(
            metavar="FINDER", help="An ensemble made by lensaudit ensemble: built-in name or folder.",
            autocompletion=opt.finder_names,
        ),
    ],
    lens_set: Annotated[Path, typer.Argument(metavar="SET", help="Lens set to place on its map.")],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder for map.png, regions.png, map.parquet, map.json."),
    ],
    region: Annotated[
        list[str],
        typer.Option(
            "--region", metavar="X0,X1,Y0,Y1", help="Show cutouts of this part of the map; repeat it for more."
        ),
    ] = [],
    images: opt.Images = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Draw the map of an ensemble: lenses and non-lenses, lens fractions, cutouts of regions."""
    from functools import partial

    from lensaudit.cli.opening import open_both
    from lensaudit.cli.progress import watching
    from lensaudit.ensembles import map_ensemble, read_region

    regions = [read_region(words, f"region {words}") for words in region]
    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))
    with watching() as advance:
        record = map_ensemble(loaded, opened, out, regions, images=images, progress=partial(advance, "scoring"))
    if as_json:
        say_json(record)
        return
    say(f"{out}: map of {record['n_placed']} of {record['n']} images")
    rows = []
    for number, one in enumerate(record["regions"], start=1):
        lenses = "no labels"
        if one["lens_fraction"] is not None:
            low, high = one["interval_95"]
            lenses = f"{one['n_lenses']} of {one['n_labelled']} ({low:.3f}–{high:.3f})"
        x, y = (f"{one[axis][0]:.4g} to {one[axis][1]:.4g}" for axis in ("x", "y"))
        rows.append((str(number), x, y, str(one["n"]), lenses, one["name"]))
    if rows:
        say_table(("region", "x", "y", "images", "lenses", "name"), rows)
