"""``lensaudit probe export``, ``probe import-scores`` and ``planted-bias``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.cli.running import watching


def register_outside(probes: typer.Typer) -> None:
    """Add the commands to ``lensaudit probe``."""
    probes.command(
        "export",
        epilog=opt.examples(
            "lensaudit probe export --n 200 --seed 20817 --out runs/outside",
            "lensaudit probe export --n 50 --probe red-source --format single --out runs/people",
        ),
    )(export)
    probes.command(
        "import-scores",
        epilog=opt.examples("lensaudit probe import-scores runs/outside scores.csv --out runs/outside-audit"),
    )(import_scores)


def export(
    n: Annotated[int, typer.Option("--n", metavar="N", help="Pairs of simulated images of each population.")],
    out: opt.Out,
    probe: opt.OnlyProbes = [],
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the scenes; part of the secret where the test is blind.")
    ] = 0,
    bands: Annotated[
        str, typer.Option("--bands", metavar="A,B", help="Bands of a cutout, comma-separated; all by default.")
    ] = "",
    form: Annotated[
        Literal["multi", "single"], typer.Option("--format", help="multi: one FITS file a cutout; single: one a band.")
    ] = "multi",
    key: Annotated[
        Path | None, typer.Option("--key", metavar="DIR", help="Folder of the key; by default 'key' in the export.")
    ] = None,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:
    """Write the cutouts of the probes as FITS, for a finder that does not run here."""
    from lensaudit.probes.outside import export_cutouts, plan_export

    chosen = tuple(band.strip() for band in bands.split(",") if band.strip())
    plan = plan_export(n, seed, tuple(probe), chosen, form)
    with watching() as show:
        done = export_cutouts(plan, out, key, workers, show.tell, lambda k, of: show("systems", k, of))
    if as_json:
        facts = {"cutouts": str(done.cutouts), "key": str(done.key), "n_cutouts": done.n_cutouts}
        probes = [definition.name for definition in plan.definitions]
        say_json({**facts, "n_bytes": done.n_bytes, "probes": probes, "left_out": plan.refused})
        return
    say(*(f"left out: {name}: {why}" for name, why in plan.refused.items()))
    say(f"{done.n_cutouts} cutouts of {len(plan.definitions)} probes, {done.n_bytes / 1e9:.2g} GB")
    say(f"hand over {done.cutouts}; keep {done.key}, and show it to nobody who scores")


def import_scores(
    exported: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that 'lensaudit probe export' wrote.")],
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="Table with columns id and p, or scores of 'lensaudit score'.")
    ],
    out: opt.Out,
    threshold: Annotated[float, typer.Option("--threshold", metavar="P", help="Found means p ≥ this.")] = 0.5,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Of the finder; by default that of the file.")
    ] = "",
    tolerance: opt.Tolerance = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="PATH", help="Folder or file of the key, if not in DIR.")
    ] = None,
    fail_on: opt.FailOn = None,
    as_json: opt.Json = False,
) -> None:
    """Audit a finder by the scores it gave to exported cutouts."""
    from lensaudit.cli.probe_output import check_fail_on, fail_where, print_audit
    from lensaudit.probes.outside import OutsideFinder, import_scores
    from lensaudit.untrusted import as_identifier

    check_fail_on(fail_on)
    finder = OutsideFinder(name or as_identifier(scores.stem), threshold, tolerance)
    with watching() as show:
        audit = import_scores(exported, scores, out, finder, key, show)
    if as_json:
        say_json(audit.index.to_json())
    else:
        print_audit(audit, out)
    fail_where([one.verdict.word for one in audit.ranked], fail_on)


_PLANTED_EXAMPLE = opt.examples("lensaudit planted-bias --finders 3 --clean 8 --workers 0 --out runs/planted")


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
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:
    """Test the audit itself: train finders with and without known biases, audit them blind, print what is found."""
    from lensaudit.cli.running import watching
    from lensaudit.planted_bias.bench import PAGE_FILE, BenchSettings, run_planted
    from lensaudit.planted_bias.planted_finders import EPOCHS

    settings = BenchSettings(finders, clean, images, EPOCHS if epochs is None else epochs, n, seed, tolerance)
    with watching() as progress:
        record = run_planted(out, settings, workers, tuple(plant), progress)
    if as_json:
        say_json(record.to_json())
        return
    say_table(
        ("planted bias", "leading finding in", "95 % interval", "found in"),
        [
            (one.bias, f"{one.named_first} of {one.finders}", f"[{one.low:.2f}, {one.high:.2f}]", str(one.named))
            for one in record.planted
        ],
    )
    found = record.clean
    say(f"clean finders accused: {found.accused} of {found.audits} [{found.low:.2f}, {found.high:.2f}]")
    say(f"written to {out / PAGE_FILE}")
