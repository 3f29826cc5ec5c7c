"""What a set's pixels do to a stretch: which fraction is clipped, and statistics taken again from the set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.finders.finder import Cutouts, Declared, Finder
from lensaudit.finders.recipe import Recipe
from lensaudit.finders.stretch import STRETCHES, Limits, fit_statistics
from lensaudit.finders.units import bands_in_units, told_unit
from lensaudit.provenance import Clipping, Pixels

_CHUNK = 256

Rows = NDArray[np.integer[Any]]


class Measured(Protocol):
    """What fitting asks of a lens set."""

    def __len__(self) -> int: ...
    def images(self, band: str, index: Rows) -> NDArray[np.float32]: ...
    @property
    def pixel_units(self) -> Mapping[str, str]: ...


def statistics_of(recipe: Recipe, *chosen: tuple[Measured, Rows]) -> dict[str, torch.Tensor]:
    """Statistics that the recipe's stretch takes from images of one set or of several; see `fitted`.

    Parameters
    ----------
    *chosen
        Each set, and which of its images count.
    """
    chunks = (
        [lens_set.images(band, rows[first : first + _CHUNK]) for band in recipe.bands]
        for lens_set, rows in chosen
        for first in range(0, len(rows), _CHUNK)
    )
    images = sum(len(rows) for _, rows in chosen)
    return fit_statistics(recipe.stretch, len(recipe.bands), recipe.size, chunks, images)


def takes_statistics(finder: Finder) -> bool:
    """Whether its stretch takes statistics of a training set, so that it can be `refitted`."""
    return bool(STRETCHES[finder.recipe.stretch].fitted)


def refitted(finder: Finder, lens_set: Measured) -> Finder:
    """The same finder with the statistics of its stretch taken from `lens_set`: for pixels in another unit.

    Its scores then depend on the set as a whole, and on lenses and non-lenses being in it in the usual proportion.

    Raises
    ------
    UsageError
        Its stretch takes no statistics.
    DataError
        A band of the set has no spread.
    """
    if finder.recipe.members:
        raise UsageError(
            f"--refit: the statistics of the members of {finder.name} belong to its map; leave it out, or make the "
            f"ensemble again with lensaudit ensemble MEMBER... --refit --data SET"
        )
    if not takes_statistics(finder):
        raise UsageError(
            f"--refit: finder {finder.name} takes no statistics of a set (stretch {finder.recipe.stretch}); "
            f"leave it out"
        )
    unit = {band: lens_set.pixel_units[band] for band in finder.recipe.bands if band in lens_set.pixel_units}
    recipe = finder.recipe.model_copy(update={"pixel_unit": unit})
    missing = [band for band in recipe.bands if band not in lens_set.pixel_units]
    if missing:
        return finder  # its check names the band
    lost = "its calibration is left out, for it holds for other statistics of the stretch"
    return replace(
        finder,
        recipe=recipe,
        statistics=statistics_of(recipe, (lens_set, np.arange(len(lens_set)))),
        given_unit={},
        refitted=True,
        calibrator=None,
        notes=(*finder.notes, *([lost] if finder.calibrator else [])),
    )


def limits_of(finder: Finder, band: str) -> tuple[str, Limits] | None:
    """Name and limits of the stretch that clips `band`; None where none does.

    Of an ensemble's members only limits of native pixels are looked at, and the first member that has them.
    """
    for one in (finder.recipe, *finder.recipe.members):
        limits = STRETCHES[one.stretch].limits
        if band in one.bands and limits is not None and (one is finder.recipe or not limits.of_output):
            return one.stretch, limits
    return None


def clips(finder: Finder) -> bool:
    """Whether its stretch clips any band."""
    return any(limits_of(finder, band) is not None for band in finder.recipe.bands)


def clipped_fractions(finder: Finder, cutouts: Cutouts, prepared: torch.Tensor) -> NDArray[np.float64]:
    """Fractions of pixels below and above the limits of the stretch (n, bands, 2); 0 where it does not clip.

    Parameters
    ----------
    cutouts
        Native images, band → (n, h, w).
    prepared
        What `Finder.prepare` made of them (n, channels, size, size).
    """
    fractions = np.zeros((len(prepared), len(finder.recipe.bands), 2))
    for index, band in enumerate(finder.recipe.bands):
        found = limits_of(finder, band)
        if found is None:
            continue
        limits = found[1]
        images = prepared[:, index] if limits.of_output else finder.native(cutouts, band)
        pixels = images[0].numel()
        on_limit = limits.of_output  # there, what was clipped lies on the limit exactly
        fractions[:, index, 0] = _count(images <= limits.low if on_limit else images < limits.low) / pixels
        if on_limit or bool(images.amax() > limits.high):
            fractions[:, index, 1] = _count(images >= limits.high if on_limit else images > limits.high) / pixels
    return fractions


def summary_of(finder: Finder, fractions: NDArray[np.float64]) -> dict[str, Clipping]:
    """Band → what the stretch clips of a set; nothing for a band that it does not clip.

    Parameters
    ----------
    fractions
        Of the images that were scored (n, bands, 2), from `clipped_fractions`.
    """
    summary = {}
    for index, band in enumerate(finder.recipe.bands):
        found = limits_of(finder, band)
        if found is not None and len(fractions):
            below, above = (float(value) for value in fractions[:, index].mean(axis=0))
            summary[band] = Clipping(below, above, _remark(*found, below, above))
    return summary


def remarks_on(finder: str, clipping: Mapping[str, Clipping]) -> list[str]:
    """One line for all bands in which the clipped fraction is not ordinary; none if it is."""
    bands: dict[str, list[str]] = {}
    for band, one in clipping.items():
        if one.remark:
            bands.setdefault(one.remark, []).append(band)
    words = "; ".join(f"{', '.join(named)}: {remark}" for remark, named in bands.items())
    return [f"these are no ordinary pixels for finder {finder}, whose scores may be wrong: {words}"] if words else []


def pixel_record(finder: Finder, lens_set: Declared, clipping: Mapping[str, Clipping]) -> Pixels:
    """What a result says of the pixels it was made from; a unit that nobody knows is ``unknown``."""
    units, own = getattr(lens_set, "pixel_units", {}), finder.recipe.pixel_unit
    finder = finder.for_units(lens_set)
    return Pixels(
        units={band: told_unit(units.get(band)) for band in finder.recipe.bands},
        finder_units={band: told_unit(own.get(band)) for band in bands_in_units(finder.recipe)},
        clipping=dict(clipping),
        remarks=(*finder.unit_remarks(lens_set), *remarks_on(finder.name, clipping)),
    )


def _remark(stretch: str, limits: Limits, below: float, above: float) -> str:
    least, most = limits.ordinary_below
    if above > limits.ordinary_above:
        return f"stretch {stretch} clips {_percent(above)} of the pixels from above, ordinary are " + (
            f"at most {_percent(limits.ordinary_above)}"
        )
    if least <= below <= most:
        return ""
    ordinary = f"{_percent(least)} to {_percent(most)}" if least > 0 else f"at most {_percent(most)}"
    if limits.of_output:
        return f"stretch {stretch} clips {_percent(below)} of the pixels from below, ordinary are {ordinary}"
    why = "the sky is not subtracted, or there is no noise" if below < least else "too much sky is subtracted"
    return f"{_percent(below)} of the pixels are negative ({ordinary} in an ordinary sky): {why}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _count(beyond: torch.Tensor) -> NDArray[np.float64]:
    """True pixels of each image (n,)."""
    if beyond.device.type == "cpu":  # numpy counts booleans by whole words, ten times as fast as torch sums them
        return np.array([np.count_nonzero(one) for one in beyond.numpy()], np.float64)
    return beyond.flatten(1).sum(1).cpu().numpy().astype(np.float64)
