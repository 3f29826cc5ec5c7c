"""``lensaudit simulate`` and ``check``: making lens sets, and checking them; what is printed of a set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json
from lensaudit.cli.instruments import Filters, Like, named_or_like
from lensaudit.errors import UsageError

if TYPE_CHECKING:
    from lensaudit.lensset import LensSet


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
        "psf": [band for band in lens_set.bands if lens_set.has_psf(band)],
        "rms": [band for band in lens_set.bands if lens_set.has_rms(band)],
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
    for kind in ("psf", "rms"):
        if facts[kind]:
            say(f"  {kind.upper()} of {', '.join(facts[kind])}")
    say(f"  content hash {facts['content_hash'][:16]}")


def register_simulate(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog=opt.examples(
            "lensaudit simulate euclid --n 2000 --seed 1 --out runs/train --workers 0",
            "lensaudit simulate euclid --n 2000 --redden 0:1.5 --out runs/red",
            "lensaudit simulate hsc --n 2000 --out runs/hsc",
            "lensaudit simulate mine.yaml --population non-lens --n 500 --out runs/mine",
            "lensaudit simulate --like runs/ingested --filter g=hsc2017-g --n 500 --out runs/alike",
        )
    )(simulate)


def simulate(
    n: Annotated[int, typer.Option("--n", metavar="N", help="Number of systems.")],
    out: opt.Out,
    named: Annotated[
        str,
        typer.Argument(
            metavar="[INSTRUMENT]", autocompletion=opt.instrument_names, show_default=False,
            help="A name (lensaudit instruments list) or a YAML file.",
        ),
    ] = "",
    instrument: Annotated[
        str, typer.Option("--instrument", metavar="NAME", help="The same, as other commands have it.")
    ] = "",
    like: Like = None,
    filters: Filters = [],
    population: Annotated[
        str,
        typer.Option(
            "--population", metavar="NAME", autocompletion=opt.population_names,
            help="What is drawn; default: the instrument's training mix.",
        ),
    ] = "",
    redden: Annotated[
        str,
        typer.Option(
            "--redden", metavar="LOW:HIGH", show_default=False,
            help="Draw the colour of arcs, and of what passes for them, wider: 0 as drawn … 1 the lens galaxy's.",
        ),
    ] = "",
    seed: opt.Seed = 1,
    workers: opt.Workers = 1,
    as_json: opt.Json = False,
) -> None:  # fmt: skip
    """Simulate lenses and non-lenses with their truth."""
    from lensaudit.cli.running import progress_bar
    from lensaudit.lensset import Reddened
    from lensaudit.lensset import simulate as run

    drawn = Reddened(population, *_bounds(redden)) if redden else population
    seen_by = named_or_like(named or instrument, like, filters)
    with progress_bar("simulating") as report:
        lens_set = run(seen_by, drawn, n, seed, out, workers, report)
    show(lens_set, as_json=as_json)


def _bounds(text: str) -> tuple[float, float]:
    """The numbers of ``LOW:HIGH``."""
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise UsageError(f"--redden '{text}' is not LOW:HIGH, as 0:1.5") from None


def register_check(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=opt.examples("lensaudit check runs/test"))(check)


def check(
    lens_set: Annotated[Path, typer.Argument(metavar="SET", help="Lens set to check, or YAML of cutouts.")],
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
    hashed = "as computed from the files"
    if not found.checksums and found.content_hash.startswith("sampled:"):
        hashed = "of the declaration, the files' names and sizes, and a sample of their content"
    say(
        f"{lens_set}: sound; {found.n} systems of {found.instrument} in {', '.join(found.bands)}"
        + (f", with {', '.join(extras)}" if extras else ""),
        f"  {found.lenses} lenses, {found.non_lenses} non-lenses, {found.unlabelled} unlabelled",
        f"  NaN or infinite pixels: {', '.join(bad) or 'none'}",
        f"  content hash {found.content_hash[:16]}, {hashed}",
    )
