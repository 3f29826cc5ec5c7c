"""Infidelity and maximum sensitivity (Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations").

Both by captum, every image on its own and all methods with the same perturbations: infidelity with the tiles of the
image removed one at a time, sensitivity with noise drawn from the seed alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.explain.judging.explainer import Explainer
from lensaudit.explain.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.score import default_batch_size

TILES = 8
"""Along each side; a tile is 2.5″ of 20″, about one Einstein ring. Every pixel is removed once."""

NOISE_RADIUS = 0.02
"""Largest change of a pixel on the image's scale of 0 to 1; captum's and the paper's own."""

NOISE_SAMPLES = 4

Forward = Callable[[torch.Tensor], torch.Tensor]


def remembered(finder: Finder) -> Forward:
    """The finder's logit (n,) of images (n, bands, size, size), each calculated once however often it is asked for.

    captum runs the finder anew for each attribution it judges, on the same perturbed images.
    """
    known: dict[bytes, float] = {}

    def forward(images: torch.Tensor) -> torch.Tensor:
        keys = [hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).digest() for image in images]
        new = [row for row, key in enumerate(keys) if key not in known]
        for some in torch.tensor(new, dtype=torch.int64).split(default_batch_size(finder)):
            if len(some):
                with evaluating(finder.module):
                    logits = finder.logit(images[some.to(images.device)]).tolist()
                known.update(zip((keys[row] for row in some.tolist()), logits, strict=True))
        return torch.tensor([known[key] for key in keys], dtype=torch.float64)

    return forward


@dataclass(frozen=True)
class Removal:
    """The tiles of an image, set to 0 one at a time.

    With `per_unit`, an attribution is per unit of input, and what it says of a removed tile is I·Φ, I being what went;
    else it is the pixels' contributions, and says their sum over the tile (captum's "multiply by inputs").
    """

    per_unit: bool = False

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of as many copies of an image as there are tiles: what an attribution is multiplied with, what is left."""
        inside = tiles(images.shape[-1]).to(images).expand_as(images)
        gone = images * inside
        return gone if self.per_unit else inside, images - gone


def tiles(size: int) -> torch.Tensor:
    """1 in one of 8×8 tiles each, 0 elsewhere: (64, 1, size, size); sides differ by a pixel where 8 does not divide."""
    place = torch.arange(size) * TILES // size
    along = place == torch.arange(TILES)[:, None]
    return (along[:, None, :, None] & along[None, :, None, :]).reshape(TILES**2, 1, size, size)


def unexplained(forward: Forward, image: torch.Tensor, attribution: NDArray[np.float32], removal: Removal) -> float:
    """Share of the response to removed tiles that an attribution leaves unexplained.

    Infidelity is the mean over tiles of (what the attribution says − (f(x) − f(x − I)))², f the log-odds. The
    attribution is scaled at its best first, since units differ between methods, and the result is divided by that of an
    attribution of 0: 0 explains all, 1 nothing. Where the best scale is negative the sign is wrong: 1.

    Parameters
    ----------
    forward
        Images → log-odds, see `remembered`.
    image
        Prepared image (bands, size, size).
    attribution
        Φ (bands, size, size).
    removal
        Says how the attribution is meant.

    Returns
    -------
    float
        In [0, 1]; NaN where no tile changes the log-odds.
    """
    from captum.metrics import infidelity

    inputs = image[None].double()
    phi = torch.from_numpy(np.asarray(attribution, dtype=np.float64))[None].to(inputs.device)
    phi = phi / (float(phi.abs().max()) or 1.0)

    def log_odds(images: torch.Tensor) -> torch.Tensor:
        return forward(images.to(image.dtype)).to(images.device)

    def value(candidate: torch.Tensor, normalize: bool = False) -> float:
        found = infidelity(log_odds, removal, inputs, candidate, n_perturb_samples=TILES**2, normalize=normalize)
        return float(found[0])

    response = value(torch.zeros_like(inputs))
    if response == 0:
        return math.nan
    if value(-phi) < value(phi):
        return 1.0
    return min(max(value(phi, normalize=True) / response, 0.0), 1.0)


def max_sensitivity(
    finder: Finder, image: torch.Tensor, explainer: Explainer, *, seed: int = 0, samples: int = NOISE_SAMPLES
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
