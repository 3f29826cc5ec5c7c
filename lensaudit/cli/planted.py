"""``lensaudit planted-bias``, and ``bench planted``, as it was called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import hosts as on
from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.cli.running import watching

if TYPE_CHECKING:
    from lensaudit.planted_bias.result import FoundOnHosts, PlantedResult

_PLANTED_EXAMPLE = opt.examples(
    "lensaudit planted-bias --finders 3 --clean 8 --workers 0 --out runs/planted",
    "lensaudit planted-bias --hosts runs/q1 --plant clean --plant blue-sources --out runs/planted",
)


def register_planted_bias(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("planted-bias", epilog=_PLANTED_EXAMPLE)(planted)


def register_bench(app: typer.Typer) -> None:
    """Add ``bench planted``, as ``planted-bias`` was called; it is hidden and goes on working."""
    bench = typer.Typer(rich_markup_mode=None, help="Now lensaudit planted-bias.", hidden=True)
    bench.command("planted", epilog=_PLANTED_EXAMPLE)(planted)
    bench.callback()(_bench)
    app.add_typer(bench, name="bench")


def _bench() -> None:
    """Now lensaudit planted-bias."""
    opt.say_renamed("lensaudit bench planted", "lensaudit planted-bias")


def planted(
    out: opt.Out,
    finders: Annotated[int, typer.Option("--finders", metavar="N", help="Finders trained for each planted bias.")] = 3,
    clean: Annotated[int, typer.Option("--clean", metavar="N", help="Finders trained without one.")] = 8,
    images: Annotated[
        int, typer.Option("--images", metavar="N", help="Training images of each finder, half of them lenses.")
    ] = 3000,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Passes over them.")] = None,
    n: Annotated[int, typer.Option("--n", metavar="N", help="Pairs of simulated images of each probe.")] = 200,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="LOSS", help="Change of recall that is accepted.")
    ] = 0.1,
    plant: Annotated[
        list[str], typer.Option("--plant", metavar="NAME", help="Only this bias; repeat it for more.")
    ] = [],
    strength: Annotated[
        list[float],
        typer.Option(
            "--strength", metavar="FRACTION", help="Fraction of the images with the planted trait; repeat it for more."
        ),
    ] = [],
    instrument: opt.Instrument = "",
    asked: on.Asked = on.ASKED,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:
    """Test the audit itself: train finders with and without known biases, audit them blind, print what is found."""
    from lensaudit.planted_bias.bench import PAGE_FILE, run_planted
    from lensaudit.planted_bias.plants import EPOCHS
    from lensaudit.planted_bias.result import BenchSettings

    seen_by = opt.instrument_named(instrument)
    passes, strengths = EPOCHS if epochs is None else epochs, tuple(dict.fromkeys(strength)) or (1.0,)
    settings = BenchSettings(finders, clean, images, passes, n, seed, tolerance, strengths)
    with watching() as progress:
        record = run_planted(out, settings, workers, tuple(plant), progress, instrument=seen_by, hosts=asked.hosts)
    if as_json:
        say_json(record.to_json())
        return
    _show(record)
    if record.hosts is not None:
        say(f"on hosts of {record.hosts.used.set}, finders {record.hosts.trained}:")
        _show(record.hosts)
        say(*([record.hosts.enough_to_name] if record.hosts.needed else []))
        say(*(f"not asked there: {name}, for {why}" for name, why in record.hosts.not_asked.items()))
    say(f"written to {out / PAGE_FILE}")


def _show(found: PlantedResult | FoundOnHosts) -> None:
    say_table(
        ("planted bias", "leading finding in", "95 % interval", "found in"),
        [
            (one.called, f"{one.named_first} of {one.finders}", f"[{one.low:.2f}, {one.high:.2f}]", str(one.named))
            for one in found.planted
        ],
    )
    clean = found.clean
    say(f"clean finders accused: {clean.accused} of {clean.audits} [{clean.low:.2f}, {clean.high:.2f}]")
