"""Scores of one explainer's maps, image by image."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.explaining.judging.attributor import Attributor
from lensaudit.explaining.judging.compound_view import compound_fractions
from lensaudit.explaining.judging.records import ImageScore, JudgeSettings
from lensaudit.explaining.judging.sample import KindSample
from lensaudit.explaining.judging.scores import (
    RANDOM,
    Ends,
    area_fraction,
    deletion_insertion,
    pointing_game,
    pointing_tolerance,
    positive_fraction,
    rank_accuracy,
    widened,
)
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.score import default_batch_size

TILES = 8
"""Along each side; a tile is 2.5″ of 20″, about one Einstein ring. Every pixel is removed once."""

NOISE_RADIUS = 0.02
"""Largest change of a pixel on the image's scale of 0 to 1; captum's and the paper's own."""

NOISE_SAMPLES = 4


class TileResponses:
    """How far the log-odds fall when each tile of an image is set to 0; the finder is asked once an image."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._known: dict[bytes, NDArray[np.float64]] = {}

    def __call__(self, image: torch.Tensor) -> NDArray[np.float64]:
        """Of a prepared image (bands, size, size): f(x) − f(x without the tile), f the log-odds, float64 (64,)."""
        key = hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = self._asked(image)
        return self._known[key]

    def _asked(self, image: torch.Tensor) -> NDArray[np.float64]:
        left = image * (1 - tiles(image.shape[-1]).to(image))
        with evaluating(self._finder.module):
            whole = float(self._finder.logit(image[None])[0])
            parts = [self._finder.logit(some).double().cpu() for some in left.split(default_batch_size(self._finder))]
        return whole - torch.cat(parts).numpy()


def tiles(size: int) -> torch.Tensor:
    """1 in one of 8×8 tiles each, 0 elsewhere: (64, 1, size, size); sides differ by a pixel where 8 does not divide."""
    place = torch.arange(size) * TILES // size
    along = place == torch.arange(TILES)[:, None]
    return (along[:, None, :, None] & along[None, :, None, :]).reshape(TILES**2, 1, size, size)


def unexplained(response: NDArray[np.float64], said: NDArray[np.float64]) -> float:
    """Fraction of the response to removed tiles that an attribution leaves unexplained.

    Infidelity is the mean over tiles of (what the attribution says − (f(x) − f(x − I)))², f the log-odds. The
    attribution is scaled at its best first, since units differ between methods, and the result is divided by that of an
    attribution of 0: 0 explains all, 1 nothing. Where the best scale is negative the sign is wrong: 1.

    Parameters
    ----------
    response
        f(x) − f(x − I) of each tile (n,), see `TileResponses`.
    said
        What the attribution says of each tile (n,), in any unit, see `said_of_tiles`.

    Returns
    -------
    float
        In [0, 1]; NaN where no tile changes the log-odds.
    """
    power = float(response @ response)
    if power == 0:
        return math.nan
    along, length = float(said @ response), float(said @ said)
    if along <= 0 or length == 0:
        return 1.0
    return min(max(1.0 - along / length * along / power, 0.0), 1.0)


def said_of_tiles(image: torch.Tensor, attribution: NDArray[np.float32], *, per_unit: bool) -> NDArray[np.float64]:
    """What an attribution (bands, size, size) says of each removed tile (64,), up to its unit.

    With `per_unit`, an attribution is per unit of input, and what it says is I·Φ, I being what went; else it is the
    pixels' contributions, and says their sum over the tile (captum's "multiply by inputs").
    """
    phi = np.asarray(attribution, dtype=np.float64)
    phi = phi / (float(np.abs(phi).max()) or 1.0)
    of_pixels = (phi * image.double().cpu().numpy() if per_unit else phi).sum(axis=0)
    place = np.arange(of_pixels.shape[-1]) * TILES // of_pixels.shape[-1]
    said: NDArray[np.float64] = np.zeros((TILES, TILES))
    np.add.at(said, (place[:, None], place[None, :]), of_pixels)
    return said.ravel()


def max_sensitivity(
    finder: Finder, image: torch.Tensor, explainer: Attributor, *, seed: int = 0, samples: int = NOISE_SAMPLES
) -> float:
    """Largest ‖map(x + ε) − map(x)‖ / ‖map(x)‖ over `samples` draws of ε, uniform within ±0.02 in every pixel.

    Parameters
    ----------
    finder
        Whose maps are judged.
    image
        Prepared image (bands, size, size).
    explainer
        How they are made; its own noise is the same for all of them.

    Returns
    -------
    float
        0 or more; NaN where the map of the image itself is zero everywhere.
    """
    from captum.metrics import sensitivity_max

    blank = False

    def maps(images: torch.Tensor | tuple[torch.Tensor]) -> torch.Tensor | tuple[torch.Tensor]:
        """captum hands over the image itself in a tuple and wants one back; the perturbed ones come without."""
        nonlocal blank
        if isinstance(images, tuple):
            original = torch.from_numpy(explainer.maps(finder, images[0], seed).total).double()
            blank = not bool(original.any())
            return (original,)
        return torch.from_numpy(explainer.maps(finder, images, seed).total).double()

    def noisy(images: torch.Tensor) -> torch.Tensor:
        rng = torch.Generator().manual_seed(seed)
        noise = torch.rand(images.shape, generator=rng, dtype=images.dtype)
        return images + (NOISE_RADIUS * (2 * noise - 1)).to(images.device)

    found = sensitivity_max(maps, image[None], noisy, n_perturb_samples=samples)
    return math.nan if blank else float(found[0])


RANDOM_PARTS = ("deletion", "insertion", "infidelity")
"""What random maps are scored for: chance of all else is known, or there is none."""


class ImageJudge:
    """Scores maps of one finder; shares between explainers what the finder said of perturbed images."""

    def __init__(self, finder: Finder, settings: JudgeSettings) -> None:
        """A judge for one run."""
        self.finder, self._settings = finder, settings
        self._responses = TileResponses(finder)
        self._ends: dict[str, Ends] = {}

    def scores(
        self,
        explainer: Attributor,
        sample: KindSample,
        first: int = 0,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[tuple[int, tuple[ImageScore, ...]]]:
        """All scores of an explainer on the images of one kind, a few images at a time.

        Parameters
        ----------
        first
            Images that were scored before.
        progress
            Called with the images done.

        Yields
        ------
        done, scores
            Images done, and the scores of the last few of them.

        Raises
        ------
        DataError
            The explainer cannot explain the finder.
        """
        for rows, images in sample.pieces(self.finder, first):
            found: list[ImageScore] = []
            maps = explainer.maps(self.finder, images, self._settings.seed)
            spread = maps.spread(self.finder.recipe.image_channels)
            for place, row in enumerate(rows):
                found += self._of_image(explainer, sample, row, images[place], (maps.total[place], spread[place]))
                if progress is not None:
                    progress(row + 1)
            found += self._of_sources(explainer, sample, rows, maps.total)
            yield rows.stop, tuple(found)

    def asked(self, explainer: Attributor, part: str) -> bool:
        """Whether this part is wanted of this explainer."""
        return part in self._settings.parts and (explainer.name != RANDOM or part in RANDOM_PARTS)

    def _of_image(
        self,
        explainer: Attributor,
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
            said = said_of_tiles(image, maps[1], per_unit=explainer.per_unit)
            value = unexplained(self._responses(image), said)
            yield _or_why(name, "infidelity", value, "no tile changes the score")
        if self.asked(explainer, "sensitivity") and row < self._settings.few:
            value = max_sensitivity(self.finder, image, explainer, seed=seed)
            yield _or_why(name, "sensitivity", value, "the map is zero everywhere")

    @property
    def _tolerance(self) -> int:
        return pointing_tolerance(self.finder.recipe.size, self.finder.field_arcsec)

    def _curves(self, name: str, image: torch.Tensor, attribution: NDArray[np.float32]) -> Iterator[ImageScore]:
        rng = np.random.default_rng([self._settings.seed, zlib.crc32(name.encode())])
        ends = self._ends.get(name)
        curves = deletion_insertion(self.finder, image, attribution, rng, fill=self._settings.fill, ends=ends)
        self._ends[name] = curves.ends
        for part, area in (("deletion", curves.deletion_area), ("insertion", curves.insertion_area)):
            if part in self._settings.parts:
                yield ImageScore(name, part, area)

    def _of_sources(
        self, explainer: Attributor, sample: KindSample, rows: range, maps: NDArray[np.float32]
    ) -> Iterator[ImageScore]:
        if sample.sources is None or not self.asked(explainer, "compound"):
            return
        for row, fractions in zip(rows, compound_fractions(maps, sample.sources.rows(rows)), strict=True):
            for source in ("nearer", "farther"):
                value, chance = (part.get(source, math.nan) for part in (fractions.attribution, fractions.area))
                why = "a source has too few pixels" if not fractions.area else "nothing is positive"
                yield _or_why(sample.systems[row].name, f"{source}-share", value, why, chance)


def _localised(
    name: str, attribution: NDArray[np.float32], mask: NDArray[np.bool_], tolerance: int
) -> Iterator[ImageScore]:
    empty = "the truth mask is empty on the finder's grid"
    if not mask.any():
        yield from (ImageScore(name, score, math.nan, status=empty) for score in _LOCALISATION)
        return
    area = area_fraction(mask)
    yield _or_why(name, "positive-share", positive_fraction(attribution, mask), "nothing is positive", area)
    yield ImageScore(name, "rank-accuracy", rank_accuracy(attribution, mask), area)
    hit = pointing_game(attribution, mask, tolerance)
    yield ImageScore(name, "pointing-game", hit, area_fraction(widened(mask, tolerance)))


_LOCALISATION = ("positive-share", "rank-accuracy", "pointing-game")


def _or_why(name: str, score: str, value: float, why: str, chance: float = math.nan) -> ImageScore:
    """The score, or why there is none."""
    missing = math.isnan(value)
    return ImageScore(name, score, value, math.nan if missing else chance, why if missing else "")
