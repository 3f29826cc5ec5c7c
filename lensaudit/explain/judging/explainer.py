"""What is judged: a method of the house, a map that knows of no finder, or anybody's own function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.explain.attribution.explain import explain_prepared
from lensaudit.explain.attribution.methods import METHODS, find_method
from lensaudit.explain.judging.baselines import centre_blob, edges, noise
from lensaudit.finders import Finder


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of n images.

    Attributes
    ----------
    total
        float32 (n, size, size); above 0 positive attribution, for a lens.
    per_band
        float32 (n, bands, size, size); None where bands are not told apart.
    """

    total: NDArray[np.float32]
    per_band: NDArray[np.float32] | None = None

    def spread(self, bands: int) -> NDArray[np.float32]:
        """(n, bands, size, size); a map that tells no bands apart is the same in each."""
        if self.per_band is not None:
            return self.per_band
        n, height, width = self.total.shape
        return np.broadcast_to(self.total[:, None], (n, bands, height, width)).copy()


@dataclass(frozen=True)
class Explainer:
    """A named way to make maps.

    Attributes
    ----------
    name
        What stands in tables.
    title
        What stands on pictures.
    maps
        (finder, prepared images (n, bands, size, size), seed) → `Maps`. A map depends on its own image alone.
    per_unit
        Whether values are per unit of input, as of a gradient; else they are the pixels' contributions themselves.
    quantity
        What the numbers are, where that tells two versions of a method apart; part of what a kept result rests on.
    """

    name: str
    title: str
    maps: Callable[[Finder, torch.Tensor, int], Maps]
    per_unit: bool = False
    quantity: str = ""


PER_UNIT = ("saliency", "smoothgrad", "guided-backprop", "guided-gradcam")
"""Methods that do not multiply by the input."""


def explainer(method: str | Explainer) -> Explainer:
    """The method or baseline of that name; an `Explainer` is handed back as it is.

    Raises
    ------
    UsageError
        There is none; the line lists the methods.
    """
    if isinstance(method, Explainer):
        return method
    if method in BASELINES:
        return BASELINES[method]
    chosen = find_method(method)

    def maps(finder: Finder, images: torch.Tensor, seed: int) -> Maps:
        found = explain_prepared(finder, images, chosen.name, seed=seed)
        return Maps(found.maps, found.attributions)

    quantity = chosen.quantity if chosen.name == "occlusion" else ""  # which was the change of p once
    return Explainer(chosen.name, chosen.title, maps, chosen.name in PER_UNIT, quantity)


def chosen_methods(names: Sequence[str] | None) -> tuple[str, ...]:
    """`names` without repetitions; all methods for None.

    Raises
    ------
    UsageError
        One is not known, or none is given.
    """
    if names is None:
        return tuple(METHODS)
    if not names:
        raise UsageError(f"no method is given; allowed: {', '.join(METHODS)}")
    return tuple(dict.fromkeys(find_method(name).name for name in names))


def _blobs(finder: Finder, images: torch.Tensor, _seed: int) -> Maps:
    blob = centre_blob(finder.recipe.size, finder.field_arcsec)
    return Maps(np.repeat(blob[None], len(images), axis=0))


def _edges(_finder: Finder, images: torch.Tensor, _seed: int) -> Maps:
    return Maps(np.stack([edges(image) for image in images.cpu().numpy()]))


def _noise(finder: Finder, images: torch.Tensor, seed: int) -> Maps:
    """The same noise on every image, so that it depends on no other."""
    one = noise(finder.recipe.size, np.random.default_rng([seed, 0]))
    return Maps(np.repeat(one[None], len(images), axis=0))


RANDOM = "random"
BASELINES: Mapping[str, Explainer] = {
    one.name: one
    for one in (
        Explainer("centre-blob", "centre blob", _blobs),
        Explainer("edges", "edge detector", _edges),
        Explainer(RANDOM, "pixels in random order", _noise),
    )
}
"""Two things to beat, and ``random``: what chance gives where it has no closed form."""
