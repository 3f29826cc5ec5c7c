"""``lensaudit check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json


def register(app: typer.Typer) -> None:
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
    from lensaudit.cli.progress import progress_bar
    from lensaudit.lensset.check import check_set

    with progress_bar("checking") as report:
        found = check_set(lens_set, report)
    if as_json:
        say_json(found.as_json())
        return
    extras = [name for name, there in (("truth", found.truth), ("scenes", found.scenes), ("WCS", found.wcs)) if there]
    bad = [f"{count} in {band}" for band, count in found.not_finite.items() if count]
    say(
        f"{lens_set}: sound; {found.n} systems of {found.instrument} in {', '.join(found.bands)}"
        + (f", with {', '.join(extras)}" if extras else ""),
        f"  {found.lenses} lenses, {found.non_lenses} non-lenses, {found.unlabelled} unlabelled",
        f"  NaN or infinite pixels: {', '.join(bad) or 'none'}",
        f"  content hash {found.content_hash[:16]}, as computed from the files",
    )
