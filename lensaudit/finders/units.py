"""What a finder's numbers are in: the unit of its pixels, and the width of its cutouts, against those of a set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from lensaudit.errors import DataError
from lensaudit.finders.recipe import Recipe
from lensaudit.finders.stretch import STRETCHES
from lensaudit.untrusted import printable

Units = Mapping[str, str]
"""Band → unit of its pixels; a band that is not there has an unknown one."""

_UNNAMED = frozenset({"", "unknown", "unit of the files", "flux unit of the archive (see zero_point_mag)"})
_ZERO_POINT = re.compile(r" at ([-+0-9.e]+) mag$")


def zero_point_mag(unit: str) -> float | None:
    """AB magnitude that gives 1 of `unit`; None where it does not say.

    Examples
    --------
    >>> zero_point_mag("electron / s at 24.6 mag")
    24.6
    """
    found = _ZERO_POINT.search(unit)
    try:
        return None if found is None else float(found[1])
    except ValueError:
        return None


def is_known(unit: str | None) -> bool:
    """Whether a unit says what a pixel means: it has a zero point, or a name that is not a way of saying "unknown"."""
    return unit is not None and (zero_point_mag(unit) is not None or unit not in _UNNAMED)


def told_unit(unit: str | None) -> str:
    """A unit as results say it: ``unknown`` where it is."""
    return unit if unit is not None and is_known(unit) else "unknown"


def factor(given: str, own: str) -> float | None:
    """By what a pixel value in the unit `given` is multiplied to be in the unit `own`; None where nobody knows.

    Examples
    --------
    >>> factor("ADU at 25 mag", "electron / s at 27.5 mag")
    10.0
    """
    if given == own:
        return 1.0
    there, here = zero_point_mag(given), zero_point_mag(own)
    if there is None or here is None:
        return None
    return float(10.0 ** (0.4 * (here - there)))


def bands_in_units(recipe: Recipe) -> tuple[str, ...]:
    """Bands whose pixels the recipe's stretch, or that of a member, measures by numbers in their unit."""
    measured = [one for one in (recipe, *recipe.members) if one.in_pixel_units]
    named = {band for one in measured for band in one.bands}
    return tuple(band for band in recipe.bands if band in named)


def refuse_other_units(recipe: Recipe, units: Units, expected: Units, refitted: bool = False) -> None:
    """Make sure that numbers of a known unit are not applied to pixels in another one, or in one nobody knows.

    Where the finder's own unit is not known there is nothing to compare: `unit_remarks` says so. Statistics `refitted`
    to a set are in its unit, known or not, and right for pixels of that unit alone.

    Parameters
    ----------
    units
        Of the set.
    expected
        Band → unit of the pixels that the finder was told it is given, where that is not its own.

    Raises
    ------
    DataError
        One line with the band, both units and the fix.
    """
    for band in bands_in_units(recipe):
        own, given = recipe.pixel_unit.get(band), units.get(band)
        if own is None or given is None or factor(given, expected.get(band, own)) == 1.0:  # by other names too
            continue
        if factor(given, own) is not None:
            raise DataError(
                f"finder {recipe.name} is read for pixels of band {band} in {printable(expected.get(band, own), 60)}, "
                f"the set's are in {printable(given, 60)}; read sets of one unit at a time (Finder.for_units)"
            )
        if not (refitted or is_known(own)):
            continue
        theirs = f"in {printable(given, 60)}" if is_known(given) else "in a unit that the set does not know"
        raise DataError(
            f"finder {recipe.name} scales band {band} by {_numbers(recipe)} in {printable(own, 60)}, the set's pixels "
            f"are {theirs}; {_fix(recipe)}"
        )


def unit_remarks(recipe: Recipe, units: Units, refitted: bool = False) -> list[str]:
    """What a user is told of the units of a set that `refuse_other_units` lets through: one line or none."""
    bands = bands_in_units(recipe)
    unknown = [band for band in bands if not refitted and not is_known(recipe.pixel_unit.get(band))]
    if unknown:
        there = " and ".join(sorted({units[band] for band in unknown if is_known(units.get(band))}))
        return [
            f"finder {recipe.name} does not record the pixel unit of its {_numbers(recipe)} (band "
            f"{', '.join(unknown)}); the set's pixels are in {printable(there) or 'an unknown one'}, and scores are "
            f"right only if that is the same; {_fix(recipe)}"
        ]
    own = recipe.pixel_unit
    brought = {band: factor(units[band], own[band]) for band in bands if band in units and band in own}
    words = [f"{band} times {by:.6g}" for band, by in brought.items() if by not in (None, 1.0)]
    if not words:
        return []
    return [f"pixels are brought to the unit of finder {recipe.name} by their zero points: {', '.join(words)}"]


def scaling_words(recipe: Recipe) -> str:
    """What a model card says of stretch or preprocessing, and of the unit of its numbers where it holds any."""
    what = f"preprocessing {recipe.scaling}" if recipe.preprocessing else f"stretch `{recipe.stretch}`"
    return f"{what}{_unit_clause(recipe)}"


def _unit_clause(recipe: Recipe) -> str:
    if not recipe.in_pixel_units:
        return ""
    named = ", ".join(f"{band}: {recipe.pixel_unit.get(band, 'unknown')}" for band in recipe.bands)
    return f", with numbers in the unit of a pixel ({named})"


def _numbers(recipe: Recipe) -> str:
    if recipe.preprocessing:
        return "numbers of its preprocessing"
    measured = [one.stretch for one in (recipe, *recipe.members) if one.in_pixel_units]
    fitted = any(STRETCHES[name].fitted for name in measured)
    what = "statistics of its training images" if fitted else "a fixed upper limit"
    return f"{what} (stretch {', '.join(dict.fromkeys(measured))})"


def _fix(recipe: Recipe) -> str:
    if STRETCHES[recipe.stretch].fitted:
        return "give --refit to take the statistics from this set instead, or files whose header has the zero point"
    return "give files whose header has the zero point"


FIELD_TOLERANCE = 0.03  # 66 pixels of 0.3″ are 19.8″: one per cent off the 20″ of the VIS cutouts


class Declared(Protocol):
    """What `Finder.check` asks of a lens set."""

    @property
    def bands(self) -> tuple[str, ...]: ...
    @property
    def instrument(self) -> str: ...
    @property
    def pixel_scale_arcsec(self) -> Mapping[str, float]: ...
    @property
    def shape(self) -> Mapping[str, tuple[int, int]]: ...


def refuse_other_field(finder: str, band: str, wanted: float, lens_set: Declared) -> None:
    """Make sure that cutouts of `band` are `wanted` arcseconds wide, within 3 %.

    Raises
    ------
    DataError
        They are not; the line says what to do, and what it advises is never refused in turn.
    """
    shape, scale = lens_set.shape[band], lens_set.pixel_scale_arcsec[band]
    widths = [pixels * scale for pixels in shape]
    if all(abs(width - wanted) <= FIELD_TOLERANCE * wanted for width in widths):
        return
    measured = " × ".join(dict.fromkeys(f"{width:.4g}" for width in widths))
    raise DataError(
        f"band {band} is {shape[0]}×{shape[1]} pixels of {scale:g}″ = {measured}″, finder {finder} needs {wanted:g}″ "
        f"(±3 %); {_advice(shape, scale, wanted)}"
    )


def _advice(shape: tuple[int, int], scale: float, wanted: float) -> str:
    side, middle = min(shape) * scale, sum(shape) / 2 * scale
    square = max(shape) * scale - middle <= FIELD_TOLERANCE * middle
    pixels = min(shape) if side < wanted else round(wanted / scale)
    crop = f"crop to {pixels} pixels with lensaudit ingest --size-arcsec {pixels * scale:.5g}"
    read = "have it read at another scale than it was trained on with --field-of-view"
    if side >= (1 - FIELD_TOLERANCE) * wanted:
        return f"{crop}, or {read} {middle:.5g}" if square else crop
    return f"{read} {middle:.5g}" if square else f"{crop}, then {read} {side:.5g}"
