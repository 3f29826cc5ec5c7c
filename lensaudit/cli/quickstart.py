"""``lensaudit quickstart``."""

from __future__ import annotations

from pathlib import Path

import typer

from lensaudit.verdicts import PAIRS


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(quickstart)


def quickstart(
    out: Path = typer.Option(Path("reports/latest"), "--out", help="Folder of the audit; an interrupted run goes on."),
    finder: str = typer.Option("ou66", "--finder", help="Built-in name, a finder's folder, or package.module:factory."),
    n: int = typer.Option(400, "--n", help="Cutouts to simulate, about half of them lenses."),
    probe_n: int = typer.Option(PAIRS, "--probe-n", help="Pairs of each population of each probe."),
    probes: str = typer.Option("quick", "--probes", metavar="NAMES", help="quick, all, or names with commas."),
    occlusion_n: int = typer.Option(4, "--occlusion-n", help="Images per group of the gallery."),
    seed: int = typer.Option(2026, "--seed", help="Seed of the set and of the audit; not one a finder was trained on."),
    workers: int = typer.Option(0, "--workers", help="Processes that simulate; 0: one per processor."),
    device: str = typer.Option("auto", "--device", help="auto, cpu or cuda."),
) -> None:
    """Simulate a small set, audit a shipped finder on it and write the page."""
    from lensaudit.cli.console import say
    from lensaudit.cli.probe_output import say_verdict
    from lensaudit.cli.stages import stage_bars
    from lensaudit.files import writable_folder
    from lensaudit.report.options import AuditOptions, probe_names
    from lensaudit.report.probes import check_probes
    from lensaudit.report.quickstart import quick_audit, workers_or_processors

    options = AuditOptions(
        seed=seed,
        occlusion_n=occlusion_n,
        probe_n=probe_n,
        probes=probe_names(probes),
        workers=workers_or_processors(workers),
    )
    check_probes(options)
    writable_folder(out)
    with stage_bars() as progress:
        page, verdict = quick_audit(finder, n, out, options, device, progress)
    say_verdict(verdict)
    say(str(page))
