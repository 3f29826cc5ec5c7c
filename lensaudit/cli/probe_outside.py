"""``lensaudit probe export`` and ``import-scores``: probes of finders outside Python."""

from __future__ import annotations

from pathlib import Path

import typer

from lensaudit.cli.probe_output import FAIL_ON


def register(probes: typer.Typer) -> None:
    """Add the commands to ``lensaudit probe``."""
    probes.command("export")(export)
    probes.command("import-scores")(import_scores)


def export(
    out: Path = typer.Option(..., "--out", help="Folder of the export; run again to go on after an interruption."),
    n: int = typer.Option(..., "--n", help="Pairs of each population."),
    probe: list[str] = typer.Option([], "--probe", help="Only these; give it as often as you like."),
    seed: int = typer.Option(0, "--seed", help="Seed of the scenes; part of the secret where the test is blind."),
    bands: str = typer.Option("", "--bands", help="Bands of a cutout, comma-separated; all by default."),
    form: str = typer.Option("multi", "--format", help="multi: one FITS file a cutout; single: one for each band."),
    key: Path = typer.Option(None, "--key", help="Folder of the key; by default 'key' in the export."),
    workers: int = typer.Option(1, "--workers", help="Processes that render and write."),
) -> None:
    """Write the cutouts of the probes as FITS, for a finder that does not run here."""
    from lensaudit.cli.stages import stage_bars
    from lensaudit.probes.outside import export_cutouts, plan_export

    chosen = tuple(band.strip() for band in bands.split(",") if band.strip())
    plan = plan_export(n, seed, tuple(probe), chosen, form)
    with stage_bars() as bars:
        done = export_cutouts(
            plan, out, key, workers, lambda words: typer.echo(words, err=True), lambda k, of: bars("systems", k, of)
        )
    for name, why in plan.refused.items():
        typer.echo(f"left out: {name}: {why}")
    typer.echo(f"{done.n_cutouts} cutouts of {len(plan.definitions)} probes, {done.n_bytes / 1e9:.2g} GB")
    typer.echo(f"hand over {done.cutouts}; keep {done.key}, and show it to nobody who scores")


def import_scores(
    exported: Path = typer.Argument(..., metavar="DIR", help="Folder that 'lensaudit probe export' wrote."),
    scores: Path = typer.Argument(..., help="CSV with columns id,p; or Parquet of 'lensaudit score'."),
    out: Path = typer.Option(..., "--out", help="Folder for the audit."),
    threshold: float = typer.Option(0.5, "--threshold", help="Found means p at or above it."),
    name: str = typer.Option("", "--name", help="Name of the finder; by default that of the file."),
    tolerance: float = typer.Option(None, "--tolerance", help="Loss of recall that is accepted."),
    key: Path = typer.Option(None, "--key", help="Folder or file of the key, if not in DIR."),
    fail_on: str = FAIL_ON,
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON instead of a table."),
) -> None:
    """Audit a finder by the scores it gave to exported cutouts."""
    import json

    from lensaudit.cli.probe_output import check_fail_on, fail_where, print_audit
    from lensaudit.cli.stages import stage_bars
    from lensaudit.probes.outside import OutsideFinder, import_scores
    from lensaudit.untrusted import as_identifier

    check_fail_on(fail_on)
    finder = OutsideFinder(name or as_identifier(scores.stem), threshold, tolerance)
    with stage_bars() as bars:
        audit = import_scores(exported, scores, out, finder, key, bars)
    if as_json:
        typer.echo(json.dumps(audit.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False))
    else:
        print_audit(audit, out)
    fail_where([one.verdict.word for one in audit.ranked], fail_on)
