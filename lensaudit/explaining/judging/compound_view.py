"""Does a finder look at both sources of a compound lens, or only at one?

A pixel of the finder's grid belongs to a source whose light exceeds 0.5 σ there; where both do, to the brighter one. Of
each source the fraction of the positive attribution on its pixels is given, beside their fraction of the area (chance)
and of both sources' light (what a finder would show that looks at every lensed photon alike).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError
from lensaudit.explaining.judging.attributor import Attributor, attributor
from lensaudit.explaining.judging.records import CompoundView, ImageScore, SourceFraction
from lensaudit.explaining.judging.sample import COMPOUND_KINDS, KindSample, TwoSources, two_sources
from lensaudit.explaining.judging.scores import RANDOM, area_fraction, positive_fraction
from lensaudit.finders import Finder
from lensaudit.lensset import LensSet
from lensaudit.statistics import bootstrap_interval

SOURCES = ("nearer", "farther")

FEWEST_IMAGES = 5
"""Of a verdict; with fewer the resamples say little about other lenses."""

ROUNDING = 1e-9
"""An even map has exactly the fraction of the area, but for the rounding of sums."""

BOTH, NEARER_ONLY, FARTHER_ONLY, NEITHER = (
    "looks at both sources",
    "looks at the nearer source only",
    "looks at the farther source only",
    "looks at neither source",
)
INCONCLUSIVE = "inconclusive"


def compound_view(
    finder: Finder,
    lens_set: LensSet,
    method: str | Attributor = "gradcam",
    *,
    systems: Sequence[int] | None = None,
    seed: int = 0,
) -> tuple[CompoundView, ...]:
    """Where a method's positive attribution lies on simulated compound lenses, one view for each of their kinds.

    Parameters
    ----------
    finder, lens_set
        The set must have scenes, and the finder's bands and field.
    method
        Name of a method, or an `Attributor`.
    systems
        Positions in the set; by default every compound lens.
    seed
        Of the method's noise and the intervals.

    Raises
    ------
    DataError
        The finder cannot take the set as input, or holds no simulated compound lens.
    """
    finder.check(lens_set)
    chosen = attributor(method)
    kinds = lens_set.column("kind") if "kind" in lens_set.columns else np.array([""] * len(lens_set))
    wanted = np.arange(len(lens_set)) if systems is None else np.asarray(systems, dtype=np.intp)
    views = []
    for kind in COMPOUND_KINDS:
        here = [int(system) for system in wanted if kinds[system] == kind]
        if here:
            images = finder.preprocess(lens_set.cutouts(here), [lens_set.ids[i] for i in here])
            maps = chosen.maps(finder, images, seed).total
            rows = compound_fractions(maps, two_sources(finder, lens_set, here))
            views.append(summarised(finder.name, chosen, kind, rows, seed))
    if not views:
        raise DataError(f"{lens_set.path}: no compound lens in it; make one with lensaudit simulate --population")
    return tuple(views)


@dataclass(frozen=True)
class ImageFractions:
    """Of one image, source → fraction of the positive attribution, of the area and of both sources' light.

    Empty where a source has too few pixels; attribution is NaN where nothing is positive.
    """

    attribution: Mapping[str, float]
    area: Mapping[str, float]
    light: Mapping[str, float]
    lensed: bool

    @property
    def counts(self) -> bool:
        """Whether the image has all of them."""
        return bool(self.area) and not np.isnan(list(self.attribution.values())).any()


def compound_fractions(maps: NDArray[np.float32], sources: TwoSources) -> tuple[ImageFractions, ...]:
    """Fractions of n maps (n, size, size) on the two sources' pixels."""
    return tuple(_image_fractions(one, sources, row) for row, one in enumerate(maps))


def _image_fractions(attribution: NDArray[np.float32], sources: TwoSources, row: int) -> ImageFractions:
    lensed = bool(sources.lensed[row])
    if not sources.apart[row]:
        return ImageFractions({}, {}, {}, lensed)
    pixels = {"nearer": sources.nearer[row], "farther": sources.farther[row]}
    return ImageFractions(
        {name: positive_fraction(attribution, part) for name, part in pixels.items()},
        {name: area_fraction(part) for name, part in pixels.items()},
        {name: positive_fraction(sources.light[row], part) for name, part in pixels.items()},
        lensed,
    )


def views_of(
    finder: Finder,
    samples: Sequence[KindSample],
    scored: Mapping[tuple[str, str], Sequence[ImageScore]],
    seed: int,
) -> tuple[CompoundView, ...]:
    """A view for each kind of compound lens and explainer, of (explainer, kind) → scores of the images of `samples`."""
    views = []
    for sample in samples:
        if sample.sources is None:
            continue
        truth = compound_fractions(sample.sources.light, sample.sources)
        for (name, kind), scores in scored.items():
            if kind == sample.kind and name != RANDOM:
                rows = _with_attribution(truth, sample, scores)
                views.append(summarised(finder.name, attributor(name), kind, rows, seed))
    return tuple(views)


def _with_attribution(
    truth: Sequence[ImageFractions], sample: KindSample, scores: Sequence[ImageScore]
) -> list[ImageFractions]:
    """Areas and light of the sources, with the attribution that was scored."""
    values = {(one.system, one.score): one.value for one in scores}
    rows = []
    for system, fractions in zip(sample.systems, truth, strict=True):
        attribution = {source: values[system.name, f"{source}-share"] for source in fractions.area}
        rows.append(replace(fractions, attribution=attribution))
    return rows


def summarised(
    finder: str, method: Attributor, kind: str, rows: Sequence[ImageFractions], seed: int = 0
) -> CompoundView:
    """Means over images with their intervals, and the verdict."""
    counted = [row for row in rows if row.counts]
    fractions = tuple(_source_fraction(name, counted, seed) for name in SOURCES)
    return CompoundView(
        finder=finder,
        method=method.name,
        title=method.title,
        kind=kind,
        shares=fractions,
        n=len(counted),
        left_out=len(rows) - len(counted),
        unlensed=sum(not row.lensed for row in counted),
        verdict=_verdict(fractions[0], fractions[1], len(counted)),
    )


def _source_fraction(name: str, rows: Sequence[ImageFractions], seed: int) -> SourceFraction:
    value, area, light = (
        np.array([getattr(row, what)[name] for row in rows], float) for what in ("attribution", "area", "light")
    )
    low, high = bootstrap_interval([value], np.mean, np.random.default_rng([seed, 2]))
    gain_low, gain_high = bootstrap_interval([value - area], np.mean, np.random.default_rng([seed, 2]))
    mean = [float(part.mean()) if len(rows) else math.nan for part in (value, area, light)]
    return SourceFraction(name, mean[0], low, high, mean[1], mean[2], gain_low, gain_high)


def _verdict(nearer: SourceFraction, farther: SourceFraction, n: int) -> str:
    """By the intervals of attribution less area on each source's pixels."""
    if n < FEWEST_IMAGES:
        return f"{INCONCLUSIVE} ({n} images)"
    looks = {fraction.name: fraction.gain_low > ROUNDING for fraction in (nearer, farther)}
    looks_away = {fraction.name: fraction.gain_high <= ROUNDING for fraction in (nearer, farther)}
    if looks["nearer"] and looks["farther"]:
        return BOTH
    if looks["nearer"]:
        return NEARER_ONLY if looks_away["farther"] else f"looks at the nearer source; {INCONCLUSIVE} for the farther"
    if looks["farther"]:
        return FARTHER_ONLY if looks_away["nearer"] else f"looks at the farther source; {INCONCLUSIVE} for the nearer"
    return NEITHER if all(looks_away.values()) else INCONCLUSIVE
