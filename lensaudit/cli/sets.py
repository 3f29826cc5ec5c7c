"""``lensaudit simulate``, ``ingest`` and ``check``: making lens sets, and checking them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet
    from lensaudit.lensset.ingest import PixelPolicy, Plan


def summary(lens_set: LensSet) -> dict[str, Any]:
    """JSON-able facts of a set: path, size, bands, labels, content hash, and what its source left out."""
    labels = lens_set.labels
    header = lens_set.header
    return {
        "path": str(lens_set.path),
        "n": len(lens_set),
        "instrument": lens_set.instrument,
        "population": header.population,
        "seed": header.seed,
        "bands": {
            band: {"shape": lens_set.shape[band], "pixel_scale_arcsec": lens_set.pixel_scale_arcsec[band]}
            for band in lens_set.bands
        },
        "lenses": int((labels == 1).sum()),
        "non_lenses": int((labels == 0).sum()),
        "unlabelled": int((labels == -1).sum()),
        "source": header.source.model_dump(mode="json"),
        "content_hash": lens_set.content_hash,
    }


def show(lens_set: LensSet, *, as_json: bool) -> None:
    """Print the facts of a set, for people or for machines."""
    facts = summary(lens_set)
    if as_json:
        say_json(facts)
        return
    bands = ", ".join(
        f"{name} {b['shape'][0]}×{b['shape'][1]} at {b['pixel_scale_arcsec']:.4g}″"
        for name, b in facts["bands"].items()
    )
    say(f"{facts['path']}: {facts['n']} systems, {facts['instrument']}: {bands}")
    labels = (f"{facts['lenses']} lenses", f"{facts['non_lenses']} non-lenses", f"{facts['unlabelled']} unlabelled")
    say("  " + ", ".join(labels), *(f"  {note}" for note in facts["source"].get("notes", [])))
    say(f"  content hash {facts['content_hash'][:16]}")


def register_simulate(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit simulate euclid --n 2000 --seed 1 --out runs/train --workers 0",
            "lensaudit simulate lsst --population lsst-best-contaminants --n 500 --out runs/lsst",
        )
    )(simulate)


def simulate(
    instrument: Annotated[Literal["euclid", "vis101", "lsst", "lsst-stack"], typer.Argument(help="To simulate.")],
    n: Annotated[int, typer.Option("--n", metavar="N", help="Number of systems.")],
    out: opt.Out,
    population: Annotated[
        str,
        typer.Option(
            "--population", metavar="NAME", autocompletion=opt.population_names,
            help="What is drawn; default: the instrument's training mix.",
        ),
    ] = "",
    seed: opt.Seed = 1,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
    dask: Annotated[
        str, typer.Option("--dask", metavar="ADDRESS", help="Dask scheduler whose workers see --out.")
    ] = "",
) -> None:  # fmt: skip
    """Simulate lenses and non-lenses with their truth."""
    from lensaudit.cli.running import progress_bar
    from lensaudit.lensset import simulate as run
    from lensaudit.scenes import DEFAULT_POPULATION

    chosen = population or DEFAULT_POPULATION.get(instrument, instrument)
    with progress_bar("simulating") as report:
        lens_set = run(instrument, chosen, n, seed, out, dask or workers, report)
    show(lens_set, as_json=as_json)


Images = Annotated[Path, typer.Argument(help="Folder of the images (searched downwards).")]
Cutouts = Annotated[Path, typer.Argument(help="A FITS file, or a folder of them.")]
Catalogue = Annotated[
    Path | None,
    typer.Option("--catalogue", help="Table with an id column, labels and more: CSV, ECSV, FITS, VOTable, Parquet."),
]
Bands = Annotated[str, typer.Option("--bands", help="Bands to keep, comma-separated; all of the layout by default.")]
Nan = Annotated[str, typer.Option("--nan", help="NaN pixels: fail, zero, median of the others, or keep.")]
Masked = Annotated[
    list[str] | None,
    typer.Option(
        "--masked",
        metavar="VALUE[:POLICY]",
        help="Value of masked pixels (repeatable), and what becomes of them: fail, zero, median, or keep as NaN.",
    ),
]
Size = Annotated[float | None, typer.Option("--size-arcsec", help="Side of the central square that is kept.")]
Pixels = Annotated[
    list[str] | None, typer.Option("--size-pixels", metavar="[BAND=]PIXELS", help="The same in pixels, by band.")
]
Scale = Annotated[list[str] | None, typer.Option("--pixel-scale", metavar="[BAND=]ARCSEC", help="Wins over headers.")]
ZeroPoint = Annotated[
    list[str] | None,
    typer.Option("--zero-point", metavar="[BAND=]MAG", help="AB magnitude of 1 pixel unit; wins over headers."),
]
Label = Annotated[str, typer.Option("--label", help="lens, non-lens or unknown, where the catalogue does not say.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unusable systems out and say which, do not stop.")]


def register_ingest(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(
        rich_markup_mode=None, help="Bring challenge data or real cutouts into a lens set.", no_args_is_help=True
    )
    shown = "lensaudit ingest blf1 challenge1/space --out runs/challenge1"
    group.command("blf1", epilog=opt.examples(shown))(blf1)
    shown = "lensaudit ingest blf2 challenge2 --catalogue image_catalog2.0train.csv --out runs/blf2"
    group.command("blf2", epilog=opt.examples(shown))(blf2)
    shown = "lensaudit ingest euclid-q1 cutouts/ --skip-bad --out runs/q1"
    group.command("euclid-q1", epilog=opt.examples(shown))(euclid_q1)
    shown = "lensaudit ingest fits cutouts/ --band 'VIS=*_vis.fits[1]' --label lens --out runs/mine"
    group.command("fits", epilog=opt.examples(shown))(fits)
    app.add_typer(group, name="ingest")


def blf1(
    path: Images,
    out: opt.Out,
    catalogue: Catalogue = None,
    bands: Bands = "",
    nan: Nan = "fail",
    masked: Masked = None,
    size_arcsec: Size = None,
    size_pixels: Pixels = None,
    pixel_scale: Scale = None,
    zero_point: ZeroPoint = None,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Bologna challenge 1: Euclid-like VIS, or KiDS-like R, I, G, U (masked pixels hold 100)."""
    from lensaudit.lensset.ingest import plan_blf1

    policy = _policy(nan, masked, size_arcsec, size_pixels, pixel_scale, zero_point)
    plan = plan_blf1(path, catalogue=catalogue, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def blf2(
    path: Images,
    out: opt.Out,
    catalogue: Catalogue = None,
    label_rule: Annotated[str, typer.Option("--label-rule", help="wilde or challenge.")] = "wilde",
    bands: Bands = "",
    nan: Nan = "fail",
    masked: Masked = None,
    size_arcsec: Size = None,
    size_pixels: Pixels = None,
    pixel_scale: Scale = None,
    zero_point: ZeroPoint = None,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Bologna challenge 2: Euclid-like VIS, J, Y, H; labels by a named rule from its catalogue."""
    from lensaudit.lensset.ingest import plan_blf2

    policy = _policy(nan, masked, size_arcsec, size_pixels, pixel_scale, zero_point)
    plan = plan_blf2(path, catalogue=catalogue, rule=label_rule, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def euclid_q1(
    path: Cutouts,
    out: opt.Out,
    label: Label = "unknown",
    catalogue: Catalogue = None,
    bands: Bands = "",
    nan: Nan = "fail",
    masked: Masked = None,
    size_arcsec: Annotated[
        float | None, typer.Option("--size-arcsec", help="Side of the central square that is kept; 20 by default.")
    ] = None,
    size_pixels: Pixels = None,
    pixel_scale: Scale = None,
    zero_point: ZeroPoint = None,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Euclid Q1 multi-extension cutouts: VIS_FLUX or VIS_BGSUB, NIR_J_FLUX …"""
    from lensaudit.lensset.ingest import plan_euclid_q1

    policy = _policy(nan, masked, size_arcsec, size_pixels, pixel_scale, zero_point)
    plan = plan_euclid_q1(path, label=label, catalogue=catalogue, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def fits(
    path: Cutouts,
    out: opt.Out,
    band: Annotated[list[str], typer.Option("--band", metavar="NAME=PATTERN[EXT]", help="E.g. VIS=*_vis.fits[1].")],
    duplicate: Annotated[list[str] | None, typer.Option("--duplicate", help="E.g. VIS:J,Y,H: copies of VIS.")] = None,
    instrument: Annotated[str, typer.Option("--instrument", help="Name kept in the set.")] = "unknown",
    label: Label = "unknown",
    catalogue: Catalogue = None,
    nan: Nan = "fail",
    masked: Masked = None,
    size_arcsec: Size = None,
    size_pixels: Pixels = None,
    pixel_scale: Scale = None,
    zero_point: ZeroPoint = None,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Any FITS cutouts, one --band per band; the * of the pattern is the id."""
    from lensaudit.lensset.ingest import parse_band, parse_duplicate, plan_fits

    plan = plan_fits(
        path,
        [parse_band(words) for words in band],
        duplicate=dict(parse_duplicate(words) for words in duplicate or []),
        label=label,
        catalogue=catalogue,
        instrument=instrument,
        policy=_policy(nan, masked, size_arcsec, size_pixels, pixel_scale, zero_point),
    )
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def _policy(
    nan: str,
    masked: list[str] | None,
    size_arcsec: float | None,
    size_pixels: list[str] | None,
    pixel_scale: list[str] | None,
    zero_point: list[str] | None,
) -> PixelPolicy:
    from lensaudit.lensset.ingest import PixelPolicy, parse_by_band, parse_masked

    values, policy = parse_masked(masked or [])
    return PixelPolicy(
        nan=nan,
        masked_values=values,
        masked=policy,
        size_arcsec=size_arcsec,
        size_pixels=parse_by_band("--size-pixels", size_pixels or [], int),
        given_scale=parse_by_band("--pixel-scale", pixel_scale or [], float),
        given_zero_point=parse_by_band("--zero-point", zero_point or [], float),
    )


def _split(bands: str) -> list[str]:
    return [band.strip() for band in bands.split(",") if band.strip()]


def _carry_out(plan: Plan, out: Path, *, workers: int, skip_bad: bool, as_json: bool) -> None:
    from lensaudit.cli.console import say
    from lensaudit.cli.running import progress_bar
    from lensaudit.lensset.ingest import ingest, remarks, skipped_lines

    with progress_bar("ingesting") as report:
        lens_set = ingest(plan, out, workers=workers, skip_bad=skip_bad, progress=report)
    show(lens_set, as_json=as_json)
    say(*(f"  {line}" for line in (*remarks(lens_set), *skipped_lines(lens_set))), err=as_json)


def register_check(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=opt.examples("lensaudit check runs/test"))(check)


def check(
    lens_set: Annotated[Path, typer.Argument(metavar="SET", help="Lens set to check.")],
    as_json: opt.Json = False,
) -> None:
    """Read a lens set in full and compare it with its content hash; exit code 3 if anything differs.

    Every command compares the cheap part when it opens a set: header, catalogue, shapes, and the checksum of each file
    it reads. Sets of earlier versions hold no checksums: of those only this command sees rows in another order.
    """
    from lensaudit.cli.running import progress_bar
    from lensaudit.lensset.check import check_set

    with progress_bar("checking") as report:
        found = check_set(lens_set, report)
    if as_json:
        say_json(found.as_json())
        return
    extras = [name for name, there in (("truth", found.truth), ("scenes", found.scenes), ("WCS", found.wcs)) if there]
    extras += [f"{name} of {', '.join(kept)}" for name, kept in (("PSF", found.psf), ("RMS", found.rms)) if kept]
    bad = [f"{count} in {band}" for band, count in found.not_finite.items() if count]
    say(
        f"{lens_set}: sound; {found.n} systems of {found.instrument} in {', '.join(found.bands)}"
        + (f", with {', '.join(extras)}" if extras else ""),
        f"  {found.lenses} lenses, {found.non_lenses} non-lenses, {found.unlabelled} unlabelled",
        f"  NaN or infinite pixels: {', '.join(bad) or 'none'}",
        f"  content hash {found.content_hash[:16]}, as computed from the files",
    )
