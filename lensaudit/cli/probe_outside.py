"""``lensaudit probe export`` and ``import-scores``: probes of finders outside Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json
from lensaudit.cli.probe_output import FailOn
from lensaudit.cli.progress import watching


def register(probes: typer.Typer) -> None:
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
    n: Annotated[int, typer.Option("--n", metavar="N", help="Pairs of each population.")],
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
    threshold: Annotated[float, typer.Option("--threshold", metavar="P", help="Found means p at or above it.")] = 0.5,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Of the finder; by default that of the file.")
    ] = "",
    tolerance: opt.Tolerance = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="PATH", help="Folder or file of the key, if not in DIR.")
    ] = None,
    fail_on: FailOn = None,
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
        say_json(audit.to_json())
    else:
        print_audit(audit, out)
    fail_where([one.verdict.word for one in audit.ranked], fail_on)
