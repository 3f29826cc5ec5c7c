"""``lensaudit ensemble`` and ``ensemble-map``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.display.numbers import interval, measured
from lensaudit.errors import UsageError

if TYPE_CHECKING:
    from lensaudit.ensembles import Fitted
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet


def register_ensemble(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit ensemble ou66 ou200 --data runs/train --test runs/test --out runs/pair",
        )
    )(ensemble)


def ensemble(
    data: Annotated[Path, typer.Option("--data", metavar="SET", help="Lens set whose scores make the map.")],
    out: opt.Becomes,
    members: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MEMBER...", help="Two finders or more, names or folders; by default the paper's seven.",
            autocompletion=opt.finder_names,
        ),
    ] = None,
    test: opt.TestSet = None,
    images: opt.Images = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the finder.")] = "ou-tsne",
    perplexity: Annotated[
        float, typer.Option("--perplexity", metavar="X", help="Of t-SNE; the paper gives none.")
    ] = 30.0,
    cells: Annotated[
        str,
        typer.Option(
            "--cells", metavar="N|auto",
            help="Of the map's grid along each side (the paper: 100); auto: as fits its images.",
        ),
    ] = "100",
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of t-SNE.")] = 1,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Combine finders by a t-SNE map of their scores (OU-T-SNE); the result is a finder like any other."""
    from functools import partial

    from lensaudit.cli.running import check_sets, watching
    from lensaudit.ensembles import SEVEN, EnsemblePlan, fit_ensemble
    from lensaudit.ensembles.fit import Sets
    from lensaudit.lensset import LensSet

    plan = EnsemblePlan(name, images, perplexity, _cells(cells), seed)
    sets = Sets(LensSet.open(data), None if test is None else LensSet.open(test))
    finders = _members(members or list(SEVEN), reading, sets.training)
    for finder in finders:
        check_sets(finder, [sets.training])
    with watching() as advance:
        watch = {"training": partial(advance, "scoring for the map"), "test": partial(advance, "measuring")}
        fitted = fit_ensemble(finders, sets, out, plan, watch)
    _show(fitted, out, as_json=as_json)


def _members(names: list[str], reading: opt.Reading, training: LensSet) -> list[Finder]:
    """The members as they read the set; statistics are taken from it by those whose stretch takes any."""
    from lensaudit.cli.running import use_threads
    from lensaudit.ensembles import open_members
    from lensaudit.finders import refitted, takes_statistics

    use_threads(reading.threads)
    members = [one.for_field(reading.field_of_view, reading.resample) for one in open_members(names, reading.device)]
    if not reading.refit:
        return members
    if not any(map(takes_statistics, members)):
        raise UsageError("--refit: no member's stretch takes statistics of a training set; leave it out")
    return [refitted(one, training) if takes_statistics(one) else one for one in members]


def _cells(word: str) -> int | None:
    if word == "auto":
        return None
    if not word.isdecimal():
        raise UsageError(f"--cells {word}: give a number, or auto")
    return int(word)


def _show(fitted: Fitted, out: Path, *, as_json: bool) -> None:
    record = fitted.record
    if as_json:
        words = record.model_dump(mode="json")
        facts = {"out": str(out), **{part: words[part] for part in ("weights_hash", "training_data", "metrics")}}
        say_json(facts)
        return
    found, metrics = record.metrics.map, record.metrics
    assert found is not None
    say(
        f"{out}: {fitted.finder.name}, {len(fitted.finder.recipe.members)} members, map of "
        f"{record.training_data.n_training} images in {found.cells_with_images} of {found.cells}² cells"
    )
    if metrics.test is not None:
        for name, part in {fitted.finder.name: metrics.test, **(metrics.members or {})}.items():
            rows = {"auroc": part.auroc, "precision": part.precision, "recall": part.recall}
            shown = ", ".join(f"{word} {measured(one)}" for word, one in rows.items() if one is not None)
            say(f"  {name} on {part.n} test images: {shown}")
    say(f"  use it as: lensaudit evaluate {out} SET; see it with lensaudit ensemble-map {out} SET --out DIR")


def register_ensemble_map(app: typer.Typer) -> None:
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
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Draw the map of an ensemble: lenses and non-lenses, lens fractions, cutouts of regions."""
    from functools import partial

    from lensaudit.cli.running import open_both, watching
    from lensaudit.ensembles import map_ensemble, read_region

    regions = [read_region(words, f"region {words}") for words in region]
    loaded, opened = open_both(finder, lens_set, reading)
    with watching() as advance:
        record = map_ensemble(loaded, opened, out, regions, images=images, progress=partial(advance, "scoring"))
    if as_json:
        say_json(record.to_json())
        return
    say(f"{out}: map of {record.n_placed} of {record.n} images")
    rows = []
    for number, one in enumerate(record.regions, start=1):
        lenses = "no labels"
        if one.interval_95 is not None:
            lenses = f"{one.n_lenses} of {one.n_labelled} ({interval(*one.interval_95)})"
        x, y = (f"{start:.4g} to {end:.4g}" for start, end in (one.x, one.y))
        rows.append((str(number), x, y, str(one.n), lenses, one.name))
    if rows:
        say_table(("region", "x", "y", "images", "lenses", "name"), rows)
