"""``lensaudit cut`` and ``inject``: galaxies out of large images, and simulated arcs in real cutouts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import hosts as on
from lensaudit.cli import options as opt


def register_cut(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit cut runs/tile --side 200 --max-mag 22.5 --exclude lenses.csv --out runs/hosts --workers 0",
            "lensaudit cut runs/q1 --side 66 --centre-arcsec 4 --label non-lens --out runs/field",
            "lensaudit cut runs/a runs/b --side 200 --edge-arcsec 3 --centre-arcsec 4 --paint-out --out hosts",
        )
    )(cut)


def cut(
    sets: Annotated[
        list[Path], typer.Argument(metavar="SET…", help="Lens sets of large images, from lensaudit ingest.")
    ],
    side: Annotated[int, typer.Option("--side", metavar="PIXELS", help="Of a cutout.")],
    out: opt.Out,
    detect_in: Annotated[
        str,
        typer.Option("--detect-in", metavar="BAND", help="Where galaxies are looked for; by default the sharpest."),
    ] = "",
    min_snr: Annotated[float, typer.Option("--min-snr", help="Least S/N of a galaxy.")] = 20.0,
    min_pixels: Annotated[int, typer.Option("--min-pixels", help="Least number of its pixels above 2 σ.")] = 20,
    max_mag: Annotated[
        float | None, typer.Option("--max-mag", metavar="MAG", help="Faintest AB magnitude in that band.")
    ] = None,
    apart_arcsec: Annotated[
        float, typer.Option("--apart-arcsec", help="Galaxies with a brighter object nearer than this are left out.")
    ] = 1.5,
    edge_arcsec: Annotated[
        float | None,
        typer.Option(
            "--edge-arcsec", show_default=False,
            help="Least distance from the edge of the image; below half a side, cutouts are filled by the mirrored "
            "image. Default: half a side.",
        ),
    ] = None,
    centre_arcsec: Annotated[
        float, typer.Option("--centre-arcsec", help="Radius round the middle of each image that is excluded.")
    ] = 0.0,
    exclude: Annotated[
        Path | None, typer.Option("--exclude", metavar="TABLE", help="Positions that are excluded: columns ra, dec.")
    ] = None,
    exclude_arcsec: Annotated[float, typer.Option("--exclude-arcsec", help="Radius round them.")] = 5.0,
    paint_out: Annotated[
        bool,
        typer.Option(
            "--paint-out", help="Replace what is excluded by blank sky of the image; else cutouts with it are left out."
        ),
    ] = False,
    stars: Annotated[bool, typer.Option("--stars", help="Keep what is as narrow as the PSF.")] = False,
    label: Annotated[str, typer.Option("--label", help="lens, non-lens or unknown, of all cutouts.")] = "unknown",
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Cut the galaxies out of large images, each into the middle of a cutout, as hosts.

    Each keeps its image's PSF, its own noise and its sky coordinates; the catalogue says where it lay, its magnitudes
    and size, and its next brighter neighbour.
    """
    from lensaudit.cli.running import watching
    from lensaudit.cli.sets import show
    from lensaudit.injection import CutSettings, read_positions
    from lensaudit.injection import cut as run

    settings = CutSettings(
        side=side,
        detect_in=detect_in,
        min_snr=min_snr,
        min_pixels=min_pixels,
        max_mag=max_mag,
        apart_arcsec=apart_arcsec,
        edge_arcsec=edge_arcsec,
        centre_arcsec=centre_arcsec,
        exclude=() if exclude is None else read_positions(exclude),
        exclude_arcsec=exclude_arcsec,
        paint_out=paint_out,
        stars=stars,
        label=label,
    )
    with watching() as report:
        made = run(sets, out, settings, workers, report)
    show(made, as_json=as_json)


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
    hosts: Annotated[Path, typer.Argument(metavar="HOSTS", help="Lens set, or YAML, of real cutouts.")],
    out: opt.Out,
    n: Annotated[int | None, typer.Option("--n", metavar="N", min=1, help="Hosts; by default all that can be.")] = None,
    arms: Annotated[
        str, typer.Option("--arms", metavar="ARMS", help="Written of each host: host (as it is), lens, or both.")
    ] = "host,lens",
    settings: on.Settings = on.SETTINGS,
    reuse_hosts: on.ReuseHosts = False,
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
    from lensaudit.injection import inject as run

    with watching() as report:
        chosen = replace(settings, seed=seed, n=n, reuse=reuse_hosts)
        made = run(hosts, out, chosen, [arm.strip() for arm in arms.split(",")], workers, report)
    show(made, as_json=as_json)
    say(f"  {made.path}: " + _counted(made.column("mass_from")), err=as_json)


def _counted(words: Iterable[object]) -> str:
    """How often each way of getting the mass was taken."""
    from collections import Counter

    counts = Counter(str(word) for word in words)
    return "mass from " + ", ".join(f"{what} ({times})" for what, times in counts.most_common(6))
