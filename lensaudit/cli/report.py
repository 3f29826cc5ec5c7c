"""``lensaudit report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from lensaudit.cli.pixels import RESAMPLE, warn_of_pixels
from lensaudit.verdicts import CHANCE, PAIRS, fail_words

FAIL_ON = (*fail_words(), CHANCE)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(report)


def report(
    finder: str = typer.Argument("", help="Built-in name, a finder's folder, or package.module:factory."),
    lens_set: Path = typer.Option(None, "--set", metavar="SET", help="Lens set, from lensaudit simulate or ingest."),
    out: Path = typer.Option(None, "--out", help="Folder of the audit; run again to go on after an interruption."),
    again: Path = typer.Option(None, "--from", metavar="DIR", help="Only draw the page again from DIR/audit.json."),
    probe_n: int = typer.Option(PAIRS, "--probe-n", help="Pairs of each population of each probe."),
    probes: str = typer.Option(
        "all", "--probes", metavar="NAMES", help="all, quick, or names with commas; see lensaudit probe list."
    ),
    probe: bool = typer.Option(True, "--probe/--no-probe", help="Whether to run probes at all."),
    occlusion_n: int = typer.Option(4, "--occlusion-n", help="Images per group of the gallery; 0 leaves it out."),
    maps_n: int = typer.Option(1, "--maps-n", help="Images per group explained by every method; 0 leaves them out."),
    judge_n: int = typer.Option(8, "--judge-n", help="Lenses per kind that judge the maps; 0 leaves that out."),
    kernels: bool = typer.Option(True, "--kernels/--no-kernels", help="Whether to look at what kernels answer to."),
    dream_steps: int = typer.Option(200, "--dream-steps", help="Steps of class images and Deep Dreams; 0: none."),
    tolerance: float = typer.Option(0.1, "--tolerance", help="Largest gap in recall that is within tolerance."),
    batch: int = typer.Option(None, "--batch", help="Cutouts at a time; by default what runs fastest."),
    workers: int = typer.Option(1, "--workers", help="Processes that render the probes."),
    certificate: Path = typer.Option(
        None, "--certificate", metavar="FILE", help="planted.json of the planted-bias bench; default: the one shipped."
    ),
    field_of_view: float = typer.Option(
        None, "--field-of-view", metavar="ARCSEC", help="Width of the cutouts, where the finder was trained on another."
    ),
    resample: bool = RESAMPLE,
    device: str = typer.Option("auto", "--device", help="auto, cpu or cuda."),
    seed: int = typer.Option(0, "--seed", help="Seed of resamples, permutations and the probes' scenes."),
    fail_on: str = typer.Option(
        "",
        "--fail-on",
        metavar="VERDICT",
        help=f"Exit code 1 at this or a graver one: {', '.join(FAIL_ON)}.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print verdict and findings as JSON."),
) -> None:
    """Audit a finder on a lens set and write one self-contained HTML page."""
    from lensaudit.errors import UsageError
    from lensaudit.lensset import LensSet
    from lensaudit.report.options import AuditOptions, check_fail_on, probe_names

    check_fail_on(fail_on)
    if again is not None:
        if finder or lens_set is not None or out is not None:
            raise UsageError("--from draws an existing audit again; leave out FINDER, --set and --out")
        _finish(again, fail_on, as_json)
        return
    if not finder or lens_set is None or out is None:
        raise UsageError("needs FINDER, --set SET and --out DIR (or --from DIR to draw an existing audit again)")
    options = AuditOptions(
        seed=seed,
        batch=batch,
        occlusion_n=occlusion_n,
        maps_n=maps_n,
        judge_n=judge_n,
        kernels=kernels,
        dream_steps=dream_steps,
        probe_n=probe_n if probe else 0,
        probes=probe_names(probes),
        certificate=certificate,
        tolerance=tolerance,
        workers=workers,
    )
    opened = LensSet.open(lens_set)  # a wrong path is told before torch is imported

    from lensaudit.finders import load_finder

    loaded = load_finder(finder, device).for_field(field_of_view, resample)
    warn_of_pixels(loaded, opened)
    _build(loaded, opened, out, options)
    _finish(out, fail_on, as_json)


def _build(finder: Any, lens_set: Any, out: Path, options: Any) -> None:
    from lensaudit.cli.stages import stage_bars
    from lensaudit.report.build import build_audit

    with stage_bars() as progress:
        build_audit(finder, lens_set, out, options, progress)


def _finish(folder: Path, fail_on: str, as_json: bool) -> None:
    from lensaudit.cli.console import say
    from lensaudit.cli.probe_output import say_verdict
    from lensaudit.report.audit_file import read_audit
    from lensaudit.report.outcome import fail_where, summary
    from lensaudit.report.render import render_report

    page = render_report(folder)
    audit = read_audit(folder)
    if as_json:
        typer.echo(json.dumps(summary(audit, page), indent=2, ensure_ascii=False))
    else:
        say_verdict(audit["verdict"])
        say(str(page))
    fail_where(audit, fail_on)
