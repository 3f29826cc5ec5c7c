"""``lensaudit ensemble`` and ``ensemble-map``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.display.numbers import interval, measured, with_interval
from lensaudit.errors import UsageError

if TYPE_CHECKING:
    from lensaudit.ensembles import Fitted
    from lensaudit.finders import Finder
    from lensaudit.finders.facts import MeasuredFacts
    from lensaudit.lensset import LensSet


def register_ensemble(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit ensemble ou66 ou200 --data runs/train --test runs/test --out runs/pair",
            "lensaudit ensemble runs/one runs/two runs/three --kind mean --out runs/committee",
            "lensaudit ensemble ou66 ou200 --kind stack --data runs/train --out runs/stacked",
        )
    )(ensemble)


def ensemble(
    out: opt.Becomes,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="SET",
            help="Lens set whose scores make the map or weigh a stack; of mean and median only where members take "
            "different inputs.",
        ),
    ] = None,
    members: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MEMBER...", help="Two finders or more, names or folders; of tsne by default the paper's seven.",
            autocompletion=opt.finder_names,
        ),
    ] = None,
    kind: Annotated[
        Literal["tsne", "mean", "median", "stack"],
        typer.Option(
            "--kind",
            help="How scores become one: by a t-SNE map, the mean or median of the log-odds, a logistic regression of "
            "them.",
        ),
    ] = "tsne",
    test: opt.TestSet = None,
    images: opt.Images = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Of the finder; default: by its kind.")] = "",
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
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of t-SNE, and of a stack's parts.")
    ] = 1,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Combine finders; the result is a finder like any other.

    By default by a t-SNE map of their scores (OU-T-SNE). With --kind mean, median or stack it is a committee: its
    log-odds have gradients, and lensaudit score tells how far its members are apart on each image.
    """
    if kind != "tsne":
        _committee(members, (data, test, images), out, (kind, name, seed), reading, as_json=as_json)
        return
    if data is None:
        raise UsageError("--kind tsne needs --data: the lens set whose scores make the map")
    from functools import partial

    from lensaudit.cli.running import check_sets, watching
    from lensaudit.ensembles import SEVEN, EnsemblePlan, fit_ensemble
    from lensaudit.ensembles.fit import Sets
    from lensaudit.lensset import open_cutouts

    plan = EnsemblePlan(name or "ou-tsne", images, perplexity, _cells(cells), seed)
    sets = Sets(open_cutouts(data), None if test is None else open_cutouts(test))
    finders = _members(members or list(SEVEN), reading, sets.training)
    for finder in finders:
        check_sets(finder, [sets.training])
    with watching() as advance:
        watch = {"training": partial(advance, "scoring for the map"), "test": partial(advance, "measuring")}
        fitted = fit_ensemble(finders, sets, out, plan, watch)
    _show(fitted, out, as_json=as_json)


def _committee(
    members: list[str] | None,
    asked: tuple[Path | None, Path | None, int | None],
    out: Path,
    how: tuple[str, str, int],
    reading: opt.Reading,
    *,
    as_json: bool,
) -> None:
    from functools import partial

    from lensaudit.cli.running import watching
    from lensaudit.ensembles import CommitteePlan, fit_committee
    from lensaudit.lensset import open_cutouts

    data, test, images = asked
    kind, name, seed = how
    if not members:
        raise UsageError(f"--kind {kind}: name the members, two finders or more")
    if reading.refit and data is None:
        raise UsageError("--refit takes statistics from a lens set; name one with --data, or leave it out")
    training, measured_on = (None if path is None else open_cutouts(path) for path in (data, test))
    plan = CommitteePlan(kind, name or f"committee-{kind}", images, seed)
    finders = _members(members, reading, training)
    with watching() as advance:
        watch = {"training": partial(advance, "scoring to weigh them"), "test": partial(advance, "measuring")}
        fitted = fit_committee(finders, out, plan, (training, measured_on), watch)
    record = fitted.record.model_dump(mode="json")
    if as_json:
        say_json({"out": str(out), **{part: record[part] for part in ("weights_hash", "training_data", "metrics")}})
        return
    joined = {"mean": "mean", "median": "median", "stack": "fitted sum"}[kind]
    say(f"{out}: {fitted.finder.name}, the {joined} of the log-odds of {len(fitted.finder.recipe.members)} members")
    for one, found in record["metrics"].get("cross_fitted", {}).items():
        area = with_interval(found["auroc"], found["low"], found["high"])
        say(f"  {one}: AUROC {area}, log loss {found['log_loss']:.4f}")
    if fitted.record.metrics.test is not None:
        _show_measured(fitted.finder.name, fitted.record.metrics.test)
    say(f"  use it as: lensaudit score {out} SET, which tells how far its members are apart on each image")


def _show_measured(name: str, part: MeasuredFacts) -> None:
    rows = {"auroc": part.auroc, "precision": part.precision, "recall": part.recall}
    shown = ", ".join(f"{word} {measured(one)}" for word, one in rows.items() if one is not None)
    say(f"  {name} on {part.n} test images: {shown}")


def _members(names: list[str], reading: opt.Reading, training: LensSet | None) -> list[Finder]:
    """The members as they read the set; statistics are taken from it by those whose stretch takes any."""
    from lensaudit.cli.running import use_threads
    from lensaudit.ensembles import open_members
    from lensaudit.finders import refitted, takes_statistics

    use_threads(reading.threads)
    members = [one.for_field(reading.field_of_view, reading.resample) for one in open_members(names, reading.device)]
    if not reading.refit or training is None:
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
            _show_measured(name, part)
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
