"""``lensaudit bench``: the audit audited."""

from __future__ import annotations

from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    bench = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Test the audit itself on finders whose biases are known.",
    )
    bench.command(
        "planted",
        epilog=opt.examples("lensaudit bench planted --finders 3 --clean 8 --workers 0 --out runs/planted"),
    )(planted)
    bench.callback()(_group)  # so that one command stays a command of a group
    app.add_typer(bench, name="bench")


def _group() -> None:
    """Test the audit itself on finders whose biases are known."""


def planted(
    out: opt.Out,
    finders: Annotated[int, typer.Option("--finders", metavar="N", help="Finders trained for each planted bias.")] = 3,
    clean: Annotated[int, typer.Option("--clean", metavar="N", help="Clean finders.")] = 8,
    images: Annotated[
        int, typer.Option("--images", metavar="N", help="Training images of each finder, half of them lenses.")
    ] = 3000,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Passes over them.")] = None,
    n: Annotated[int, typer.Option("--n", metavar="N", help="Pairs of each probe.")] = 200,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="LOSS", help="Change of recall that is accepted.")
    ] = 0.1,
    plant: Annotated[
        list[str], typer.Option("--plant", metavar="NAME", help="Only this bias; repeat it for more.")
    ] = [],
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:
    """Train finders with planted biases and clean ones, audit them blind, print planted × detected."""
    from lensaudit.bench.planted import PAGE_FILE, BenchSettings, run_planted
    from lensaudit.bench.small_finder import EPOCHS
    from lensaudit.cli.progress import watching

    settings = BenchSettings(finders, clean, images, EPOCHS if epochs is None else epochs, n, seed, tolerance)
    with watching() as progress:
        record = run_planted(out, settings, workers, tuple(plant), progress)
    if as_json:
        say_json(record)
        return
    say_table(
        ("planted bias", "leading finding in", "95 % interval", "found in"),
        [
            (
                one["bias"], f"{one['named_first']} of {one['finders']}", f"[{one['low']:.2f}, {one['high']:.2f}]",
                str(one["named"]),
            )
            for one in record["planted"]
        ],
    )  # fmt: skip
    clean_ones = record["clean"]
    say(
        f"clean finders accused: {clean_ones['accused']} of {clean_ones['audits']} "
        f"[{clean_ones['low']:.2f}, {clean_ones['high']:.2f}]"
    )
    say(f"written to {out / PAGE_FILE}")
