"""``lensaudit kernels``."""

from __future__ import annotations

from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit kernels ou66 runs/test --out runs/kernels",
            "lensaudit kernels ou66 runs/test --layer 13 --kernel 4 --out runs/kernels",
        )
    )(kernels)


def kernels(
    finder: opt.Finder,
    lens_set: opt.Set,
    out: opt.Out,
    layers: Annotated[
        list[str], typer.Option("--layer", metavar="NAME", help="Draw kernels of this convolution; repeat it for more.")
    ] = [],
    numbers: Annotated[
        list[int], typer.Option("--kernel", metavar="N", help="This kernel of the layer; by default all of it.")
    ] = [],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Cutouts at either end.")] = 9,
    force: opt.Force = False,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Show what excites each kernel of a finder over a set, and what it goes with among the lenses."""
    from lensaudit.cli.opening import open_both
    from lensaudit.cli.progress import progress_bar
    from lensaudit.explain import KernelWish, look_at_kernels, named_kernels

    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))
    chosen = named_kernels(loaded.module, layers, numbers) if layers or numbers else None
    with progress_bar(f"kernels of {loaded.name}") as report:
        made = look_at_kernels(loaded, opened, out, KernelWish(top, chosen, batch, force), report)
    if as_json:
        say_json(made.summary())
        return
    study = made.study
    say(f"{made.activations}: {len(study.kernels)} kernels, {study.n} of {study.table.n} images")
    say(f"{made.kernels}: a row per kernel")
    say(*(str(path) for path in filter(None, (made.correlations, *made.sheets.values()))))
    lines = made.strongest if chosen is None else [line for k in chosen for line in made.statements_of(k)]
    say(*(f"  {line}" for line in lines))
    for kernel in chosen or ():
        if study.correlations is not None and not made.statements_of(kernel):
            say(f"  {kernel}: goes with none of the truth columns")
    say(*made.notes(), err=True)
