"""``lensaudit ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json
from lensaudit.errors import UsageError

if TYPE_CHECKING:
    from lensaudit.ensembles import Fitted
    from lensaudit.finders import Finder
    from lensaudit.lensset import LensSet


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit ensemble ou66 ou200 --data runs/train --test runs/test --out runs/pair",
        )
    )(ensemble)


def ensemble(
    data: Annotated[Path, typer.Option("--data", metavar="SET", help="Lens set whose scores make the map.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Becomes the finder's folder; a stopped run goes on.")
    ],
    members: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MEMBER...", help="Two finders or more, names or folders; by default the paper's seven.",
            autocompletion=opt.finder_names,
        ),
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--test", metavar="SET", help="Set measured once at the end, for the model card.")
    ] = None,
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
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Combine finders by a t-SNE map of their scores (OU-T-SNE); the result is a finder like any other."""
    from functools import partial

    from lensaudit.cli.opening import check_sets
    from lensaudit.cli.progress import watching
    from lensaudit.ensembles import SEVEN, EnsemblePlan, fit_ensemble
    from lensaudit.ensembles.fit import Sets
    from lensaudit.lensset import LensSet

    plan = EnsemblePlan(name, images, perplexity, _cells(cells), seed)
    sets = Sets(LensSet.open(data), None if test is None else LensSet.open(test))
    reading = opt.Reading(field_of_view, resample, refit, device, threads)
    finders = _members(members or list(SEVEN), reading, sets.training)
    for finder in finders:
        check_sets(finder, [sets.training])
    with watching() as advance:
        watch = {"training": partial(advance, "scoring for the map"), "test": partial(advance, "measuring")}
        fitted = fit_ensemble(finders, sets, out, plan, watch)
    _show(fitted, out, as_json=as_json)


def _members(names: list[str], reading: opt.Reading, training: LensSet) -> list[Finder]:
    """The members as they read the set; statistics are taken from it by those whose stretch takes any."""
    from lensaudit.cli.opening import use_threads
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
    found = record.metrics["map"]
    say(
        f"{out}: {fitted.finder.name}, {len(fitted.finder.recipe.members)} members, map of "
        f"{record.training_data['n_training']} images in {found['cells_with_images']} of {found['cells']}² cells"
    )
    if "test" in record.metrics:
        for name, part in {fitted.finder.name: record.metrics["test"], **record.metrics["members"]}.items():
            shown = ", ".join(f"{word} {_interval(part[word])}" for word in ("auroc", "precision", "recall"))
            say(f"  {name} on {part['n']} test images: {shown}")
    say(f"  use it as: lensaudit evaluate {out} SET; see it with lensaudit ensemble-map {out} SET --out DIR")


def _interval(metric: dict[str, Any]) -> str:
    if metric["value"] is None:
        return f"not measured ({metric['status']})"
    return f"{metric['value']:.4f}" + ("" if metric["low"] is None else f" ({metric['low']:.4f}–{metric['high']:.4f})")
