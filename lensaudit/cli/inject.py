"""``lensaudit inject``: simulated arcs in real cutouts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import options as opt


def register_inject(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit inject runs/q1 --n 500 --out runs/injected --workers 0",
            "lensaudit inject runs/hsc --redshift zphot --sigma-v vdisp --filter i=hsc2017-i --out runs/i",
            "lensaudit inject runs/q1 --sources cosmos/real_galaxy_catalog_25.2.fits --out runs/textured",
        )
    )(inject)


def inject(
    hosts: Annotated[Path, typer.Argument(metavar="HOSTS", help="Lens set of real cutouts, from lensaudit ingest.")],
    out: opt.Out,
    n: Annotated[int | None, typer.Option("--n", metavar="N", min=1, help="Hosts; by default all that can be.")] = None,
    arms: Annotated[
        str, typer.Option("--arms", metavar="ARMS", help="Written of each host: host (as it is), lens, or both.")
    ] = "host,lens",
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--sources", metavar="WHAT",
            help="populations (smooth), a catalogue of GalSim's real galaxies (twice: a second HST band), or a folder "
            "of FITS stamps with their PSF.",
        ),
    ] = None,
    theta_e: Annotated[
        str,
        typer.Option(
            "--theta-e", metavar="COLUMN",
            help="Einstein radii in arcsec; faber-jackson: from magnitude and redshift; prior: drawn.",
        ),
    ] = "faber-jackson",
    sigma_v: Annotated[
        str, typer.Option("--sigma-v", metavar="COLUMN", help="Velocity dispersions in km/s, instead of --theta-e.")
    ] = "",
    redshift: Annotated[
        str, typer.Option("--redshift", metavar="COLUMN", help="By default z, zphot and the like; else drawn.")
    ] = "",
    lens_column: Annotated[
        str, typer.Option("--lens-column", metavar="COLUMN", help="Above 0 where a host is a lens: left out.")
    ] = "",
    psf: Annotated[
        list[str] | None,
        typer.Option("--psf", metavar="[BAND=]FILE[EXT]", help="PSF of all hosts; wins over the set's."),
    ] = None,
    zero_point: Annotated[
        list[str] | None, typer.Option("--zero-point", metavar="[BAND=]MAG", help="AB magnitude of 1 pixel unit.")
    ] = None,
    electrons_per_unit: Annotated[
        list[str] | None,
        typer.Option(
            "--electrons-per-unit", metavar="[BAND=]E",
            help="Electrons of 1 pixel unit, for the arc's shot noise; unknown: none.",
        ),
    ] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", metavar="BAND=NAME", help="Filter of speclite, as hsc2017-i.")
    ] = None,
    reuse: Annotated[bool, typer.Option("--reuse", help="Take hosts again where --n is more than there are.")] = False,
    any_host: Annotated[
        bool, typer.Option("--any-host", help="Keep stars, empty middles and known lenses as hosts.")
    ] = False,
    seed: opt.Seed = 1,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Put simulated arcs into real cutouts, seen through each host's own PSF.

    Of every host there are two systems: the host as it is (a non-lens), and the host with an arc (a lens). The
    deflector follows the host galaxy's light; what was assumed of each system stands in the catalogue.
    """
    from lensaudit.cli.console import say
    from lensaudit.cli.running import watching
    from lensaudit.cli.sets import show
    from lensaudit.injection import InjectionSettings, numbers_by_band, words_by_band
    from lensaudit.injection import inject as run

    settings = InjectionSettings(
        seed=seed,
        n=n,
        reuse=reuse,
        any_host=any_host,
        theta_e=theta_e,
        sigma_v=sigma_v,
        redshift=redshift,
        lens_column=lens_column,
        sources=tuple(sources or ("populations",)),
        zero_point_mag=numbers_by_band("--zero-point", zero_point or []),
        electrons_per_unit=numbers_by_band("--electrons-per-unit", electrons_per_unit or []),
        filters=words_by_band(filters or []),
        psf=words_by_band(psf or []),
    )
    with watching() as report:
        made = run(hosts, out, settings, [arm.strip() for arm in arms.split(",")], workers, report)
    show(made, as_json=as_json)
    say(f"  {made.path}: " + _counted(made.column("mass_from")), err=as_json)


def _counted(words: Iterable[object]) -> str:
    """How often each way of getting the mass was taken."""
    from collections import Counter

    counts = Counter(str(word) for word in words)
    return "mass from " + ", ".join(f"{what} ({times})" for what, times in counts.most_common(6))
