"""``lensaudit occlusion``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit occlusion ou66 runs/test --id euclid-000007 --out runs/occlusion",
            "lensaudit occlusion ou66 runs/test --first 20 --stride 1 --out runs/occlusion",
        )
    )(occlusion)


def occlusion(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: opt.Out,
    ids: opt.Ids = [],
    first: opt.First = None,
    every: opt.All = False,
    patch: Annotated[
        int | None,
        typer.Option("--patch", metavar="N", help="Side of the patch in the finder's pixels; default: the paper's."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", metavar="N", help="Pixels between patches; default: the patch.")
    ] = None,
    engine: Annotated[
        Literal["exact", "captum"], typer.Option("--engine", help="captum is the slow reference.")
    ] = "exact",
    view: Annotated[
        Literal["log-odds", "paper"],
        typer.Option("--view", help="Of the picture: log-odds, on one scale; or paper: p(lens), each side on its own."),
    ] = "log-odds",
    force: opt.Force = False,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Map where hiding a patch changes the log-odds of lens: FITS with WCS and a picture per system."""
    from lensaudit.cli.opening import check_sets, read_by
    from lensaudit.cli.progress import progress_bar
    from lensaudit.explain import Occluder, chosen_systems, occlude_systems
    from lensaudit.lensset import LensSet

    opened = LensSet.open(lens_set)
    systems = chosen_systems(opened, ids, first, every)
    loaded = read_by(finder, opt.Reading(field_of_view, resample, refit, device, threads), [opened])
    check_sets(loaded, [opened])
    occluder = Occluder(loaded, patch, stride, engine, batch)
    with progress_bar(f"occluding with {occluder.finder.name}") as report:
        files = occlude_systems(occluder, opened, systems, out, view=view, force=force, progress=report)
    if as_json:
        facts = {"finder": occluder.finder.name, "patch": occluder.grid.patch, "stride": occluder.grid.stride}
        say_json({**facts, "engine": engine, "maps": [entry.summary() for entry in files]})
        return
    for entry in files:
        say(f"{entry.id}: {entry.status}" + (f", {entry.fits} and .png" if entry.fits else ""), err=entry.failed)
    notes = {note for e in files if e.result for note in (e.result.note, _without_rule(e.result.fallbacks)) if note}
    say(*sorted(notes), err=True)


def _without_rule(fallbacks: tuple[str, ...]) -> str:
    """Which layers the exact engine had no rule for; empty if none."""
    return f"no window rule for {', '.join(fallbacks)}: plain batches from there on" if fallbacks else ""
