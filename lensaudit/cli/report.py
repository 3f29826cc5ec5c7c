"""``lensaudit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json
from lensaudit.verdicts import CHANCE, PAIRS, fail_words

SHORTER = "--probe quick, --probe-n, --judge-n and --dream-steps make it shorter"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit report ou66 --set runs/test --out runs/report",
            "lensaudit report ou66 --set runs/test --probe quick --judge-n 0 --out runs/report",
            "lensaudit report --from runs/report",
        )
    )(report)


def report(
    finder: Annotated[
        str,
        typer.Argument(metavar="FINDER", help=opt.FINDER_HELP, autocompletion=opt.finder_names, show_default=False),
    ] = "",
    lens_set: Annotated[
        Path | None, typer.Option("--set", metavar="SET", help="Lens set, from lensaudit simulate or ingest.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the audit; run again to go on after an interruption."),
    ] = None,
    again: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Only draw the page again from DIR/audit.json.")
    ] = None,
    probe: opt.Probes = [],
    old_probes: opt.OldProbes = None,
    no_probe: Annotated[bool, typer.Option("--no-probe", hidden=True)] = False,
    probe_n: opt.ProbeN = PAIRS,
    occlusion_n: Annotated[
        int, typer.Option("--occlusion-n", metavar="N", help="Images per group of the gallery; 0 leaves it out.")
    ] = 4,
    maps_n: Annotated[
        int,
        typer.Option("--maps-n", metavar="N", help="Images per group explained by every method; 0 leaves them out."),
    ] = 1,
    judge_n: Annotated[
        int, typer.Option("--judge-n", metavar="N", help="Lenses per kind that judge the maps; 0 leaves that out.")
    ] = 8,
    kernels: Annotated[
        bool, typer.Option("--kernels/--no-kernels", help="Whether to look at what kernels answer to.")
    ] = True,
    dream_steps: Annotated[
        int, typer.Option("--dream-steps", metavar="N", help="Steps of class images and Deep Dreams; 0: none.")
    ] = 200,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            metavar="GAP",
            help="Gap in recall within the set that is accepted; probes have their own.",
        ),
    ] = 0.1,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", metavar="FILE", help="planted.json of the planted-bias bench; default: the one shipped."
        ),
    ] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="VERDICT",
            help=f"Exit code 1 at this verdict or a graver one: {', '.join((*fail_words(), CHANCE))}.",
        ),
    ] = "",
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    batch: opt.Batch = None,
    field_of_view: opt.FieldOfView = None,
    resample: opt.Resample = False,
    refit: opt.Refit = False,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Audit a finder on a lens set and write one self-contained HTML page."""
    from lensaudit.errors import UsageError
    from lensaudit.report.options import AuditOptions, check_fail_on

    check_fail_on(fail_on)
    if again is not None:
        if finder or lens_set is not None or out is not None:
            raise UsageError("--from draws an existing audit again; leave out FINDER, --set and --out")
        _finish(again, fail_on, as_json)
        return
    if not finder or lens_set is None or out is None:
        raise UsageError("needs FINDER, --set SET and --out DIR (or --from DIR to draw an existing audit again)")
    names = opt.named(probe, old_probes, "--probe")
    without = no_probe or names == ("none",)
    options = AuditOptions(
        seed=seed,
        batch=batch,
        occlusion_n=occlusion_n,
        maps_n=maps_n,
        judge_n=judge_n,
        kernels=kernels,
        dream_steps=dream_steps,
        probe_n=0 if without else probe_n,
        probes=() if without else names,
        certificate=certificate,
        tolerance=tolerance,
        workers=workers,
    )

    from lensaudit.cli.opening import open_both
    from lensaudit.cli.progress import watching

    loaded, opened = open_both(finder, lens_set, opt.Reading(field_of_view, resample, refit, device, threads))

    from lensaudit.report.audit_file import AUDIT_NAME
    from lensaudit.report.build import build_audit
    from lensaudit.report.estimate import estimate_of_audit, told
    from lensaudit.report.probes import check_probes

    check_probes(options)
    with watching() as progress:
        if not (out / AUDIT_NAME).exists():
            progress.tell(told(estimate_of_audit(loaded, opened, options, out), SHORTER))
        build_audit(loaded, opened, out, options, progress)
    _finish(out, fail_on, as_json)


def _finish(folder: Path, fail_on: str, as_json: bool) -> None:
    from lensaudit.cli.probe_output import say_verdict
    from lensaudit.report.audit_file import read_audit
    from lensaudit.report.outcome import fail_where, summary
    from lensaudit.report.render import render_report

    page = render_report(folder)
    audit = read_audit(folder)
    if as_json:
        say_json(summary(audit, page))
    else:
        say_verdict(audit["verdict"])
        say(str(page))
    fail_where(audit, fail_on)
