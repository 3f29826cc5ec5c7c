"""``lensaudit ingest``: real cutouts and challenge data into lens sets, with what the survey gave beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.groups import Group, options_of
from lensaudit.cli.sets import show

if TYPE_CHECKING:
    from lensaudit.lensset.ingest import PixelPolicy, Plan

    Policy = PixelPolicy
else:
    Policy = Any  # imported when it is needed

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
Electrons = Annotated[
    list[str] | None,
    typer.Option(
        "--electrons-per-unit", metavar="[BAND=]NUMBER", help="Electrons of 1 pixel unit (gain × exposure); wins."
    ),
]
Filters = Annotated[
    list[str] | None, typer.Option("--filter", metavar="BAND=NAME", help="Filter in speclite, e.g. g=hsc2017-g.")
]
Instrument = Annotated[
    str,
    typer.Option(
        "--instrument",
        help="Name kept in the set; of a known instrument (or its YAML) also the pixel scale, zero point and filter "
        "of each band, where neither header nor option says.",
    ),
]
MaskBits = Annotated[
    str, typer.Option("--mask-bits", metavar="BIT,BIT", help="Bits of the mask that mark bad pixels, from 0.")
]
ImagesOnly = Annotated[bool, typer.Option("--images-only", help="Leave PSFs and noise maps out.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unusable systems out and say which, do not stop.")]


def _policy(
    nan: Nan = "fail",
    masked: Masked = None,
    size_arcsec: Size = None,
    size_pixels: Pixels = None,
    pixel_scale: Scale = None,
    zero_point: ZeroPoint = None,
) -> Policy:
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


def _policy_of_q1(
    size_arcsec: Annotated[
        float | None, typer.Option("--size-arcsec", help="Side of the central square that is kept; 20 by default.")
    ] = None,
    **others: Any,
) -> Policy:
    return _policy(size_arcsec=size_arcsec, **others)


_OPTIONS = {one.name: one for one in options_of(_policy)}
PIXELS: Any = Group(_policy)
"""Takes the place of the options that say which pixels are taken and what becomes of bad ones."""
PIXELS_OF_Q1: Any = Group(
    _policy_of_q1, list((_OPTIONS | {one.name: one for one in options_of(_policy_of_q1)}).values())
)


_PATTERN = "BAND=PATTERN[EXT]"


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
    group.command(
        "fits",
        epilog=opt.examples(
            "lensaudit ingest fits cutouts/ --band 'VIS=*_vis.fits[1]' --label lens --out runs/mine",
            "lensaudit ingest fits in/ --band 'g=*.fits[1]' --psf 'g=[2]' --variance 'g=[3]' --out runs/hsc",
        ),
    )(fits)
    shown = "lensaudit ingest npz cutouts.npz --instrument hsc --out runs/hsc"
    group.command("npz", epilog=opt.examples(shown))(npz)
    shown = "lensaudit ingest cutouts cutouts.yaml --out runs/mine"
    group.command("cutouts", epilog=opt.examples(shown))(cutouts)
    app.add_typer(group, name="ingest")


def blf1(
    path: Images,
    out: opt.Out,
    catalogue: Catalogue = None,
    bands: Bands = "",
    policy: Policy = PIXELS,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Bologna challenge 1: Euclid-like VIS, or KiDS-like R, I, G, U (masked pixels hold 100)."""
    from lensaudit.lensset.ingest import plan_blf1

    plan = plan_blf1(path, catalogue=catalogue, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def blf2(
    path: Images,
    out: opt.Out,
    catalogue: Catalogue = None,
    label_rule: Annotated[str, typer.Option("--label-rule", help="wilde or challenge.")] = "wilde",
    bands: Bands = "",
    policy: Policy = PIXELS,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Bologna challenge 2: Euclid-like VIS, J, Y, H; labels by a named rule from its catalogue."""
    from lensaudit.lensset.ingest import plan_blf2

    plan = plan_blf2(path, catalogue=catalogue, rule=label_rule, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def euclid_q1(
    path: Cutouts,
    out: opt.Out,
    label: Label = "unknown",
    catalogue: Catalogue = None,
    bands: Bands = "",
    policy: Policy = PIXELS_OF_Q1,
    electrons_per_unit: Electrons = None,
    images_only: ImagesOnly = False,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Euclid Q1 multi-extension cutouts: VIS_FLUX or VIS_BGSUB, NIR_J_FLUX …, with their *_PSF and *_RMS."""
    from lensaudit.lensset.ingest import plan_euclid_q1

    policy = replace(
        policy,
        given_electrons=_electrons(electrons_per_unit),
        images_only=images_only,
    )
    plan = plan_euclid_q1(path, label=label, catalogue=catalogue, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def fits(
    path: Cutouts,
    out: opt.Out,
    band: Annotated[list[str], typer.Option("--band", metavar="NAME=PATTERN[EXT]", help="E.g. VIS=*_vis.fits[1].")],
    psf: Annotated[
        list[str] | None, typer.Option("--psf", metavar=_PATTERN, help="PSFs; without * one for all.")
    ] = None,
    rms: Annotated[list[str] | None, typer.Option("--rms", metavar=_PATTERN, help="Standard deviations.")] = None,
    variance: Annotated[list[str] | None, typer.Option("--variance", metavar=_PATTERN, help="Variances.")] = None,
    weight: Annotated[list[str] | None, typer.Option("--weight", metavar=_PATTERN, help="Inverse variances.")] = None,
    mask: Annotated[list[str] | None, typer.Option("--mask", metavar=_PATTERN, help="Masks of bad pixels.")] = None,
    mask_bits: MaskBits = "",
    duplicate: Annotated[list[str] | None, typer.Option("--duplicate", help="E.g. VIS:J,Y,H: copies of VIS.")] = None,
    instrument: Instrument = "unknown",
    label: Label = "unknown",
    catalogue: Catalogue = None,
    policy: Policy = PIXELS,
    electrons_per_unit: Electrons = None,
    filters: Filters = None,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """Any FITS cutouts, one --band per band; the * of the pattern is the id.

    PSFs, noise maps and masks are given alike: 'g=psf/*_g.fits', or 'g=[5]' for an extension of the image's own file.
    """
    from lensaudit.lensset.ingest import parse_band, parse_bits, parse_duplicate, parse_filters, plan_fits

    beside = {"psf": psf, "rms": rms, "variance": variance, "weight": weight, "mask": mask}

    plan = plan_fits(
        path,
        [
            *(parse_band(words) for words in band),
            *(parse_band(words, what) for what, given in beside.items() for words in given or []),
        ],
        duplicate=dict(parse_duplicate(words) for words in duplicate or []),
        label=label,
        catalogue=catalogue,
        instrument=instrument,
        policy=replace(
            policy,
            given_electrons=_electrons(electrons_per_unit),
            given_filter=parse_filters(filters or []),
            bad_bits=parse_bits(mask_bits),
        ),
    )
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def npz(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help=".npz files, or folders of them.")],
    out: opt.Out,
    bands: Annotated[
        str, typer.Option("--bands", help="Bands to keep, or their names in order where the file has none.")
    ] = "",
    instrument: Instrument = "unknown",
    label: Label = "unknown",
    catalogue: Catalogue = None,
    mask_bits: MaskBits = "",
    policy: Policy = PIXELS,
    electrons_per_unit: Electrons = None,
    filters: Filters = None,
    images_only: ImagesOnly = False,
    workers: opt.Workers = 1,
    skip_bad: SkipBad = False,
    as_json: opt.Json = False,
) -> None:
    """NumPy .npz files of plain arrays: images (n, bands, rows, columns), perhaps variance, psfs, mask, bands, ids."""
    from lensaudit.lensset.ingest import parse_bits, parse_filters, plan_npz

    policy = replace(
        policy,
        given_electrons=_electrons(electrons_per_unit),
        given_filter=parse_filters(filters or []),
        bad_bits=parse_bits(mask_bits),
        images_only=images_only,
    )
    plan = plan_npz(paths, bands=_split(bands), label=label, catalogue=catalogue, instrument=instrument, policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def cutouts(
    path: Annotated[
        Path, typer.Argument(metavar="YAML", help="Declaration of a container, or the container beside it.")
    ],
    out: opt.Out,
    nan: Nan = "fail",
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:
    """A container that other commands read in place: HDF5, arrays, FITS tables, tar, Parquet, data sets, pictures."""
    from lensaudit.cli.running import progress_bar
    from lensaudit.lensset.containers.ingesting import ingest_cutouts

    with progress_bar("ingesting") as report:
        lens_set = ingest_cutouts(path, out, nan=nan, workers=workers, progress=report)
    show(lens_set, as_json=as_json)


def _electrons(words: list[str] | None) -> dict[str, float]:
    from lensaudit.lensset.ingest import parse_by_band

    return parse_by_band("--electrons-per-unit", words or [], float)


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
