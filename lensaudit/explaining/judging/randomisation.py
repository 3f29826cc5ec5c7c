"""The model-parameter randomisation check (Adebayo et al. 2018, "Sanity checks for saliency maps").

A map that explains a finder must change when the finder's weights are drawn anew. How alike two maps are is measured by
Spearman's correlation over pixels, and what counts is its *excess*: how much more the randomised finder's map of the
same image looks like the original than its maps of other images do. Without that, what all cutouts have in common (a
bright middle, an edge that no kernel sees) passes for memory of the image: the correlation of |map| is 0.6 to 0.8 for
nearly every method and finder we tried, of which all but 0.05 is there between maps of different images as well.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from lensaudit.errors import UsageError
from lensaudit.explaining.judging.attributor import Attributor, attributor
from lensaudit.explaining.judging.records import FAILS, INCONCLUSIVE, PASSES, RandomisationResult, RandomisedStep
from lensaudit.finders import Finder
from lensaudit.statistics import bootstrap_interval


def layers_with_weights(module: nn.Module) -> tuple[str, ...]:
    """Names of the parts that own parameters, in the order of definition; of a shared part only its first name."""
    return tuple(name for name, part in module.named_modules() if any(True for _ in part.parameters(recurse=False)))


def randomised_from_the_end(finder: Finder, seed: int) -> Iterator[tuple[str, Finder]]:
    """Draw the weights of one layer after the other anew, the last one first (Adebayo et al. 2018, "cascading").

    Weights of two or more dimensions are drawn He-normal, as before the training of the published finders; of vectors
    (biases, scales of normalisations) the values are shuffled, which keeps activations at a sane level. Running
    statistics stay.

    Yields
    ------
    name, finder
        The layer drawn last, and a copy of `finder` with it and all behind it drawn anew. `finder` itself stays.
    """
    rng = torch.Generator().manual_seed(seed)
    module = copy.deepcopy(finder.module)
    for name in reversed(layers_with_weights(module)):
        with torch.no_grad():
            for weights in module.get_submodule(name).parameters(recurse=False):
                weights.copy_(_drawn_anew(weights, rng))
        yield name, replace(finder, module=copy.deepcopy(module))


def fully_randomised(finder: Finder, seed: int) -> Finder:
    """A copy of `finder` with all weights drawn anew; the last that `randomised_from_the_end` yields."""
    networks = [finder, *(random for _, random in randomised_from_the_end(finder, seed))]
    return networks[-1]


def _drawn_anew(weights: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    if weights.ndim < 2:
        return weights.flatten()[torch.randperm(weights.numel(), generator=rng).to(weights.device)].view_as(weights)
    spread = math.sqrt(2 / (weights.numel() // len(weights)))
    drawn = torch.randn(weights.shape, generator=rng, dtype=torch.float32) * spread
    return drawn.to(weights)


Array = NDArray[np.float64]

CLIPPED_AT = 99.0
"""Percentile of |map| that counts as full contrast; a few hot pixels would else leave nothing to compare."""


def rank_correlations(first: ArrayLike, second: ArrayLike) -> Array:
    """Spearman's correlation of every map of `first` (n, h, w) with every one of `second` (m, h, w): (n, m).

    0 with a constant map.
    """
    ranks = [_standard_ranks(np.asarray(maps, dtype=np.float64)) for maps in (first, second)]
    correlation: Array = ranks[0] @ ranks[1].T
    return np.clip(correlation, -1.0, 1.0)


def structural_similarity(first: ArrayLike, second: ArrayLike) -> float:
    """SSIM (Wang et al. 2004) of |map| of two maps (h, w), each scaled to [0, 1] by its own 99 % percentile."""
    from skimage.metrics import structural_similarity as ssim

    scaled = [_scaled(np.abs(np.asarray(one, dtype=np.float64))) for one in (first, second)]
    window = min(7, *(side - 1 + side % 2 for side in scaled[0].shape))
    return float(ssim(*scaled, data_range=1.0, win_size=window))


def _standard_ranks(maps: Array) -> Array:
    """Ranks of each map as a vector (n, pixels) of mean 0 and length 1; all 0 where the map is constant."""
    from scipy.stats import rankdata  # half a second that most commands need not wait

    ranks = np.stack([rankdata(one) for one in maps.reshape(len(maps), -1)]) if len(maps) else maps.reshape(0, 1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)


def _scaled(values: Array) -> Array:
    top = float(np.percentile(values, CLIPPED_AT)) or float(values.max())
    return np.minimum(values / top, 1.0) if top > 0 else values


LEVEL = 0.1
"""Excess above which a map shows the image rather than what was learnt from many. Measured on OU-66 and OU-200 of
Wilde et al. 2022 and on our OU-66: an edge detector has 0.86 to 0.91, guided back-propagation and guided Grad-CAM 0.16
to 0.35; gradients, their products with the input, integrated gradients, DeepLIFT and occlusion stay within ±0.03."""

DRAWS = 4
FEWEST_IMAGES = 3


def randomisation_check(
    finder: Finder,
    images: torch.Tensor,
    method: str | Attributor,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    layers: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> RandomisationResult:
    """Draw the finder's weights anew, layer by layer, and see whether the maps change with them.

    Parameters
    ----------
    finder
        Stays as it is; copies are randomised.
    images
        Prepared images (n, bands, size, size); 3 or more for a verdict, 8 do for most methods.
    method
        Name of a method, or an `Attributor`.
    draws
        Networks with all weights drawn anew; one random network may happen to resemble the trained one.
    seed
        Of the weights and the intervals.
    layers
        False draws all weights at once only: the same verdict from fewer networks.
    progress
        Called with networks done and all networks.

    Raises
    ------
    UsageError
        No such method, or no draw.
    DataError
        The method cannot explain the finder.

    Examples
    --------
    A label for pictures of guided back-propagation::

        images = finder.preprocess(lens_set.cutouts(range(8)))
        randomisation_check(finder, images, "guided-backprop").label
    """
    if draws < 1:
        raise UsageError(f"{draws} draws of the weights: 1 or more are needed")
    chosen = attributor(method)
    original = chosen.maps(finder, images, seed).total
    kept = np.ptp(original.reshape(len(original), -1), axis=1) > 0 if len(original) else np.zeros(0, bool)
    original, images = original[kept], images[torch.from_numpy(kept).to(images.device)]
    networks = _networks(finder, seed, draws, layers=layers)
    steps, excesses = _compared(networks, images, chosen, original, seed, progress)
    excess, low, high = _interval(np.array(excesses), seed)
    compared = int((~np.isnan(excesses)).any(axis=0).sum()) if excesses else len(images)
    return RandomisationResult(
        method=chosen.name,
        title=chosen.title,
        finder=finder.name,
        finder_hash=finder.weights_hash,
        steps=tuple(steps),
        excess=excess,
        low=low,
        high=high,
        level=LEVEL,
        images=compared,
        draws=draws,
        verdict=_verdict(compared, low, high),
    )


def excess_similarity(original: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Correlation of each original with the other finder's map of its image, less that with its maps of others: (n,).

    Spearman's, of maps (n, h, w). NaN where the other finder's map is constant, or no other is left to compare with.
    """
    correlation = rank_correlations(original, other)
    correlation[:, np.ptp(other.reshape(len(other), -1), axis=1) == 0] = np.nan
    own = np.diag(correlation).copy()
    np.fill_diagonal(correlation, np.nan)
    return own - np.array([mean_of(row) for row in correlation])


def mean_of(values: NDArray[np.float64]) -> float:
    """Mean of the numbers among `values`; NaN where there is none."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else math.nan


def _networks(finder: Finder, seed: int, draws: int, *, layers: bool) -> list[tuple[str, Finder]]:
    """Those drawn anew from the last layer up to the one named; then, unnamed, further ones drawn anew as a whole."""
    cascade = list(randomised_from_the_end(finder, seed))
    further = [("", fully_randomised(finder, seed + 7919 * draw)) for draw in range(1, draws)]
    return [*(cascade if layers else cascade[-1:]), *further]


def _compared(
    networks: Sequence[tuple[str, Finder]],
    images: torch.Tensor,
    chosen: Attributor,
    original: NDArray[np.float32],
    seed: int,
    progress: Callable[[int, int], object] | None,
) -> tuple[list[RandomisedStep], list[NDArray[np.float64]]]:
    """Steps of the first draw, and per draw the excesses (n,) with all weights random."""
    if len(images) < 2:
        return [], []
    steps, excesses = [_step("", original, original)], []
    for done, (layer, random) in enumerate(networks, 1):
        found = chosen.maps(random, images, seed).total
        steps += [_step(layer, original, found)] if layer else []
        if not (layer and done < len(networks) and networks[done][0]):  # none of the same draw follows
            excesses.append(excess_similarity(original, found))
        if progress is not None:
            progress(done, len(networks))
    return steps, excesses


def _step(layer: str, original: NDArray[np.float32], found: NDArray[np.float32]) -> RandomisedStep:
    shown = np.flatnonzero(np.ptp(found.reshape(len(found), -1), axis=1) > 0)
    own, other = original[shown], found[shown]
    return RandomisedStep(
        layer=layer,
        excess=mean_of(excess_similarity(original, found)),
        correlation=mean_of(np.diag(rank_correlations(own, other))),
        absolute=mean_of(np.diag(rank_correlations(np.abs(own), np.abs(other)))),
        ssim=mean_of(np.array([structural_similarity(a, b) for a, b in zip(own, other, strict=True)])),
    )


def _interval(excess: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Mean of (draws, n) and its interval, draws and images both resampled: either may be the odd one out."""
    if not excess.size:
        return math.nan, math.nan, math.nan

    def mean(draws: NDArray[np.float64], images: NDArray[np.float64]) -> float:
        return mean_of(excess[np.ix_(draws.astype(int), images.astype(int))])

    groups = [np.arange(size) for size in excess.shape]
    low, high = bootstrap_interval(groups, mean, np.random.default_rng([seed, 1]))
    return mean_of(excess), low, high


def _verdict(images: int, low: float, high: float) -> str:
    if images < FEWEST_IMAGES or math.isnan(low):
        return INCONCLUSIVE
    return FAILS if low > LEVEL else PASSES if high <= LEVEL else INCONCLUSIVE
