"""What a command says where a set's pixels or bands are not those of the finder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lensaudit.cli.console import say

if TYPE_CHECKING:
    from pathlib import Path

    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import LensSet

RESAMPLE = typer.Option(False, "--resample", help="Take other pixels than it was trained on, resampled to its own.")


def warn_of_pixels(finder: Finder, *sets: LensSet) -> None:
    """Say on standard error, in one line per set, that its images are resampled as asked.

    Raises
    ------
    DataError
        The finder cannot eat a set; see `lensaudit.finders.Finder.check`.
    """
    for lens_set in sets:
        finder.check(lens_set)
        if other := finder.other_pixels(lens_set):
            warn(f"{lens_set.path}: {other}")
        for remark in finder.unit_remarks(lens_set):
            say(f"lensaudit: warning: {lens_set.path}: {remark}", err=True)


def warn_of_clipping(finder: Finder, scores: Scores, where: Path) -> None:
    """Say on standard error, in one line, that the stretch clips more or fewer pixels than it ordinarily does."""
    from lensaudit.finders import remarks_on

    for remark in remarks_on(finder.name, scores.clipping):
        say(f"lensaudit: warning: {where}: {remark}", err=True)


def warn(other: str) -> None:
    """One warning about pixels that are resampled."""
    typer.echo(f"lensaudit: warning: {other}; resampled as asked", err=True)


def bands_left_out(finder: Finder, lens_set: LensSet) -> str:
    """Clause that names the bands of the set that the finder does not look at; empty for none."""
    unused = finder.unused_bands(lens_set)
    return f"; bands left out: {', '.join(unused)}" if unused else ""
