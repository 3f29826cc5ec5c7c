"""``lensaudit instruments``: those that can be simulated, and every number of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

if TYPE_CHECKING:
    from lensaudit.imaging import Band


def register_instruments(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(
        rich_markup_mode=None, no_args_is_help=True, help="Instruments that can be simulated: list them, show one."
    )
    group.command("list", epilog=opt.examples("lensaudit instruments list"))(list_instruments)
    group.command(
        "show", epilog=opt.examples("lensaudit instruments show hsc", "lensaudit instruments show mine.yaml --json")
    )(show_instrument)
    app.add_typer(group, name="instruments")


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
        str, typer.Argument(metavar="NAME", help="A name or a YAML file.", autocompletion=opt.instrument_names)
    ],
    as_json: opt.Json = False,
) -> None:
    """Show every number of an instrument, and where it comes from."""
    from lensaudit.imaging import load_instrument
    from lensaudit.imaging.instruments import sources_of

    found, sources = load_instrument(name), sources_of(name)
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
