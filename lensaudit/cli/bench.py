"""``lensaudit bench``: the audit audited."""

from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    bench = typer.Typer(no_args_is_help=True, help="Test the audit itself on finders whose biases are known.")
    bench.command("planted")(planted)
    bench.callback()(_group)  # so that one command stays a command of a group
    app.add_typer(bench, name="bench")


def _group() -> None:
    """Test the audit itself on finders whose biases are known."""


def planted(
    out: Path = typer.Option(..., "--out", help="Folder for finders and answers; run again to go on or to add more."),
    finders: int = typer.Option(3, "--finders", help="Finders trained for each planted bias."),
    clean: int = typer.Option(8, "--clean", help="Clean finders."),
    images: int = typer.Option(3000, "--images", help="Training images of each finder, half of them lenses."),
    epochs: int = typer.Option(None, "--epochs", help="Passes over them."),
    n: int = typer.Option(200, "--n", help="Pairs of each probe."),
    tolerance: float = typer.Option(0.1, "--tolerance", help="Change of recall that is accepted."),
    plant: list[str] = typer.Option([], "--plant", help="Only these biases; give it as often as you like."),
    seed: int = typer.Option(0, "--seed", help="Of training sets, weights and pairs."),
    workers: int = typer.Option(1, "--workers", help="Processes that train and render, one thread each."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Train finders with planted biases and clean ones, audit them blind, print planted × detected."""
    import json

    from lensaudit.bench.planted import PAGE_FILE, BenchSettings, run_planted
    from lensaudit.bench.small_finder import EPOCHS
    from lensaudit.cli.probe_output import progress_bars

    settings = BenchSettings(finders, clean, images, EPOCHS if epochs is None else epochs, n, seed, tolerance)
    with progress_bars() as progress:
        record = run_planted(out, settings, workers, tuple(plant), progress)
    if as_json:
        typer.echo(json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False))
        return
    for one in record["planted"]:
        typer.echo(
            f"{one['bias']:>18}: leading finding in {one['named_first']} of {one['finders']} "
            f"[{one['low']:.2f}, {one['high']:.2f}], found in {one['named']}"
        )
    told = record["clean"]
    typer.echo(f"clean finders accused: {told['accused']} of {told['audits']} [{told['low']:.2f}, {told['high']:.2f}]")
    typer.echo(f"written to {out / PAGE_FILE}")
