"""``explain``: which pixels of a cutout speak for "lens", by any of the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from warnings import catch_warnings

import numpy as np
import torch
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import DataError, LensauditError
from lensaudit.explain.attribution.methods import (
    IMAGES_AT_ONCE,
    Method,
    Target,
    applicable_methods,
    find_method,
    no_gradient,
)
from lensaudit.explain.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.lensset.coordinates import wcs_on_grid

KNOWN_TO_FAIL = (
    "fails the parameter-randomisation check (Adebayo et al. 2018): much of what it shows are edges of the image, "
    "whatever the finder has learnt"
)
NO_RELU = "the finder has no ReLU that can be hooked: guided back-propagation is the plain gradient here"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which pixels speak for "lens" in n images.

    Attributes
    ----------
    method
        Name in `METHODS`.
    maps
        float32 (n, size, size) on the finder's grid: the attribution summed over bands; positive speaks for a lens.
        Gradients and Grad-CAM are in log-odds a unit of input, their products with the input in log-odds, occlusion in
        p(lens).
    attributions
        float32 (n, bands, size, size); None where the method tells no bands apart (Grad-CAM, occlusion).
    logit, p_lens
        Scores of the whole images, float64 (n,).
    bands
        Of `attributions`, in the finder's order.
    finder, finder_hash
        Name of the finder and SHA-256 of its weights.
    notes
        What a reader must know beside the maps: sanity checks that the method fails, ReLUs that no hook reaches.
    wcs
        World coordinates of each map, or None where none were given.
    """

    method: str
    maps: NDArray[np.float32]
    attributions: NDArray[np.float32] | None
    logit: NDArray[np.float64]
    p_lens: NDArray[np.float64]
    bands: tuple[str, ...]
    finder: str
    finder_hash: str
    notes: tuple[str, ...]
    wcs: tuple[WCS, ...] | None


def explain(
    finder: Finder,
    cutouts: Mapping[str, np.ndarray],
    method: str = "gradcam",
    *,
    wcs: Sequence[WCS] | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain a finder's log-odds of "lens" for native cutouts.

    Parameters
    ----------
    finder
        The finder; its module is left as it was, whatever happens.
    cutouts
        Band → native images (n, h, w), as `LensSet.cutouts` gives them.
    method
        A key of `METHODS`.
    wcs
        World coordinates of each cutout in the finder's first band (`LensSet.wcs`); the maps' are derived from them.
    seed
        Of the noise, for methods that draw any; every image gets the same, so that its map does not depend on others.

    Returns
    -------
    Explanation
        Maps on the finder's grid.

    Raises
    ------
    UsageError
        No such method; the line lists those that exist.
    DataError
        A band is missing, constant or not finite, the finder fails on the images, or the method cannot explain it.

    Examples
    --------
    Which pixels of the first cutout speak for a lens::

        lens_set = LensSet.open("set")
        result = explain(load_finder("ou66"), lens_set.cutouts([0]), "integrated-gradients", wcs=[lens_set.wcs(0, "J")])
        result.maps[0], result.wcs[0]
    """
    chosen = find_method(method)
    images = finder.preprocess(cutouts)
    band = np.asarray(cutouts[finder.recipe.bands[0]])
    native = (int(band.shape[-2]), int(band.shape[-1]))
    on_grid = None if wcs is None else tuple(wcs_on_grid(one, native, finder.recipe.size) for one in wcs)
    if on_grid is not None and len(on_grid) != len(images):
        raise DataError(f"{len(on_grid)} world coordinates for {len(images)} cutouts; give one each")
    return explain_prepared(finder, images, chosen.name, seed=seed, wcs=on_grid)


def explain_prepared(
    finder: Finder,
    images: torch.Tensor,
    method: str,
    *,
    seed: int = 0,
    wcs: tuple[WCS, ...] | None = None,
) -> Explanation:
    """Like `explain`, for images (n, bands, size, size) that `Finder.preprocess` gave; `wcs` is the maps' own."""
    chosen, target = find_method(method), Target(finder)
    if chosen.name not in applicable_methods(finder):
        raise DataError(no_gradient(chosen.title, finder))
    logit = _scored(finder, images)
    pieces = []
    for first in range(0, len(images), IMAGES_AT_ONCE):
        piece = images[first : first + IMAGES_AT_ONCE].detach().clone()
        pieces.append(_attributed(chosen, target, piece, seed))
    found = np.concatenate(pieces) if pieces else np.empty((0, 1, finder.recipe.size, finder.recipe.size), np.float32)
    per_band = found.shape[1] == len(finder.recipe.bands) and not _blind_to_bands(chosen)
    return Explanation(
        method=chosen.name,
        maps=found.sum(axis=1),
        attributions=found if per_band else None,
        logit=logit,
        p_lens=expit(logit),
        bands=finder.recipe.bands,
        finder=finder.name,
        finder_hash=finder.weights_hash,
        notes=notes_on(chosen, target),
        wcs=wcs,
    )


def _scored(finder: Finder, images: torch.Tensor) -> NDArray[np.float64]:
    try:
        with evaluating(finder.module):
            logit: NDArray[np.float64] = finder.logit(images).double().cpu().numpy()
    except Exception as error:  # the finder's own code may fail in any way
        why = " ".join(str(error).split())[:160]
        raise DataError(f"finder {finder.name} fails on the images: {type(error).__name__}: {why}") from error
    return logit


def notes_on(method: Method, target: Target) -> tuple[str, ...]:
    """What a reader must know beside a map of this method for this finder."""
    notes: tuple[str, ...] = (f"{method.title} {KNOWN_TO_FAIL}",) if method.known_to_fail else ()
    if method.needs_relu and target.finder.differentiable:
        notes += target.hookable.unhooked if target.hookable.rectified else (NO_RELU,)
    return notes


def _attributed(method: Method, target: Target, images: torch.Tensor, seed: int) -> NDArray[np.float32]:
    rng = torch.Generator().manual_seed(seed)
    try:
        with torch.enable_grad(), catch_warnings(action="ignore", category=UserWarning):  # captum tells of its hooks
            found = method.run(target, images, rng)
    except LensauditError:
        raise
    except LookupError as missing:
        raise DataError(f"{method.title} cannot explain {target.finder.name}: {missing} in it") from missing
    except Exception as error:  # the finder's own code, or captum on a layer it does not know
        why = " ".join(str(error).split())[:160]
        raise DataError(f"{method.title} cannot explain {target.finder.name}: {type(error).__name__}: {why}") from error
    values: NDArray[np.float32] = found.detach().cpu().numpy().astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{method.title} gives values that are no numbers for {target.finder.name}; mend its weights")
    return values


def _blind_to_bands(method: Method) -> bool:
    return method.name in ("gradcam", "occlusion")
