"""``lensaudit compare``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from lensaudit.cli.pixels import RESAMPLE, warn
from lensaudit.verdicts import PAIRS


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(compare)


def compare(
    finders: list[str] = typer.Argument(
        metavar="FINDER...", help="Built-in names, finders' folders, or package.module:factory."
    ),
    sets: list[Path] = typer.Option(..., "--set", metavar="SET", help="Lens set with labels; may be given again."),
    out: Path = typer.Option(Path("comparison"), "--out", help="Folder; run again to go on after an interruption."),
    n: int = typer.Option(None, "--n", help="Only the first N images of each set."),
    probes: str = typer.Option("quick", "--probes", metavar="NAMES", help="none, quick, all, or names with commas."),
    probe_n: int = typer.Option(PAIRS, "--probe-n", help="Pairs of each population of each probe."),
    explanations: int = typer.Option(8, "--explanations", help="Lenses of each kind to explain; 0 leaves it out."),
    methods: str = typer.Option(None, "--methods", metavar="A,B", help="Methods of explanation; the first leads."),
    speed: bool = typer.Option(True, "--speed/--no-speed", help="Whether images per second are measured."),
    workers: int = typer.Option(1, "--workers", help="Processes that render the probes."),
    batch: int = typer.Option(None, "--batch", help="Cutouts at a time; by default what runs fastest."),
    resample: bool = RESAMPLE,
    seed: int = typer.Option(0, "--seed", help="Of resamples and of the probes' scenes."),
    device: str = typer.Option("auto", "--device", help="auto, cpu or cuda."),
    threads: int = typer.Option(None, "--threads", min=1, help="CPU threads; by default torch's choice."),
    as_json: bool = typer.Option(False, "--json", help="Print what the page holds as JSON."),
) -> None:
    """Compare finders on the same images: one table, one page, and which differences are shown."""
    from lensaudit.comparing.options import METHODS, CompareOptions, probes_of
    from lensaudit.lensset import LensSet

    chosen = METHODS if methods is None else tuple(name.strip() for name in methods.split(",") if name.strip())
    options = CompareOptions(
        seed=seed,
        n=n,
        batch=batch,
        probes=probes_of(probes),
        probe_n=probe_n,
        explanations=explanations,
        methods=chosen,
        speed=speed,
        workers=workers,
    )
    opened = [LensSet.open(path) for path in sets]  # a wrong path is told before torch is imported

    import torch

    from lensaudit.cli.stages import stage_bars
    from lensaudit.comparing import compare as measure
    from lensaudit.comparing import entrants_of, read_comparison, render_comparison

    if threads is not None:
        torch.set_num_threads(threads)
    entrants = entrants_of(finders, device, resample=resample)
    with stage_bars() as progress:
        measure(entrants, opened, out, options, progress)
    page = render_comparison(out)
    comparison = read_comparison(out)
    for block in comparison["sets"]:
        for row in block["rows"]:
            if row["other_pixels"]:
                warn(f"{block['set']['name']}: {row['other_pixels']}")
    if as_json:
        typer.echo(json.dumps(comparison, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show(comparison, page)


_WIDTH = 160


def _show(comparison: dict[str, Any], page: Path) -> None:
    """Print tables per set, what could not be compared, and which differences are shown."""
    from rich.console import Console

    from lensaudit.comparing.tables import told_apart

    console = Console(highlight=False)
    for block in comparison["sets"]:
        name = block["set"]["name"]
        if block["rows"]:
            console.print(f"{name}: {block['n']} cutouts; 95 % intervals under the values", markup=False)
        for table in _tables(comparison, block):
            console.print(table)
        for one in block["refused"]:
            console.print(f"{name}: {one['finder']} not compared: {one['why']}", markup=False, soft_wrap=True)
        for sentence in told_apart(block):
            console.print(f"  {sentence}", markup=False, soft_wrap=True)
    typer.echo(f"{page.parent}: {page.name}, compare.json")


_TOGETHER = (slice(0, 4), slice(4, 8), slice(8, 10))
"""Columns that fit on 80 characters: of the ranking; calibration, size and speed; probes and explanations."""


def _tables(comparison: dict[str, Any], block: dict[str, Any]) -> Iterator[Any]:
    """What was measured of each finder, in tables of a few columns; a column without a number is left out."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from lensaudit.comparing.tables import HEADS, set_table

    rows = set_table(comparison, block)
    for part in _TOGETHER:
        shown = [at for at in range(*part.indices(len(HEADS))) if any(row["cells"][at]["text"] != "—" for row in rows)]
        if not shown:
            continue
        table = Table(box=box.SIMPLE_HEAD, show_lines=True, pad_edge=False)
        table.add_column("Finder")
        for at in shown:
            head, kind, _ = HEADS[1 + at]
            table.add_column(head, justify="right" if kind else "left")
        for row in rows:
            about = [f"n = {row['n_lenses']} + {row['n_non_lenses']}", row["unused"], *row["warnings"]]
            cells = [[row["finder"], *filter(None, about)]]
            cells += [[row["cells"][at]["text"], *row["cells"][at]["under"]] for at in shown]
            table.add_row(*(escape("\n".join(lines)) for lines in cells))
        yield table
