"""``lensaudit ingest``: one sub-command per archive layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lensaudit.lensset.ingest import PixelPolicy, Plan

Images = Annotated[Path, typer.Argument(help="Folder of the images (searched downwards).")]
Cutouts = Annotated[Path, typer.Argument(help="A FITS file, or a folder of them.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the new lens set; an interrupted run is resumed.")]
Catalogue = Annotated[Path | None, typer.Option("--catalogue", help="CSV file with an id column, labels and numbers.")]
Bands = Annotated[str, typer.Option("--bands", help="Bands to keep, comma-separated; all of the layout by default.")]
Nan = Annotated[str, typer.Option("--nan", help="NaN pixels: fail, zero, median of the others, or keep.")]
Masked = Annotated[str, typer.Option("--masked", help="Masked pixels (value 100): fail, zero, median, or keep as NaN.")]
Size = Annotated[float | None, typer.Option("--size-arcsec", help="Side of the central square that is kept.")]
Scale = Annotated[list[str] | None, typer.Option("--pixel-scale", metavar="[BAND=]ARCSEC", help="Wins over headers.")]
Label = Annotated[str, typer.Option("--label", help="lens, non-lens or unknown, where the catalogue does not say.")]
Workers = Annotated[int, typer.Option("--workers", help="Processes; the set is the same whatever their number.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unusable systems out and say which, do not stop.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(help="Bring challenge data or real cutouts into a lens set.", no_args_is_help=True)
    group.command("blf1")(blf1)
    group.command("blf2")(blf2)
    group.command("euclid-q1")(euclid_q1)
    group.command("fits")(fits)
    app.add_typer(group, name="ingest")


def blf1(
    path: Images,
    out: Out,
    catalogue: Catalogue = None,
    bands: Bands = "",
    nan: Nan = "fail",
    masked: Masked = "zero",
    size_arcsec: Size = None,
    workers: Workers = 1,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Bologna challenge 1: Euclid-like VIS, or KiDS-like R, I, G, U (masked pixels hold 100)."""
    from lensaudit.lensset.ingest import PixelPolicy, plan_blf1

    policy = PixelPolicy(nan=nan, masked=masked, size_arcsec=size_arcsec)
    plan = plan_blf1(path, catalogue=catalogue, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def blf2(
    path: Images,
    out: Out,
    catalogue: Catalogue = None,
    label_rule: Annotated[str, typer.Option("--label-rule", help="wilde or challenge.")] = "wilde",
    bands: Bands = "",
    nan: Nan = "fail",
    size_arcsec: Size = None,
    workers: Workers = 1,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Bologna challenge 2: Euclid-like VIS, J, Y, H; labels by a named rule from its catalogue."""
    from lensaudit.lensset.ingest import PixelPolicy, plan_blf2

    policy = PixelPolicy(nan=nan, size_arcsec=size_arcsec)
    plan = plan_blf2(path, catalogue=catalogue, rule=label_rule, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def euclid_q1(
    path: Cutouts,
    out: Out,
    label: Label = "unknown",
    catalogue: Catalogue = None,
    bands: Bands = "",
    nan: Nan = "fail",
    size_arcsec: Size = 20.0,
    pixel_scale: Scale = None,
    workers: Workers = 1,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Euclid Q1 multi-extension cutouts: VIS_FLUX or VIS_BGSUB, NIR_J_FLUX …"""
    from lensaudit.lensset.ingest import plan_euclid_q1

    policy = _policy(nan, size_arcsec, pixel_scale)
    plan = plan_euclid_q1(path, label=label, catalogue=catalogue, bands=_split(bands), policy=policy)
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def fits(
    path: Cutouts,
    out: Out,
    band: Annotated[list[str], typer.Option("--band", metavar="NAME=PATTERN[EXT]", help="E.g. VIS=*_vis.fits[1].")],
    duplicate: Annotated[list[str] | None, typer.Option("--duplicate", help="E.g. VIS:J,Y,H: copies of VIS.")] = None,
    instrument: Annotated[str, typer.Option("--instrument", help="Name kept in the set.")] = "unknown",
    label: Label = "unknown",
    catalogue: Catalogue = None,
    nan: Nan = "fail",
    size_arcsec: Size = None,
    pixel_scale: Scale = None,
    workers: Workers = 1,
    skip_bad: SkipBad = False,
    as_json: Json = False,
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
        policy=_policy(nan, size_arcsec, pixel_scale),
    )
    _carry_out(plan, out, workers=workers, skip_bad=skip_bad, as_json=as_json)


def _policy(nan: str, size_arcsec: float | None, pixel_scale: list[str] | None) -> PixelPolicy:
    from lensaudit.lensset.ingest import PixelPolicy, parse_scales

    return PixelPolicy(nan=nan, size_arcsec=size_arcsec, told_scale=parse_scales(pixel_scale or []))


def _split(bands: str) -> list[str]:
    return [band.strip() for band in bands.split(",") if band.strip()]


def _carry_out(plan: Plan, out: Path, *, workers: int, skip_bad: bool, as_json: bool) -> None:
    from lensaudit.cli.set_summary import progress_bar, show
    from lensaudit.lensset.ingest import ingest

    with progress_bar("ingesting") as report:
        lens_set = ingest(plan, out, workers=workers, skip_bad=skip_bad, progress=report)
    show(lens_set, as_json=as_json)
