"""``lensaudit report``, ``quickstart`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import hosts as on
from lensaudit.cli import options as opt
from lensaudit.cli.baseline import BASELINE, AgainstBaseline
from lensaudit.cli.console import say, say_json, say_table, say_verdict, warn
from lensaudit.verdicts import PAIRS, REALISM

if TYPE_CHECKING:
    from lensaudit.comparing.comparison import Comparison, SetComparison

SHORTER = "--probe quick, --probe-n, --judge-n and --dream-steps make it shorter"


def register_report(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit report ou66 --set runs/test --out runs/report",
            "lensaudit report ou66 --set runs/test --probe quick --judge-n 0 --out runs/report",
            "lensaudit report ou66 --set runs/test --realism runs/q1 --fail-on realism --out runs/report",
            "lensaudit report ou66 --set runs/test --known runs/candidates --out runs/report",
            "lensaudit report ou66 --set runs/test --hosts runs/q1 --out runs/report",
            "lensaudit report --from runs/report",
        )
    )(report)


def report(
    finder: opt.FinderIfAny = "",
    lens_set: opt.SetOption = None,
    out: opt.OutIfAny = None,
    again: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Only draw the page again from DIR/audit.json.")
    ] = None,
    probe: opt.Probes = [],
    old_probes: opt.OldProbes = None,
    no_probe: opt.NoProbe = False,
    probe_n: opt.ProbeN = PAIRS,
    instrument: opt.ProbesInstrument = "",
    asked: on.Asked = on.ASKED,
    occlusion_n: opt.OcclusionN = 4,
    maps_n: Annotated[
        int,
        typer.Option("--maps-n", metavar="N", help="Images per group explained by every method; 0 leaves them out."),
    ] = 1,
    judge_n: opt.JudgeN = 8,
    judged: opt.Judged = None,
    kernels: Annotated[
        bool, typer.Option("--kernels/--no-kernels", help="Whether to study what the kernels respond to.")
    ] = True,
    embed: Annotated[
        bool,
        typer.Option("--embed/--no-embed", help="Whether to say what the last layer knows, and map it."),
    ] = True,
    dream_steps: Annotated[
        int,
        typer.Option(
            "--dream-steps", metavar="N", help="Steps of activation maximisation (class images, Deep Dreams); 0: none."
        ),
    ] = 200,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            metavar="GAP",
            help="Difference in recall within the set that is accepted; probes have their own.",
        ),
    ] = 0.1,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", metavar="FILE", help="planted.json of lensaudit planted-bias; default: the one shipped."
        ),
    ] = None,
    fail_on: opt.FailOnChance = "",
    realism: Annotated[
        Path | None,
        typer.Option(
            "--realism",
            metavar="DIR",
            help="Real set to compare the simulated or injected one with, or a result of lensaudit realism.",
        ),
    ] = None,
    realism_limit: Annotated[
        float,
        typer.Option(
            "--realism-limit",
            metavar="AUROC",
            min=0.5,
            max=1,
            help="--fail-on realism: fails where the whole interval of real against simulated lies above.",
        ),
    ] = 0.75,
    known: Annotated[
        list[Path],
        typer.Option(
            "--known",
            metavar="SET",
            help="Set of known lenses or graded candidates (column grade), or a table of their ids or positions in the "
            "audited set and the hosts: recall as a check; repeat it for more.",
        ),
    ] = [],
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Audit a finder on a lens set and write one self-contained HTML page."""
    from lensaudit.errors import UsageError
    from lensaudit.report.options import AuditOptions, check_fail_on

    check_fail_on(fail_on)
    if again is not None:
        if finder or lens_set is not None or out is not None or realism is not None or known:
            raise UsageError(
                "--from draws an existing audit again; leave out FINDER, --set, --out, --realism and --known"
            )
        _finish(again, fail_on, realism_limit, as_json)
        return
    if not finder or lens_set is None or out is None:
        raise UsageError("needs FINDER, --set SET and --out DIR (or --from DIR to draw an existing audit again)")
    if fail_on == REALISM and realism is None:
        raise UsageError(f"--fail-on {REALISM} needs --realism: a real set, or the result of lensaudit realism")
    names = opt.named(probe, old_probes, "--probe")
    without = no_probe or names == ("none",)
    options = AuditOptions(
        seed=seed,
        batch=batch,
        occlusion_n=occlusion_n,
        maps_n=maps_n,
        judge_n=judge_n,
        judged=judged,
        kernels=kernels,
        embed=embed,
        dream_steps=dream_steps,
        probe_n=0 if without else probe_n,
        probes=() if without else names,
        certificate=certificate,
        tolerance=tolerance,
        workers=workers,
        realism=realism,
        instrument=opt.instrument_named(instrument),
        known=tuple(known),
        hosts=asked.hosts,
        sources=asked.galaxies,
    )

    from lensaudit.cli.running import open_both, watching

    loaded, opened = open_both(finder, lens_set, reading)

    from lensaudit.report.audit_file import AUDIT_NAME
    from lensaudit.report.build import build_audit
    from lensaudit.report.known import check_known
    from lensaudit.report.probed import check_probes
    from lensaudit.report.quickstart import estimate_of_audit, told
    from lensaudit.report.realism import check_realism

    check_probes(options, loaded)
    check_realism(loaded, opened, options)
    check_known(loaded, opened, options)
    with watching() as progress:
        if not (out / AUDIT_NAME).exists():
            progress.tell(told(estimate_of_audit(loaded, opened, options, out), SHORTER))
        build_audit(loaded, opened, out, options, progress)
    _finish(out, fail_on, realism_limit, as_json)


def _finish(folder: Path, fail_on: str, realism_limit: float, as_json: bool) -> None:
    from lensaudit.report.audit_file import read_audit
    from lensaudit.report.quickstart import fail_where, summary
    from lensaudit.report.realism import fail_where_far
    from lensaudit.report.render import render_report

    page = render_report(folder)
    audit = read_audit(folder)
    if as_json:
        say_json(summary(audit, page))
    else:
        say_verdict(audit.verdict)
        realism = [] if audit.realism is None else [audit.realism.sentence]
        say(*realism, *(one.sentence for one in audit.known), str(page))
    if fail_on == REALISM:
        fail_where_far(audit, realism_limit)
    else:
        fail_where(audit, fail_on)


def register_quickstart(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit quickstart --out reports/latest",
            "lensaudit quickstart --finder runs/ou66 --probe compound --out runs/quick",
            "lensaudit quickstart --finder runs/rubin --instrument lsst-ugrizy --out runs/quick",
        )
    )(quickstart)


def quickstart(
    out: opt.Out = Path("reports/latest"),
    finder: opt.FinderOption = "ou66",
    n: Annotated[int, typer.Option("--n", metavar="N", help="Cutouts to simulate, about half of them lenses.")] = 400,
    probe: opt.Probes = [],
    old_probes: opt.OldProbes = None,
    probe_n: opt.ProbeN = PAIRS,
    occlusion_n: opt.OcclusionN = 4,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the set and of the audit; not one a finder was trained on.")
    ] = 2026,
    instrument: opt.Instrument = "",
    workers: opt.Workers = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Simulate a small set, audit a shipped finder on it and write the page."""
    from lensaudit.cli.running import use_threads, watching
    from lensaudit.files import writable_folder
    from lensaudit.report.options import AuditOptions
    from lensaudit.report.probed import check_probes
    from lensaudit.report.quickstart import quick_audit, summary

    names = opt.named(probe, old_probes, "--probe") or ("quick",)
    options = AuditOptions(
        seed=seed,
        occlusion_n=occlusion_n,
        probe_n=0 if names == ("none",) else probe_n,
        probes=() if names == ("none",) else names,
        workers=workers,
        instrument=opt.instrument_named(instrument),
    )
    check_probes(options)
    writable_folder(out)
    use_threads(threads)
    with watching() as progress:
        page, audit = quick_audit(finder, n, out, options, device, progress, progress.tell)
    if as_json:
        say_json(summary(audit, page))
    else:
        say_verdict(audit.verdict)
        say(str(page))


MOST_SAID = 10
"""Regressions that the terminal shows."""

SHORTER_COMPARISON = "--first, --probe none, --probe-n and --judge-n make it shorter"


def register_compare(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit compare ou66 runs/ou66 --set runs/test --out runs/comparison",
            "lensaudit compare ou66 ou200 --set runs/test --probe none --judge-n 0 --out runs/short",
            "lensaudit compare ou66 runs/ou66 --set runs/test --hosts runs/q1 --out runs/on-hosts",
            "lensaudit compare runs/new --baseline runs/old --set runs/test --fail-on regression --out runs/gate",
        )
    )(compare)


def compare(
    finders: opt.Finders,
    sets: Annotated[
        list[Path], typer.Option("--set", metavar="SET", help="Lens set or YAML, with labels; repeat it for more.")
    ],
    out: opt.Out = Path("comparison"),
    first: opt.First = None,
    old_first: opt.OldFirst = None,
    probe: opt.Probes = [],
    old_probes: opt.OldProbes = None,
    probe_n: opt.ProbeN = PAIRS,
    instrument: opt.ProbesInstrument = "",
    asked: on.Asked = on.ASKED,
    judge_n: opt.JudgeN = 8,
    old_judge_n: opt.OldJudgeN = None,
    method: opt.Method = [],
    old_methods: opt.OldMethods = None,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Whether images per second are measured.")
    ] = True,
    against: AgainstBaseline = BASELINE,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Compare finders on the same images: one table, one page, and which differences are significant.

    With --baseline: is a new finder worse than an earlier one anywhere? Recall, false positives and AUROC, paired, by
    kind and by terciles of what is known of the lenses, corrected over all of them, and what the probes say of both.
    """
    settings = against.settings()

    from lensaudit.lensset import open_cutouts

    opened = [open_cutouts(path) for path in sets]  # a wrong path is told before torch is imported

    from lensaudit.cli.running import use_threads, watching
    from lensaudit.comparing import CompareOptions, entrants_of, render_comparison
    from lensaudit.comparing import compare as measure
    from lensaudit.comparing.build import check_comparison, estimate_of_comparison
    from lensaudit.comparing.comparison import COMPARISON_NAME
    from lensaudit.comparing.entrants import METHODS
    from lensaudit.report.quickstart import told

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
        refit=reading.refit,
        hosts=asked.hosts,
        sources=asked.galaxies,
        instrument=instrument,
        **settings,
    )
    use_threads(reading.threads)
    earlier = settings["baseline"]
    named = finders if not earlier or earlier in [name.rstrip("/") for name in finders] else [*finders, earlier]
    entrants = entrants_of(named, reading.device, resample=reading.resample, field_of_view=reading.field_of_view)
    check_comparison(entrants, opened, options)
    with watching() as progress:
        if not (out / COMPARISON_NAME).exists():
            progress.tell(told(estimate_of_comparison(entrants, opened, options, out), SHORTER_COMPARISON))
        comparison = measure(entrants, opened, out, options, progress)
    page = render_comparison(out)
    for block in comparison.sets:
        for row in block.rows:
            if row.other_pixels:
                warn(f"{block.set.name}: {row.other_pixels}; resampled as asked")
    if as_json:
        say_json({**comparison.to_json(), "speed": comparison.speed})
    else:
        _show(comparison, page)
    if comparison.baseline is not None:
        from lensaudit.comparing.regression import fail_where_worse

        fail_where_worse(comparison.checks, comparison.baseline, against.fail_on)


def _show(comparison: Comparison, page: Path) -> None:
    """Print tables per set, what could not be compared, and which differences are significant."""
    from lensaudit.comparing.regression import regressions_of
    from lensaudit.comparing.tables import counted_states, told_apart

    for block in comparison.sets:
        name = block.set.name
        if block.rows:
            say(f"{name}: {block.n} cutouts; 95 % intervals under the values")
            _show_table(comparison, block)
        say(*(f"{name}: {one.finder} not compared: {one.why}" for one in block.refused))
        say(*(f"  {sentence}" for sentence in told_apart(block)))
        if comparison.baseline is not None and block.checks:
            say(f"{name}, against {comparison.baseline.finder}: {counted_states(block.checks)}")
    if comparison.baseline is not None:
        found = regressions_of(comparison.checks, comparison.baseline)
        more = [f"and {len(found) - MOST_SAID} more, on the page"] if len(found) > MOST_SAID else []
        say(*(f"  {sentence}" for sentence in (*found[:MOST_SAID], *more)))
    say(f"{page.parent}: {page.name}, compare.json")


def _show_table(comparison: Comparison, block: SetComparison) -> None:
    """What was measured of each finder; a column without a number is left out."""
    from lensaudit.comparing.tables import HEADS, set_table
    from lensaudit.display.numbers import MISSING

    rows = set_table(comparison, block)
    shown = [at for at in range(len(HEADS) - 1) if any(row.cells[at].text != MISSING for row in rows)]
    lines = []
    for row in rows:
        about = [row.finder, f"n = {row.n_lenses} + {row.n_non_lenses}", row.unused, *row.warnings]
        cells = [[row.cells[at].text, *row.cells[at].under] for at in shown]
        lines.append(["\n".join(filter(None, parts)) for parts in (about, *cells)])
    say_table(["Finder", *(HEADS[1 + at][0] for at in shown)], lines, split=True)
