"""``lensaudit probe``: one command per built-in probe, all of them, and outside finders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lensaudit.cli import hosts as on
from lensaudit.cli import options as opt
from lensaudit.cli.console import check_fail_on, fail_where, print_audit, print_result, say, say_json, say_table, warn
from lensaudit.cli.groups import Group
from lensaudit.cli.running import check_sets, read_by, watching
from lensaudit.files import builtin_folder

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.probes import ProbeOptions, ProbeResult


def register_outside(probes: typer.Typer) -> None:
    """Add the commands to ``lensaudit probe``."""
    probes.command(
        "export",
        epilog=opt.examples(
            "lensaudit probe export --n 200 --seed 20817 --out runs/outside",
            "lensaudit probe export --n 50 --probe red-source --format single --out runs/people",
            "lensaudit probe export --hosts runs/q1 --n 200 --seed 20817 --out runs/outside",
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
    instrument: opt.Instrument = "",
    asked: on.Asked = on.ASKED,
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
    from lensaudit.errors import UsageError
    from lensaudit.probes.outside import export_cutouts, plan_export

    chosen = tuple(band.strip() for band in bands.split(",") if band.strip())
    if asked.hosts is None and asked.sources:
        raise UsageError("--sources is for arcs in real cutouts; name these with --hosts SET")
    seen_by, hosts = opt.instrument_named(instrument), asked.chosen(n, seed, workers)
    plan = plan_export(n, seed, tuple(probe), chosen, form, seen_by, hosts)
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
    hosts: Annotated[
        Path | None, typer.Option("--hosts", metavar="SET", help="Hosts of the export, if not where they were.")
    ] = None,
    fail_on: opt.FailOn = None,
    as_json: opt.Json = False,
) -> None:
    """Audit a finder by the scores it gave to exported cutouts."""
    from lensaudit.probes.outside import OutsideFinder, import_scores
    from lensaudit.untrusted import as_identifier

    check_fail_on(fail_on)
    finder = OutsideFinder(name or as_identifier(scores.stem), threshold, tolerance)
    with watching() as show:
        audit = import_scores(exported, scores, out, finder, key, show, hosts)
    if as_json:
        say_json(audit.index.to_json())
    else:
        print_audit(audit, out)
    fail_where([one.verdict.word for one in audit.ranked], fail_on)


N = Annotated[int, typer.Option("--n", metavar="N", help="Pairs of each population; see lensaudit probe power.")]
Mode = Annotated[
    str | None, typer.Option("--mode", metavar="NAME", help="How scenes are drawn; see lensaudit probe list.")
]
Stretch = Annotated[
    str | None, typer.Option("--stretch", metavar="NAME", help="In place of the finder's own and the mode's.")
]
EditedSet = Annotated[
    Path | None,
    typer.Option(
        "--set", metavar="SET", help="Edit the lenses of this set, not drawn scenes; for probes that edit images."
    ),
]
Extension = Annotated[
    str, typer.Option("--psf-extension", metavar="NAME", help="Of the kernel that psf-rotation-real turns.")
]


@dataclass(frozen=True)
class Run:
    """How probes are run and what they may find: options of every command that runs some; the help of each says what
    it is."""

    tolerance: opt.Tolerance = None
    fail_on: opt.FailOn = None
    seed: opt.Seed = 0
    workers: opt.Workers = 1
    batch: opt.Batch = None

    def options(self, n: int, asked: on.Asked, instrument: str) -> ProbeOptions:
        """What the probes are told, `n` pairs of each."""
        from lensaudit.probes import ProbeOptions

        return ProbeOptions(
            tolerance=self.tolerance, workers=self.workers, batch=self.batch,
            instrument=opt.instrument_named(instrument), hosts=asked.chosen(n, self.seed, self.workers),
            sources=asked.galaxies,
        )  # fmt: skip


RUN: Any = Group(Run)
"""Takes the place of the options of `Run` in a command."""


def register_probe(app: typer.Typer) -> None:
    """Add the command to the application."""

    probes = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Test a finder on paired simulations that differ in one property; lensaudit probe list names all probes.",
        epilog=opt.examples("lensaudit probe red-source ou66 --n 500 --out runs/red-source"),
    )
    probes.command("list", epilog=opt.examples("lensaudit probe list"))(list_probes)
    probes.command(
        "all",
        epilog=opt.examples(
            "lensaudit probe all ou66 --n 200 --workers 0 --out runs/probes",
            "lensaudit probe all ou66 --probe quick --n 200 --fail-on bias --out runs/quick",
            "lensaudit probe all ou66 --hosts runs/q1 --n 200 --out runs/on-hosts",
        ),
    )(all_probes)
    probes.command(
        "preprocessing",
        epilog=opt.examples(
            "lensaudit probe preprocessing ou66 --n 300 --out runs/preprocessing",
            "lensaudit probe preprocessing mine.yaml --hosts runs/q1 --n 200 --out runs/on-hosts",
        ),
    )(preprocessing)
    probes.command("run", epilog=opt.examples("lensaudit probe run mine.yaml ou66 --n 300 --out runs/mine"))(run_file)
    probes.command("power", epilog=opt.examples("lensaudit probe power --tolerance 0.05"))(power)
    register_outside(probes)
    for path in sorted(builtin_folder("probes").glob("*.yaml")):
        probes.command(
            path.stem,
            help=f"Run the {path.stem} probe on FINDER.",
            hidden=path.stem != "compound",
            epilog=opt.examples(f"lensaudit probe {path.stem} ou66 --n 300 --out runs/{path.stem}"),
        )(_command(path.stem))
    app.add_typer(probes, name="probe")


def list_probes(as_json: opt.Json = False) -> None:
    """List the built-in probes; each is a command: 'lensaudit probe NAME FINDER'."""
    from lensaudit.probes import builtin_probes, load_definition

    found = [load_definition(name) for name in builtin_probes()]
    if as_json:
        names = ("name", "nature", "question", "tolerance")
        say_json([{**{name: getattr(one, name) for name in names}, "modes": list(one.modes)} for one in found])
        return
    rows = []
    for one in found:
        modes = f" (modes: {', '.join(one.modes)})" if len(one.modes) > 1 else ""
        rows.append((one.name, one.nature, f"{one.tolerance:g}", one.question + modes))
    say_table(("probe", "kind", "tolerance", "question"), rows)


def power(
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="LOSS", help="Loss of recall that must be excluded.")
    ] = 0.05,
    chance: Annotated[
        float, typer.Option("--power", metavar="P", help="Probability of excluding it where there is none.")
    ] = 0.9,
    as_json: opt.Json = False,
) -> None:
    """How many pairs it takes to exclude a loss of recall."""
    from lensaudit.display.numbers import percent, shortest
    from lensaudit.errors import UsageError
    from lensaudit.statistics import pairs_needed, pairs_that_never_tell
    from lensaudit.verdicts import INCONCLUSIVE

    for name, value in (("--tolerance", tolerance), ("--power", chance)):
        if not 0 < value < 1:
            raise UsageError(f"{name} {value:g}: must lie between 0 and 1")
    needed = {part: pairs_needed(tolerance, part, chance) for part in (0.0, 0.02, 0.05, 0.1, 0.2)}
    never = pairs_that_never_tell(tolerance)
    if as_json:
        pairs = [{"differ_by_chance": part, "pairs": n} for part, n in needed.items()]
        say_json({"tolerance": tolerance, "power": chance, "pairs": pairs, "too_few_up_to": never})
        return
    above, probability = shortest(tolerance), shortest(chance)
    say(f"To exclude a loss of recall above {above}, with probability {probability} where there is none:")
    say(*(f"  {n:>7} pairs, if {percent(part)} differ by chance" for part, n in needed.items()))
    say(f"Up to {never} pairs can never exclude it; such a probe says '{INCONCLUSIVE.word}'.")


def all_probes(
    finder: opt.Finder,
    n: N,
    out: opt.Out,
    probe: opt.OnlyProbes = [],
    instrument: opt.Instrument = "",
    asked: on.Asked = on.ASKED,
    run: Run = RUN,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Run all built-in probes, correct for all tests together and rank the findings."""
    from lensaudit.probes import run_audit

    check_fail_on(run.fail_on)
    loaded = _read(finder, reading, asked.path, instrument)
    with watching() as progress:
        audit = run_audit(loaded, n, run.seed, out, tuple(probe), run.options(n, asked, instrument), progress)
    if as_json:
        say_json(audit.index.to_json())
    else:
        print_audit(audit, out)
        if not probe and asked.galaxies is None:
            say("source-texture was not asked: give real galaxies, a folder of stamps or a catalogue, by --sources")
    fail_where([one.verdict.word for one in audit.ranked], run.fail_on)


def preprocessing(
    finder: opt.Finder,
    n: N,
    out: opt.Out,
    instrument: opt.Instrument = "",
    asked: on.Asked = on.ASKED,
    run: Run = RUN,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """What a slip of the pipeline costs: unit, JPEG, 8 bit, resampling, pixel scale, clipped range."""
    from lensaudit.probes.definition import PREPROCESSING

    all_probes(finder, n, out, [PREPROCESSING], instrument, asked, run, reading, as_json=as_json)


def run_file(
    definition: Annotated[Path, typer.Argument(metavar="FILE", help="A probe of your own: its YAML file.")],
    finder: opt.Finder,
    n: N,
    out: opt.Out,
    mode: Mode = None,
    stretch: Stretch = None,
    lens_set: EditedSet = None,
    asked: on.Asked = on.ASKED,
    instrument: opt.Instrument = "",
    run: Run = RUN,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Run a probe of your own: edits composed in a YAML file, or a function of yours."""
    from lensaudit.probes import run_probe

    check_fail_on(run.fail_on)
    loaded = _read(finder, reading, lens_set or asked.path, instrument)
    with watching() as progress:
        options = replace(run.options(n, asked, instrument), mode=mode, stretch=stretch, lens_set=lens_set)
        result = run_probe(str(definition), loaded, n, run.seed, out, options, progress)
    _tell(result, out, as_json=as_json, fail_on=run.fail_on)


def _command(name: str) -> Callable[..., None]:
    group = on.ASKED_WITH_KERNEL if name == "psf-rotation-real" else on.ASKED

    def command(
        finder: opt.Finder,
        n: N,
        out: opt.Out,
        mode: Mode = None,
        stretch: Stretch = None,
        lens_set: EditedSet = None,
        asked: on.Asked = group,
        instrument: opt.Instrument = "",
        psf_extension: Extension = "VIS_PSF",
        run: Run = RUN,
        reading: opt.Reading = opt.READING,
        as_json: opt.Json = False,
    ) -> None:
        from lensaudit.probes import run_probe

        check_fail_on(run.fail_on)
        loaded = _read(finder, reading, lens_set or asked.path, instrument)
        with watching() as progress:
            options = replace(
                run.options(n, asked, instrument), mode=mode, stretch=stretch, lens_set=lens_set, psf=asked.kernel,
                psf_extension=psf_extension,
            )  # fmt: skip
            result = run_probe(name, loaded, n, run.seed, out, options, progress)
        _tell(result, out, as_json=as_json, fail_on=run.fail_on)

    return command


def _read(finder: str, reading: opt.Reading, lens_set: Path | None, instrument: str) -> Finder:
    """The finder, as it reads the set whose lenses are edited, the hosts, or scenes of a named instrument."""
    from lensaudit.errors import UsageError
    from lensaudit.lensset import open_cutouts
    from lensaudit.probes.elsewhere import cutouts_of

    if lens_set is not None:
        opened = open_cutouts(lens_set)
        loaded = read_by(finder, reading, [opened])
        check_sets(loaded, [opened])
        return loaded
    asked = {"refit": reading.refit}
    if not instrument:
        asked |= {"field-of-view": reading.field_of_view is not None, "resample": reading.resample}
    if wrong := next((name for name, given in asked.items() if given), None):
        others = "--set or --hosts" if wrong == "refit" else "--set, --hosts or --instrument"
        raise UsageError(f"--{wrong} is for given images, and scenes are drawn as the finder takes them; add {others}")
    seen_by, loaded = opt.instrument_named(instrument), read_by(finder, reading)
    if seen_by is not None and reading.resample and (other := loaded.other_pixels(cutouts_of(seen_by))):
        warn(f"--instrument {instrument}: {other}; resampled as asked")
    return loaded


def _tell(result: ProbeResult, out: Path, *, as_json: bool, fail_on: str | None) -> None:
    if as_json:
        say_json(result.to_json())
    else:
        print_result(result, out)
    fail_where([result.verdict.word], fail_on)
