"""``lensaudit instruments``: those that can be simulated, and every number of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table, warn

if TYPE_CHECKING:
    from lensaudit.imaging import Band, Instrument

Like = Annotated[
    Path | None, typer.Option("--like", metavar="SET", help="Pixels, noise, zero points, PSF of a lens set.")
]
Filters = Annotated[
    list[str], typer.Option("--filter", metavar="BAND=NAME", help="With --like: a band's filter, speclite's name.")
]


def register_instruments(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(
        rich_markup_mode=None, no_args_is_help=True, help="Instruments that can be simulated: list them, show one."
    )
    group.command("list", epilog=opt.examples("lensaudit instruments list"))(list_instruments)
    group.command(
        "show",
        epilog=opt.examples(
            "lensaudit instruments show hsc",
            "lensaudit instruments show mine.yaml --json",
            "lensaudit instruments show --like runs/ingested --filter g=hsc2017-g",
        ),
    )(show_instrument)
    app.add_typer(group, name="instruments")


def named_or_like(name: str, like: Path | None, filters: list[str]) -> str | Instrument:
    """The instrument that options name, or the one measured from a set.

    Raises
    ------
    UsageError
        None or two are given, or a filter is not written as BAND=NAME.
    """
    from lensaudit.errors import UsageError

    if bool(name) == (like is not None):
        raise UsageError(
            "give one instrument: a name (lensaudit instruments list shows them), a YAML file, or --like SET"
        )
    if like is None:
        if filters:
            raise UsageError("--filter goes with --like; a YAML file says its filters itself")
        return name
    from lensaudit.lensset import open_cutouts
    from lensaudit.lensset.like import instrument_like

    pairs = [words.partition("=") for words in filters]
    if wrong := [words for words, (band, _, curve) in zip(filters, pairs, strict=True) if not band or not curve]:
        raise UsageError(f"--filter '{wrong[0]}': write BAND=NAME, e.g. g=hsc2017-g")
    measured = instrument_like(open_cutouts(like), {band: curve for band, _, curve in pairs})
    if silent := [band.name for band in measured.bands if band.shot_electrons_per_unit is None]:
        warn(f"{like}: electrons of a pixel unit are not known in {', '.join(silent)}; light adds no noise")
    return measured


def list_instruments(as_json: opt.Json = False) -> None:
    """List the shipped instruments; a YAML file of yours takes the place of a name anywhere."""
    from lensaudit.imaging import INSTRUMENTS

    found = [INSTRUMENTS[name] for name in INSTRUMENTS]
    if as_json:
        say_json([{"name": one.name, "title": one.title, "bands": list(one.band_names)} for one in found])
        return
    rows = [(one.name, " ".join(one.band_names), f"{one.field_arcsec:.4g}″", one.title) for one in found]
    say_table(("name", "bands", "cutout", "what it is"), rows)


def show_instrument(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="A name or a YAML file.", autocompletion=opt.instrument_names, show_default=False
        ),
    ] = "",
    like: Like = None,
    filters: Filters = [],
    as_json: opt.Json = False,
) -> None:
    """Show every number of an instrument and where it comes from, or what is measured on a lens set.

    Where noise is correlated from pixel to pixel, a table says how much, by rows and columns apart.
    """
    from lensaudit.imaging import load_instrument
    from lensaudit.imaging.instruments import sources_of

    chosen = named_or_like(name, like, filters)
    found, sources = (load_instrument(chosen), sources_of(chosen)) if isinstance(chosen, str) else (chosen, {})
    if as_json:
        say_json({**found.to_json(), "sources": sources})
        return
    say(f"{found.name}: {found.title}", f"  drawn by default: {found.default_population}")
    say(f"  reference band {found.reference}" + (f", colour {' − '.join(found.colour)}" if found.colour else ""))
    heads = (
        "band",
        "filter",
        "pixels",
        "arcsec",
        "zero point",
        "FWHM",
        "σ of a pixel",
        "in mag",
        "electrons",
    )
    say_table(heads, [_row(band) for band in found.bands])
    for band in found.bands:
        for dy, row in enumerate(band.noise_correlation):
            head = (
                f"  noise of {band.name} is correlated"
                if dy == 0
                else " " * len(f"  noise of {band.name} is correlated")
            )
            say(head + "".join(f"{value:8.3f}" for value in row))
    say(*(f"  {field}: {source}" for field, source in sources.items()))


def _row(band: Band) -> tuple[str, ...]:
    from math import log10

    sigma, electrons = band.background_sigma, band.shot_electrons_per_unit
    return (
        band.name,
        "of its own" if (band.filter or "").startswith("curve:") else band.filter or "unknown",
        str(band.pixels),
        f"{band.pixel_scale_arcsec:g}",
        f"{band.zero_point_mag:g}",
        f"{band.fwhm_arcsec:.3g}″",
        f"{sigma:.3g} {band.unit}",
        f"{band.zero_point_mag - 2.5 * log10(sigma):.2f}",
        "unknown" if electrons is None else f"{electrons:.4g}",
    )
