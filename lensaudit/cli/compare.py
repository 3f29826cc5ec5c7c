"""``lensaudit compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table, warn
from lensaudit.verdicts import PAIRS

SHORTER = "--first, --probe none, --probe-n and --judge-n make it shorter"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit compare ou66 runs/ou66 --set runs/test --out runs/comparison",
            "lensaudit compare ou66 ou200 --set runs/test --probe none --judge-n 0 --out runs/short",
        )
    )(compare)


def compare(
    finders: Annotated[
        list[str], typer.Argument(metavar="FINDER...", help=opt.FINDER_HELP, autocompletion=opt.finder_names)
    ],
    sets: Annotated[
        list[Path], typer.Option("--set", metavar="SET", help="Lens set with labels; repeat it for more.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder; run again to go on after an interruption.")
    ] = Path("comparison"),
    first: Annotated[
        int | None, typer.Option("--first", metavar="N", help="Only the first N images of each set.")
    ] = None,
    old_first: Annotated[int | None, typer.Option("--n", hidden=True)] = None,
    probe: opt.Probes = [],
    old_probes: opt.OldProbes = None,
    probe_n: opt.ProbeN = PAIRS,
    judge_n: Annotated[
        int, typer.Option("--judge-n", metavar="N", help="Lenses of each kind to explain; 0 leaves it out.")
    ] = 8,
    old_judge_n: Annotated[int | None, typer.Option("--explanations", hidden=True)] = None,
    method: opt.Method = [],
    old_methods: opt.OldMethods = None,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Whether images per second are measured.")
    ] = True,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Compare finders on the same images: one table, one page, and which differences are shown."""
    from lensaudit.lensset import LensSet

    opened = [LensSet.open(path) for path in sets]  # a wrong path is told before torch is imported

    from lensaudit.cli.opening import use_threads
    from lensaudit.cli.progress import watching
    from lensaudit.comparing import CompareOptions, entrants_of, read_comparison, render_comparison
    from lensaudit.comparing import compare as measure
    from lensaudit.comparing.build import check_comparison
    from lensaudit.comparing.comparison_file import COMPARISON_NAME
    from lensaudit.comparing.estimate import estimate_of_comparison
    from lensaudit.comparing.options import METHODS
    from lensaudit.report.estimate import told

    methods = opt.named(method, old_methods) or METHODS
    options = CompareOptions(
        seed=seed,
        n=first if old_first is None else old_first,
        batch=batch,
        probes=opt.named(probe, old_probes, "--probe") or ("quick",),
        probe_n=probe_n,
        explanations=judge_n if old_judge_n is None else old_judge_n,
        methods=opt.EXPLANATIONS if "all" in methods else methods,
        speed=speed,
        workers=workers,
        refit=refit,
    )
    use_threads(threads)
    entrants = entrants_of(finders, device, resample=resample, field_of_view=field_of_view)
    check_comparison(entrants, opened, options)
    with watching() as progress:
        if not (out / COMPARISON_NAME).exists():
            progress.tell(told(estimate_of_comparison(entrants, opened, options, out), SHORTER))
        measure(entrants, opened, out, options, progress)
    page = render_comparison(out)
    comparison = read_comparison(out)
    for block in comparison["sets"]:
        for row in block["rows"]:
            if row["other_pixels"]:
                warn(f"{block['set']['name']}: {row['other_pixels']}; resampled as asked")
    if as_json:
        say_json(comparison)
    else:
        _show(comparison, page)


def _show(comparison: dict[str, Any], page: Path) -> None:
    """Print tables per set, what could not be compared, and which differences are shown."""
    from lensaudit.comparing.tables import told_apart

    for block in comparison["sets"]:
        name = block["set"]["name"]
        if block["rows"]:
            say(f"{name}: {block['n']} cutouts; 95 % intervals under the values")
            _show_table(comparison, block)
        say(*(f"{name}: {one['finder']} not compared: {one['why']}" for one in block["refused"]))
        say(*(f"  {sentence}" for sentence in told_apart(block)))
    say(f"{page.parent}: {page.name}, compare.json")


def _show_table(comparison: dict[str, Any], block: dict[str, Any]) -> None:
    """What was measured of each finder; a column without a number is left out."""
    from lensaudit.comparing.tables import HEADS, set_table

    rows = set_table(comparison, block)
    shown = [at for at in range(len(HEADS) - 1) if any(row["cells"][at]["text"] != "—" for row in rows)]
    lines = []
    for row in rows:
        about = [row["finder"], f"n = {row['n_lenses']} + {row['n_non_lenses']}", row["unused"], *row["warnings"]]
        cells = [[row["cells"][at]["text"], *row["cells"][at]["under"]] for at in shown]
        lines.append(["\n".join(filter(None, parts)) for parts in (about, *cells)])
    say_table(["Finder", *(HEADS[1 + at][0] for at in shown)], lines, split=True)
