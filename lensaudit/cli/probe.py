"""``lensaudit probe``: one command per built-in probe, all of them, and those for finders outside Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table
from lensaudit.cli.probe_output import check_fail_on, fail_where, print_audit, print_result
from lensaudit.cli.running import watching
from lensaudit.resources import builtin_folder

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.probes import ProbeResult

N = Annotated[
    int, typer.Option("--n", metavar="N", help="Paired simulations of each population; see lensaudit probe power.")
]
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
Psf = Annotated[
    Path | None, typer.Option("--psf", metavar="FILE", help="FITS file with the kernel that psf-rotation-real turns.")
]
Extension = Annotated[str, typer.Option("--psf-extension", metavar="NAME", help="Its extension.")]


def register_probe(app: typer.Typer) -> None:
    """Add the command to the application."""
    from lensaudit.cli import probe_outside

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
        ),
    )(all_probes)
    probes.command("run", epilog=opt.examples("lensaudit probe run mine.yaml ou66 --n 300 --out runs/mine"))(run_file)
    probes.command("power", epilog=opt.examples("lensaudit probe power --tolerance 0.05"))(power)
    probe_outside.register_outside(probes)
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
    tolerance: opt.Tolerance = None,
    fail_on: opt.FailOn = None,
    seed: opt.Seed = 0,
    workers: opt.Workers = 1,
    batch: opt.Batch = None,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
) -> None:
    """Run all built-in probes, correct for all tests together and rank the findings."""
    from lensaudit.cli.opening import read_by
    from lensaudit.probes import ProbeOptions, run_audit

    check_fail_on(fail_on)
    options = ProbeOptions(tolerance=tolerance, workers=workers, batch=batch)
    loaded = read_by(finder, opt.Reading(device=device, threads=threads))
    with watching() as progress:
        audit = run_audit(loaded, n, seed, out, tuple(probe), options, progress)
    if as_json:
        say_json(audit.index.to_json())
    else:
        print_audit(audit, out)
    fail_where([one.verdict.word for one in audit.ranked], fail_on)


def run_file(
    definition: Annotated[Path, typer.Argument(metavar="FILE", help="A probe of your own: its YAML file.")],
    finder: opt.Finder,
    n: N,
    out: opt.Out,
    mode: Mode = None,
    stretch: Stretch = None,
    lens_set: EditedSet = None,
    tolerance: opt.Tolerance = None,
    fail_on: opt.FailOn = None,
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
    """Run a probe of your own: edits composed in a YAML file, or a function of yours."""
    from lensaudit.probes import ProbeOptions, run_probe

    check_fail_on(fail_on)
    options = ProbeOptions(
        mode=mode, stretch=stretch, tolerance=tolerance, workers=workers, batch=batch, lens_set=lens_set
    )
    loaded = _read(finder, opt.Reading(field_of_view, resample, refit, device, threads), lens_set)
    with watching() as progress:
        result = run_probe(str(definition), loaded, n, seed, out, options, progress)
    _tell(result, out, as_json=as_json, fail_on=fail_on)


def _command(name: str) -> Callable[..., None]:
    def command(
        finder: opt.Finder,
        n: N,
        out: opt.Out,
        mode: Mode = None,
        stretch: Stretch = None,
        lens_set: EditedSet = None,
        psf: Psf = None,
        psf_extension: Extension = "VIS_PSF",
        tolerance: opt.Tolerance = None,
        fail_on: opt.FailOn = None,
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
        from lensaudit.probes import ProbeOptions, run_probe

        check_fail_on(fail_on)
        options = ProbeOptions(
            mode=mode, stretch=stretch, tolerance=tolerance, workers=workers, batch=batch, lens_set=lens_set,
            psf=psf, psf_extension=psf_extension,
        )  # fmt: skip
        loaded = _read(finder, opt.Reading(field_of_view, resample, refit, device, threads), lens_set)
        with watching() as progress:
            result = run_probe(name, loaded, n, seed, out, options, progress)
        _tell(result, out, as_json=as_json, fail_on=fail_on)

    return command


def _read(finder: str, reading: opt.Reading, lens_set: Path | None) -> Finder:
    """The finder, as it reads the set whose lenses are edited."""
    from lensaudit.cli.opening import check_sets, read_by
    from lensaudit.errors import UsageError
    from lensaudit.lensset import LensSet

    if lens_set is not None:
        opened = LensSet.open(lens_set)
        loaded = read_by(finder, reading, [opened])
        check_sets(loaded, [opened])
        return loaded
    asked = {"field-of-view": reading.field_of_view is not None, "resample": reading.resample, "refit": reading.refit}
    if wrong := next((name for name, given in asked.items() if given), None):
        raise UsageError(
            f"--{wrong} is for the images of a set, and scenes are drawn as the finder takes them; add --set"
        )
    return read_by(finder, reading)


def _tell(result: ProbeResult, out: Path, *, as_json: bool, fail_on: str | None) -> None:
    if as_json:
        say_json(result.to_json())
    else:
        print_result(result, out)
    fail_where([result.verdict.word], fail_on)
