"""``lensaudit quickstart``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json
from lensaudit.verdicts import PAIRS


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit quickstart --out reports/latest",
            "lensaudit quickstart --finder runs/ou66 --probe compound --out runs/quick",
        )
    )(quickstart)


def quickstart(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the audit; an interrupted run goes on.")
    ] = Path("reports/latest"),
    finder: Annotated[
        str, typer.Option("--finder", metavar="FINDER", help=opt.FINDER_HELP, autocompletion=opt.finder_names)
    ] = "ou66",
    n: Annotated[int, typer.Option("--n", metavar="N", help="Cutouts to simulate, about half of them lenses.")] = 400,
    probe: opt.Probes = [],
    old_probes: opt.OldProbes = None,
    probe_n: opt.ProbeN = PAIRS,
    occlusion_n: Annotated[
        int, typer.Option("--occlusion-n", metavar="N", help="Images per group of the gallery; 0 leaves it out.")
    ] = 4,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the set and of the audit; not one a finder was trained on.")
    ] = 2026,
    workers: opt.Workers = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Simulate a small set, audit a shipped finder on it and write the page."""
    from lensaudit.cli.opening import use_threads
    from lensaudit.cli.probe_output import say_verdict
    from lensaudit.cli.progress import watching
    from lensaudit.files import writable_folder
    from lensaudit.report.audit_file import read_audit
    from lensaudit.report.options import AuditOptions
    from lensaudit.report.outcome import summary
    from lensaudit.report.probes import check_probes
    from lensaudit.report.quickstart import quick_audit

    names = opt.named(probe, old_probes, "--probe") or ("quick",)
    options = AuditOptions(
        seed=seed,
        occlusion_n=occlusion_n,
        probe_n=0 if names == ("none",) else probe_n,
        probes=() if names == ("none",) else names,
        workers=workers,
    )
    check_probes(options)
    writable_folder(out)
    use_threads(threads)
    with watching() as progress:
        page, verdict = quick_audit(finder, n, out, options, device, progress, progress.tell)
    if as_json:
        say_json(summary(read_audit(out), page))
    else:
        say_verdict(verdict)
        say(str(page))
