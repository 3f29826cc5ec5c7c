"""Deletion and insertion curves (Petsiuk et al. 2018): p(lens) while pixels go, or come, in the order of a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from lensaudit.errors import UsageError
from lensaudit.explain.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.score import default_batch_size

SHARES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
"""Shares of the pixels that are removed or put back. Lensed light covers 1 to 5 % of a cutout, so that is where the
points stand close; the area under the curve is over the share itself, as in the paper."""

FILLS = ("zero", "blur")
"""``zero``: as in the occlusion maps of Wilde et al. 2022. ``blur``: the image smoothed until no arc is left."""

BLUR_OF_SIZE = 1 / 20
"""σ of the blur as a share of the image's side: 1″ of 20″."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What one map does to one image's score.

    Attributes
    ----------
    shares
        Of the pixels removed or put back, (k,), from 0 to 1.
    deletion, insertion
        p(lens) (k,) with so many of the highest pixels removed from the image, or put into the empty one.
    """

    shares: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve in [0, 1]; lower is better."""
        return float(np.trapezoid(self.deletion, self.shares))

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve in [0, 1]; higher is better."""
        return float(np.trapezoid(self.insertion, self.shares))


def deletion_insertion(
    finder: Finder,
    image: torch.Tensor,
    attribution: NDArray[np.float32],
    generator: np.random.Generator,
    *,
    fill: str = "zero",
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

    Raises
    ------
    UsageError
        No such fill.
    """
    order = order_of(attribution, generator)
    empty = _empty(image, fill)
    rank = torch.empty(order.size, dtype=torch.int64)
    rank[torch.from_numpy(order)] = torch.arange(order.size)
    counts = torch.tensor([round(share * order.size) for share in SHARES])
    gone = (rank[None] < counts[:, None]).reshape(-1, 1, *attribution.shape).to(image.device)
    logits = []
    with evaluating(finder.module):
        for first, second in ((empty, image), (image, empty)):  # where gone, where not: deletion, insertion
            for some in gone.split(default_batch_size(finder)):
                logits.append(finder.logit(torch.where(some, first, second)).double().cpu().numpy())
    p_lens = expit(np.concatenate(logits)).reshape(2, len(SHARES))
    return Curves(np.asarray(SHARES), p_lens[0], p_lens[1])


def order_of(attribution: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.intp]:
    """Flat indices of the pixels, highest attribution first, equal ones in random order."""
    values = np.asarray(attribution, dtype=np.float64).ravel()
    shuffled = generator.permutation(values.size)
    return shuffled[np.argsort(-values[shuffled], kind="stable")]


def _empty(image: torch.Tensor, fill: str) -> torch.Tensor:
    if fill not in FILLS:
        raise UsageError(f"fill '{fill}' is not known; allowed: {', '.join(FILLS)}")
    if fill == "zero":
        return torch.zeros_like(image)
    sigma = BLUR_OF_SIZE * image.shape[-1]
    blurred = [ndimage.gaussian_filter(band, sigma, mode="nearest") for band in image.cpu().numpy()]
    return torch.from_numpy(np.stack(blurred)).to(image)
