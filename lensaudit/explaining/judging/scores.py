"""The scores of explanations by name: what each measures, which direction is better, and its range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.special import expit

from lensaudit.errors import UsageError

if TYPE_CHECKING:
    import torch

    from lensaudit.finders import Finder


@dataclass(frozen=True)
class Score:
    """One number an explanation of one image gets.

    Attributes
    ----------
    name
        What stands in tables.
    title
        What stands on pictures.
    part
        What the user types to have it, one of `PARTS`.
    better
        ``higher``, ``lower``, or empty where neither is.
    range
        Lowest and highest possible value.
    meaning
        One sentence.
    paper
        Where it comes from.
    """

    name: str
    title: str
    part: str
    better: str
    range: tuple[float, float]
    meaning: str
    paper: str


RANDOM = "random"
"""The baseline that stands for chance: pixels in random order."""

PARTS = ("localisation", "deletion", "insertion", "infidelity", "sensitivity", "randomisation", "compound")
"""What can be asked for; ``randomisation`` judges the method, all others judge its maps image by image."""


def _registered(*scores: Score) -> Mapping[str, Score]:
    names = [score.name for score in scores]
    if len(set(names)) != len(names):
        raise ValueError(f"a score's name is given twice: {names}")
    return {score.name: score for score in scores}


SCORES = _registered(
    Score(
        "positive-share",
        "positive attribution on the lensed light",
        "localisation",
        "higher",
        (0.0, 1.0),
        "Fraction of the positive attribution that falls on the truth mask; chance is the mask's fraction of the area.",
        "Kohlbrenner et al. 2020",
    ),
    Score(
        "rank-accuracy",
        "rank accuracy",
        "localisation",
        "higher",
        (0.0, 1.0),
        "Of the K pixels with the highest attribution, K the pixels of the truth mask, the fraction that lies in it.",
        "Arras et al. 2022",
    ),
    Score(
        "pointing-game",
        "pointing game",
        "localisation",
        "higher",
        (0.0, 1.0),
        "Whether the pixel with the highest attribution lies within 0.3″ of the truth mask.",
        "Zhang et al. 2018",
    ),
    Score(
        "deletion",
        "deletion: area under p(lens)",
        "deletion",
        "lower",
        (0.0, 1.0),
        "Mean p(lens) while pixels are removed, the highest attribution first.",
        "Petsiuk et al. 2018",
    ),
    Score(
        "insertion",
        "insertion: area under p(lens)",
        "insertion",
        "higher",
        (0.0, 1.0),
        "Mean p(lens) while pixels are put back into an empty image, the highest attribution first.",
        "Petsiuk et al. 2018",
    ),
    Score(
        "infidelity",
        "infidelity: response unexplained",
        "infidelity",
        "lower",
        (0.0, 1.0),
        "Fraction of the log-odds’ response to removed tiles that the attribution at its best scale does not explain.",
        "Yeh et al. 2019",
    ),
    Score(
        "sensitivity",
        "maximum sensitivity",
        "sensitivity",
        "lower",
        (0.0, float("inf")),
        "Largest relative change of the map under noise of ±0.02 on the image's scale of 0 to 1.",
        "Yeh et al. 2019",
    ),
    Score(
        "randomised-similarity",
        "similarity with all weights random",
        "randomisation",
        "lower",
        (-2.0, 2.0),
        "Rank correlation with the image's own map beyond that with other images', with all weights drawn anew.",
        "Adebayo et al. 2018",
    ),
    Score(
        "nearer-share",
        "attribution on the nearer source",
        "compound",
        "",
        (0.0, 1.0),
        "Fraction of the positive attribution where the nearer source’s light is brighter; chance is its area.",
        "",
    ),
    Score(
        "farther-share",
        "attribution on the farther source",
        "compound",
        "",
        (0.0, 1.0),
        "Fraction of the positive attribution where the farther source’s light is brighter; chance is its area.",
        "",
    ),
)


def chosen_parts(words: Sequence[str] | None) -> tuple[str, ...]:
    """`words` in the order of `PARTS`; all of them for None.

    Raises
    ------
    UsageError
        One is not known, or there is none.
    """
    if words is None:
        return PARTS
    unknown = [word for word in words if word not in PARTS]
    if unknown or not words:
        raise UsageError(f"score '{unknown[0] if unknown else ''}' is not known; allowed: {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in words)


POINTING_TOLERANCE_ARCSEC = 0.3
"""A hit this near the mask still counts: one NISP pixel, about half the width of its point-spread function. Zhang et
al. 2018 allow 15 of some 300 pixels on photographs, which here would be a whole Einstein radius."""


def positive_fraction(attribution: ArrayLike, mask: ArrayLike) -> float:
    """Fraction of the positive attribution that lies in the mask; negative values count for nothing.

    Parameters
    ----------
    attribution
        Map (h, w); positive speaks for a lens.
    mask
        Truth (h, w), bool.

    Returns
    -------
    float
        In [0, 1]; NaN where nothing is positive. Chance: `area_fraction`.
    """
    values, inside = _checked(attribution, mask)
    positive = np.maximum(values, 0.0)
    total = float(positive.sum())
    return min(float(positive[inside].sum()) / total, 1.0) if total > 0 else math.nan


def rank_accuracy(attribution: ArrayLike, mask: ArrayLike) -> float:
    """Fraction of the K highest pixels that lie in the mask, K being its size (Arras et al. 2022).

    Where pixels tie for the last of the K places, each gets an equal part of what is left.

    Returns
    -------
    float
        In [0, 1]; NaN where the mask is empty. Chance: `area_fraction`.
    """
    values, inside = _checked(attribution, mask)
    places = int(inside.sum())
    if places == 0:
        return math.nan
    last = np.partition(values, values.size - places)[values.size - places]
    above, tied = values > last, values == last
    left = places - int(above.sum())
    hits = float((above & inside).sum()) + left * float((tied & inside).sum()) / float(tied.sum())
    return hits / places


def pointing_game(attribution: ArrayLike, mask: ArrayLike, tolerance: int = 0) -> float:
    """Whether the highest pixel lies in the mask, or within `tolerance` pixels of it (Zhang et al. 2018).

    Returns
    -------
    float
        1 or 0; where several pixels share the maximum, the fraction of them that hits; NaN where the mask is empty.
        Chance: `area_fraction` of the mask widened by the tolerance.
    """
    values, inside = _checked(attribution, widened(mask, tolerance))
    if not inside.any():
        return math.nan
    return float(inside[values == values.max()].mean())


def area_fraction(mask: ArrayLike) -> float:
    """Fraction of the pixels that lie in the mask."""
    return float(np.asarray(mask, dtype=bool).mean())


def widened(mask: ArrayLike, tolerance: int) -> NDArray[np.bool_]:
    """`mask` (h, w) with every pixel at most `tolerance` pixels, centre to centre, away from it."""
    inside = np.asarray(mask, dtype=bool)
    if tolerance < 0:
        raise ValueError(f"a tolerance of {tolerance} pixels: 0 or more is needed")
    if tolerance == 0 or not inside.any():
        return inside
    nearest: NDArray[np.float64] = ndimage.distance_transform_edt(~inside)
    return nearest <= tolerance


def pointing_tolerance(size: int, field_arcsec: float) -> int:
    """`POINTING_TOLERANCE_ARCSEC` in pixels of a grid of `size` pixels over the field: 1 for OU-66, 3 for OU-200."""
    return round(POINTING_TOLERANCE_ARCSEC * size / field_arcsec)


def _checked(attribution: ArrayLike, mask: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Both as flat arrays."""
    values, inside = np.asarray(attribution, dtype=np.float64), np.asarray(mask, dtype=bool)
    if values.shape != inside.shape or values.ndim != 2:
        raise ValueError(f"map {values.shape} and mask {inside.shape}: two equal (h, w) are needed")
    if not np.isfinite(values).all():
        raise ValueError("the map holds values that are no numbers")
    return values.ravel(), inside.ravel()


FRACTIONS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
"""Fractions of the pixels that are removed or put back. Lensed light covers 1 to 5 % of a cutout, so that is where the
points stand close; the area under the curve is over the fraction itself, as in the paper."""

FILLS = ("zero", "blur")
"""``zero``: as in the occlusion maps of Wilde et al. 2022. ``blur``: the image smoothed until no arc is left."""

BLUR_OF_SIZE = 1 / 20
"""σ of the blur as a fraction of the image's side: 1″ of 20″."""


Ends = tuple[float, float]
"""p(lens) of an image and of the empty one: where all curves of the image begin and end."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What one map does to one image's score.

    Attributes
    ----------
    fractions
        Of the pixels removed or put back, (k,), from 0 to 1.
    deletion, insertion
        p(lens) (k,) with so many of the highest pixels removed from the image, or put into the empty one.
    """

    fractions: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]

    @property
    def ends(self) -> Ends:
        """p(lens) of the whole image and of the empty one."""
        return float(self.deletion[0]), float(self.deletion[-1])

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve in [0, 1]; lower is better."""
        return float(np.trapezoid(self.deletion, self.fractions))

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve in [0, 1]; higher is better."""
        return float(np.trapezoid(self.insertion, self.fractions))


def deletion_insertion(
    finder: Finder,
    image: torch.Tensor,
    attribution: NDArray[np.float32],
    generator: np.random.Generator,
    *,
    fill: str = "zero",
    ends: Ends | None = None,
) -> Curves:
    """Both curves of one image.

    Parameters
    ----------
    finder
        Its module is left as it was.
    image
        Prepared image (bands, size, size).
    attribution
        Map (size, size); a pixel is one place in all bands at once.
    generator
        Breaks ties, so that equal pixels go in random order.
    fill
        What stands where a pixel is missing, one of `FILLS`.
    ends
        Those of other curves of the same image and fill, so that the finder is not asked again.

    Raises
    ------
    UsageError
        No such fill.
    """
    order = order_of(attribution, generator)
    empty = _empty(image, fill)
    import torch

    from lensaudit.explaining.trace import evaluating
    from lensaudit.finders.score import default_batch_size

    rank = torch.empty(order.size, dtype=torch.int64)
    rank[torch.from_numpy(order)] = torch.arange(order.size)
    counts = torch.tensor([round(fraction * order.size) for fraction in FRACTIONS[1:-1]])
    gone = (rank[None] < counts[:, None]).reshape(-1, 1, *attribution.shape).to(image.device)

    def p_lens(images: torch.Tensor) -> NDArray[np.float64]:
        return expit(finder.logit(images).double().cpu().numpy())

    curves = []
    with evaluating(finder.module):
        whole, nothing = (float(p) for p in p_lens(torch.stack([image, empty]))) if ends is None else ends
        for first, second in ((empty, image), (image, empty)):  # where gone, where not: deletion, insertion
            between = [p_lens(torch.where(some, first, second)) for some in gone.split(default_batch_size(finder))]
            start, end = (whole, nothing) if first is empty else (nothing, whole)
            curves.append(np.array([start, *np.concatenate(between), end]))
    return Curves(np.asarray(FRACTIONS), curves[0], curves[1])


def order_of(attribution: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.intp]:
    """Flat indices of the pixels, highest attribution first, equal ones in random order."""
    values = np.asarray(attribution, dtype=np.float64).ravel()
    shuffled = generator.permutation(values.size)
    return shuffled[np.argsort(-values[shuffled], kind="stable")]


def _empty(image: torch.Tensor, fill: str) -> torch.Tensor:
    import torch

    if fill not in FILLS:
        raise UsageError(f"fill '{fill}' is not known; allowed: {', '.join(FILLS)}")
    if fill == "zero":
        return torch.zeros_like(image)
    sigma = BLUR_OF_SIZE * image.shape[-1]
    blurred = [ndimage.gaussian_filter(band, sigma, mode="nearest") for band in image.cpu().numpy()]
    return torch.from_numpy(np.stack(blurred)).to(image)
