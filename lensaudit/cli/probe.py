"""``lensaudit probe``: one command per built-in probe, all of them, and those for finders outside Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lensaudit.cli.probe_output import FAIL_ON, check_fail_on, fail_where, print_audit, progress_bars
from lensaudit.resources import builtin_folder

if TYPE_CHECKING:
    from lensaudit.probes import ProbeOptions, ProbeResult

FINDER = typer.Argument(..., help="Built-in name, folder, or package.module:factory.")
N = typer.Option(..., "--n", help="Pairs of each population; each is one image an arm.")
OUT = typer.Option(..., "--out", help="Folder for the result; run again to go on after an interruption.")
MODE = typer.Option(None, "--mode", help="How scenes are drawn; see 'lensaudit probe list'.")
SEED = typer.Option(0, "--seed", help="Seed of the scenes, their noise and the resamples.")
WORKERS = typer.Option(1, "--workers", help="Processes that render.")
TOLERANCE = typer.Option(None, "--tolerance", help="Loss of recall that is accepted.")
STRETCH = typer.Option(None, "--stretch", help="Stretch in place of the finder's own and the mode's.")
SET = typer.Option(None, "--set", help="Edit the lenses of this set, not drawn scenes; for probes that edit images.")
PSF = typer.Option(None, "--psf", help="FITS file with the kernel that psf-rotation-real turns.")
EXTENSION = typer.Option("VIS_PSF", "--psf-extension", help="Its extension.")
DEVICE = typer.Option("auto", "--device", help="auto, cpu or cuda.")
JSON = typer.Option(False, "--json", help="Print the result as JSON instead of a table.")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    from lensaudit.cli import probe_outside

    probes = typer.Typer(no_args_is_help=True, help="Ask a finder about pairs of scenes that differ in one thing.")
    probes.command("list")(list_probes)
    probes.command("all")(all_probes)
    probes.command("run")(run_file)
    probes.command("power")(power)
    probe_outside.register(probes)
    for path in sorted(builtin_folder("probes").glob("*.yaml")):
        probes.command(path.stem, help=f"Run the {path.stem} probe on FINDER.", hidden=path.stem != "compound")(
            _command(path.stem)
        )
    app.add_typer(probes, name="probe")


def list_probes() -> None:
    """List the built-in probes; each is a command: 'lensaudit probe NAME FINDER'."""
    from rich.console import Console
    from rich.table import Table

    from lensaudit.probes import builtin_probes, load_definition

    table = Table("probe", "kind", "question", "modes", "tolerance")
    for name in builtin_probes():
        definition = load_definition(name)
        row = (name, definition.nature, definition.question, ", ".join(definition.modes), f"{definition.tolerance:g}")
        table.add_row(*row)
    Console().print(table)


def power(
    tolerance: float = typer.Option(0.05, "--tolerance", help="Loss of recall that must be excluded."),
    chance: float = typer.Option(0.9, "--power", help="Probability of excluding it where nothing changes."),
) -> None:
    """How many pairs it takes to exclude a loss of recall."""
    from lensaudit.errors import UsageError
    from lensaudit.statistics import pairs_needed, pairs_that_never_tell
    from lensaudit.verdicts import UNDECIDED

    for name, value in (("--tolerance", tolerance), ("--power", chance)):
        if not 0 < value < 1:
            raise UsageError(f"{name} {value:g}: must lie between 0 and 1")
    typer.echo(f"To exclude a loss of recall above {tolerance:g}, with probability {chance:g} where there is none:")
    for discordant in (0.0, 0.02, 0.05, 0.1, 0.2):
        typer.echo(f"  {pairs_needed(tolerance, discordant, chance):>7} pairs, if {discordant:.0%} differ by chance")
    typer.echo(
        f"Up to {pairs_that_never_tell(tolerance)} pairs can never exclude it; such a probe says '{UNDECIDED.word}'."
    )


def all_probes(
    finder: str = FINDER,
    n: int = N,
    out: Path = OUT,
    probe: list[str] = typer.Option([], "--probe", help="Only these; give it as often as you like."),
    seed: int = SEED,
    workers: int = WORKERS,
    tolerance: float = TOLERANCE,
    fail_on: str = FAIL_ON,
    device: str = DEVICE,
    as_json: bool = JSON,
) -> None:
    """Run all built-in probes, correct them together and rank what they found."""
    import json

    from lensaudit.finders import load_finder
    from lensaudit.probes import ProbeOptions, run_audit

    check_fail_on(fail_on)
    options = ProbeOptions(tolerance=tolerance, workers=workers)
    with progress_bars() as progress:
        audit = run_audit(load_finder(finder, device=device), n, seed, out, tuple(probe), options, progress)
    if as_json:
        typer.echo(json.dumps(audit.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False))
    else:
        print_audit(audit, out)
    fail_where([one.verdict.word for one in audit.ranked], fail_on)


def run_file(
    definition: Path = typer.Argument(..., help="A probe of your own: its YAML file."),
    finder: str = FINDER,
    n: int = N,
    out: Path = OUT,
    mode: str = MODE,
    seed: int = SEED,
    workers: int = WORKERS,
    tolerance: float = TOLERANCE,
    stretch: str = STRETCH,
    lens_set: Path = SET,
    fail_on: str = FAIL_ON,
    device: str = DEVICE,
    as_json: bool = JSON,
) -> None:
    """Run a probe of your own: edits composed in a YAML file, or a function of yours."""
    from lensaudit.probes import ProbeOptions

    check_fail_on(fail_on)
    options = ProbeOptions(mode=mode, stretch=stretch, tolerance=tolerance, workers=workers, lens_set=lens_set)
    result = _asked(str(definition), finder, n, seed, out, options, device)
    _tell(result, out, as_json=as_json, fail_on=fail_on)


def _command(name: str) -> Callable[..., None]:
    def command(
        finder: str = FINDER,
        n: int = N,
        out: Path = OUT,
        mode: str = MODE,
        seed: int = SEED,
        workers: int = WORKERS,
        tolerance: float = TOLERANCE,
        stretch: str = STRETCH,
        lens_set: Path = SET,
        psf: Path = PSF,
        psf_extension: str = EXTENSION,
        fail_on: str = FAIL_ON,
        device: str = DEVICE,
        as_json: bool = JSON,
    ) -> None:
        from lensaudit.probes import ProbeOptions

        check_fail_on(fail_on)
        options = ProbeOptions(
            mode=mode, stretch=stretch, tolerance=tolerance, workers=workers, lens_set=lens_set,
            psf=psf, psf_extension=psf_extension,
        )  # fmt: skip
        result = _asked(name, finder, n, seed, out, options, device)
        _tell(result, out, as_json=as_json, fail_on=fail_on)

    return command


def _asked(probe: str, finder: str, n: int, seed: int, out: Path, options: ProbeOptions, device: str) -> ProbeResult:
    from lensaudit.finders import load_finder
    from lensaudit.probes import run_probe

    with progress_bars() as progress:
        return run_probe(probe, load_finder(finder, device=device), n, seed, out, options, progress)


def _tell(result: ProbeResult, out: Path, *, as_json: bool, fail_on: str | None) -> None:
    _print_json(result) if as_json else _print_table(result, out)
    fail_where([result.verdict.word], fail_on)


def _print_json(result: ProbeResult) -> None:
    import json

    typer.echo(json.dumps(result.to_json(), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False))


def _print_table(result: ProbeResult, out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from lensaudit.probes import FINDINGS_HEAD, findings_rows

    console = Console()
    console.print(f"{result.definition.title}: {result.finder.name}", highlight=False, markup=False)
    rows = [tuple(cell.replace(" [", "\n[") for cell in row) for row in findings_rows(result.findings)]
    if len(rows) > 2:
        table = Table(*FINDINGS_HEAD, box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    else:
        table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False, show_header=False)
        rows = list(zip(FINDINGS_HEAD, *rows, strict=True))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(f"{result.verdict.word}: {result.verdict.sentence}", highlight=False, markup=False)
    console.print(f"written to {out}", highlight=False, markup=False)
