"""``lensaudit explain``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit explain ou66 runs/test --id euclid-000007 --out runs/explained",
            "lensaudit explain ou66 runs/test --first 5 --method deeplift --out runs/explained",
        )
    )(explain)


def explain(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: opt.Out,
    method: opt.Method = [],
    old_methods: opt.OldMethods = None,
    ids: opt.Ids = [],
    first: opt.First = None,
    every: opt.All = False,
    force: opt.Force = False,
    seed: opt.Seed = 0,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Map which pixels speak for "lens": gradients, Grad-CAM, DeepLIFT, occlusion and more; FITS and pictures."""
    from lensaudit.cli.opening import check_sets, read_by
    from lensaudit.errors import UsageError
    from lensaudit.explain import METHODS, Request, applicable_methods, chosen_systems, no_gradient
    from lensaudit.lensset import LensSet

    opened = LensSet.open(lens_set)
    systems = chosen_systems(opened, ids, first, every)
    names = methods_named(method, old_methods) or tuple(METHODS)
    loaded = read_by(finder, opt.Reading(field_of_view, resample, refit, device, threads), [opened])
    check_sets(loaded, [opened])
    if not set(names) & set(applicable_methods(loaded)) and set(names) <= set(METHODS):
        raise UsageError(no_gradient(METHODS[names[0]].title, loaded))
    request = Request(loaded, that_apply(loaded, names), seed)
    carry_out(request, opened, systems, out, force=force, as_json=as_json)


def methods_named(repeated: Sequence[str], commas: str | None) -> tuple[str, ...]:
    """Methods that were named; empty for all."""
    names = opt.named(repeated, commas)
    return () if "all" in names else names


def that_apply(finder: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Of the methods `names` those that apply, with a line on the error stream where some need a gradient."""
    from lensaudit.explain import METHODS, applicable_methods

    apply = applicable_methods(finder)
    if left := [name for name in names if name in METHODS and name not in apply]:
        say(f"finder {finder.name} has no gradient, so these do not apply: {', '.join(left)}", err=True)
    return tuple(name for name in names if name not in left)


def carry_out(request: Any, lens_set: Any, systems: Any, out: Path, *, force: bool, as_json: bool) -> None:
    """Make the files and say which; shared with ``lensaudit gradcam``."""
    from lensaudit.cli.progress import progress_bar
    from lensaudit.explain import explain_systems

    with progress_bar(f"explaining {request.finder.name}") as report:
        files = explain_systems(request, lens_set, systems, out, force=force, progress=report)
    if as_json:
        facts = {"finder": request.finder.name, "methods": list(request.methods), "seed": request.seed}
        say_json({**facts, "systems": [one.summary() for one in files]})
        return
    for entry in files:
        say(f"{entry.id}: {entry.status}" + (f", {entry.fits} and .png" if entry.fits else ""), err=entry.fits is None)
    notes = [note for entry in files for result in entry.results for note in result.notes]
    notes += [why for entry in files if entry.fits for why in entry.failed.values()]
    say(*dict.fromkeys(notes), err=True)
