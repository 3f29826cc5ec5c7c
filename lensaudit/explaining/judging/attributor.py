"""What is judged: a method of the house, a map that knows of no finder, or anybody's own function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from lensaudit.errors import UsageError
from lensaudit.explaining.attribution.methods import FOR_ANY, METHODS, find_method
from lensaudit.explaining.functions import explain_prepared
from lensaudit.explaining.judging.scores import RANDOM
from lensaudit.finders import Finder

BLOB_SIGMA_ARCSEC = 1.0
"""About the median Einstein radius of our single lenses (1.15″), which stand in the middle of their cutouts."""

EDGE_SIGMA_PIXELS = 1.0
"""The narrowest smoothing that does not only show the noise of single pixels."""


def centre_blob(size: int, field_arcsec: float) -> NDArray[np.float32]:
    """A round Gaussian of σ = 1″ in the middle of a grid (size, size) over the field; 1 at its highest."""
    axis = (np.arange(size) - (size - 1) / 2) * field_arcsec / size
    blob = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / BLOB_SIGMA_ARCSEC**2)
    return blob.astype(np.float32)


def edges(image: ArrayLike) -> NDArray[np.float32]:
    """Edge detector: length of the gradient of the mean over bands, smoothed by a Gaussian of one pixel.

    Parameters
    ----------
    image
        Prepared image (bands, h, w).
    """
    mean = np.asarray(image, dtype=np.float64).mean(axis=0)
    return ndimage.gaussian_gradient_magnitude(mean, EDGE_SIGMA_PIXELS).astype(np.float32)


def noise(size: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """A map of independent normal pixels (size, size): pixels in random order."""
    return generator.standard_normal((size, size), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of n images.

    Attributes
    ----------
    total
        float32 (n, size, size); above 0 positive attribution, for a lens.
    per_band
        float32 (n, bands, size, size); None where bands are not distinguished.
    """

    total: NDArray[np.float32]
    per_band: NDArray[np.float32] | None = None

    def spread(self, bands: int) -> NDArray[np.float32]:
        """(n, bands, size, size); a map that does not distinguish bands is the same in each."""
        if self.per_band is not None:
            return self.per_band
        n, height, width = self.total.shape
        return np.broadcast_to(self.total[:, None], (n, bands, height, width)).copy()


@dataclass(frozen=True)
class Attributor:
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


def attributor(method: str | Attributor) -> Attributor:
    """The method or baseline of that name; an `Attributor` is handed back as it is.

    Raises
    ------
    UsageError
        There is none; the line lists the methods.
    """
    if isinstance(method, Attributor):
        return method
    if method in BASELINES:
        return BASELINES[method]
    chosen = find_method(method)

    def maps(finder: Finder, images: torch.Tensor, seed: int) -> Maps:
        found = explain_prepared(finder, images, chosen.name, seed=seed)
        return Maps(found.maps, found.attributions)

    quantity = chosen.quantity if chosen.name == "occlusion" else ""  # which was the change of p once
    return Attributor(chosen.name, chosen.title, maps, chosen.name in PER_UNIT, quantity)


def chosen_methods(names: Sequence[str] | None) -> tuple[str, ...]:
    """`names` without repetitions; for None the methods for any network.

    Raises
    ------
    UsageError
        One is not known, or none is given.
    """
    if names is None:
        return FOR_ANY
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


BASELINES: Mapping[str, Attributor] = {
    one.name: one
    for one in (
        Attributor("centre-blob", "centre blob", _blobs),
        Attributor("edges", "edge detector", _edges),
        Attributor(RANDOM, "pixels in random order", _noise),
    )
}
"""Two things to beat, and ``random``: what chance gives where it has no closed form."""
