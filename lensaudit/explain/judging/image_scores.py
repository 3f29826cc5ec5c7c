"""Scores of one explainer's maps, image by image."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.explain.judging.compound_view import compound_shares
from lensaudit.explain.judging.curves import deletion_insertion
from lensaudit.explain.judging.explainer import RANDOM, Explainer
from lensaudit.explain.judging.faithfulness import Forward, Removal, max_sensitivity, remembered, unexplained
from lensaudit.explain.judging.localisation import (
    area_share,
    pointing_game,
    pointing_tolerance,
    positive_share,
    rank_accuracy,
    widened,
)
from lensaudit.explain.judging.sample import KindSample
from lensaudit.explain.judging.settings import JudgeSettings
from lensaudit.finders import Finder

RANDOM_PARTS = ("deletion", "insertion", "infidelity")
"""What random maps are scored for: chance of all else is known, or there is none."""


@dataclass(frozen=True)
class ImageScore:
    """One score of one map.

    Attributes
    ----------
    system
        Name of the image.
    score
        Key of `SCORES`.
    value
        NaN where there is none, see `status`.
    chance
        Of this image where it has a closed form (shares of areas), else NaN.
    status
        Why there is no value; empty if there is one.
    """

    system: str
    score: str
    value: float
    chance: float = math.nan
    status: str = ""


class ImageJudge:
    """Scores maps of one finder; shares between explainers what the finder said of perturbed images."""

    def __init__(self, finder: Finder, settings: JudgeSettings) -> None:
        """A judge for one run."""
        self.finder, self._settings = finder, settings
        self._forward: Forward = remembered(finder)

    def scores(
        self, explainer: Explainer, sample: KindSample, progress: Callable[[int], object] | None = None
    ) -> tuple[ImageScore, ...]:
        """All scores of an explainer on the images of one kind.

        Parameters
        ----------
        progress
            Called with the images done.

        Raises
        ------
        DataError
            The explainer cannot explain the finder.
        """
        found: list[ImageScore] = []
        for rows, images in sample.pieces(self.finder):
            maps = explainer.maps(self.finder, images, self._settings.seed)
            spread = maps.spread(len(self.finder.recipe.bands))
            for place, row in enumerate(rows):
                found += self._of_image(explainer, sample, row, images[place], (maps.total[place], spread[place]))
                if progress is not None:
                    progress(row + 1)
            found += self._of_sources(explainer, sample, rows, maps.total)
        return tuple(found)

    def asked(self, explainer: Explainer, part: str) -> bool:
        """Whether this part is wanted of this explainer."""
        return part in self._settings.parts and (explainer.name != RANDOM or part in RANDOM_PARTS)

    def _of_image(
        self,
        explainer: Explainer,
        sample: KindSample,
        row: int,
        image: torch.Tensor,
        maps: tuple[NDArray[np.float32], NDArray[np.float32]],
    ) -> Iterator[ImageScore]:
        name = sample.systems[row].name
        if self.asked(explainer, "localisation") and sample.masks is not None:
            yield from _localised(name, maps[0], sample.masks[row], self._tolerance)
        if self.asked(explainer, "deletion") or self.asked(explainer, "insertion"):
            yield from self._curves(name, image, maps[0])
        seed = self._settings.seed
        if self.asked(explainer, "infidelity"):
            value = unexplained(self._forward, image, maps[1], Removal(explainer.per_unit))
            yield _or_why(name, "infidelity", value, "no tile changes the score")
        if self.asked(explainer, "sensitivity") and row < self._settings.few:
            value = max_sensitivity(self.finder, image, explainer, seed=seed)
            yield _or_why(name, "sensitivity", value, "the map is zero everywhere")

    @property
    def _tolerance(self) -> int:
        return pointing_tolerance(self.finder.recipe.size, self.finder.field_arcsec)

    def _curves(self, name: str, image: torch.Tensor, attribution: NDArray[np.float32]) -> Iterator[ImageScore]:
        rng = np.random.default_rng([self._settings.seed, zlib.crc32(name.encode())])
        curves = deletion_insertion(self.finder, image, attribution, rng, fill=self._settings.fill)
        for part, area in (("deletion", curves.deletion_area), ("insertion", curves.insertion_area)):
            if part in self._settings.parts:
                yield ImageScore(name, part, area)

    def _of_sources(
        self, explainer: Explainer, sample: KindSample, rows: range, maps: NDArray[np.float32]
    ) -> Iterator[ImageScore]:
        if sample.sources is None or not self.asked(explainer, "compound"):
            return
        for row, shares in zip(rows, compound_shares(maps, sample.sources.rows(rows)), strict=True):
            for source in ("nearer", "farther"):
                value, chance = (part.get(source, math.nan) for part in (shares.attribution, shares.area))
                why = "a source has too few pixels" if not shares.area else "nothing is positive"
                yield _or_why(sample.systems[row].name, f"{source}-share", value, why, chance)


def _localised(
    name: str, attribution: NDArray[np.float32], mask: NDArray[np.bool_], tolerance: int
) -> Iterator[ImageScore]:
    empty = "the truth mask is empty on the finder's grid"
    if not mask.any():
        yield from (ImageScore(name, score, math.nan, status=empty) for score in _LOCALISATION)
        return
    area = area_share(mask)
    yield _or_why(name, "positive-share", positive_share(attribution, mask), "nothing is positive", area)
    yield ImageScore(name, "rank-accuracy", rank_accuracy(attribution, mask), area)
    hit = pointing_game(attribution, mask, tolerance)
    yield ImageScore(name, "pointing-game", hit, area_share(widened(mask, tolerance)))


_LOCALISATION = ("positive-share", "rank-accuracy", "pointing-game")


def _or_why(name: str, score: str, value: float, why: str, chance: float = math.nan) -> ImageScore:
    """The score, or why there is none."""
    missing = math.isnan(value)
    return ImageScore(name, score, value, math.nan if missing else chance, why if missing else "")
