"""``explain``: attribution of a finder's log-odds of "lens" to the pixels of a cutout, by any of the methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from warnings import catch_warnings

import numpy as np
import torch
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import DataError, LensauditError
from lensaudit.explain.attribution.hookable import forget
from lensaudit.explain.attribution.methods import (
    IMAGES_AT_ONCE,
    Method,
    Reached,
    Target,
    applicable_methods,
    find_method,
    no_gradient,
)
from lensaudit.explain.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.load import uncompiled
from lensaudit.lensset.coordinates import wcs_on_grid

KNOWN_TO_FAIL = (
    "fails the parameter-randomisation check (Adebayo et al. 2018): much of what it shows are edges of the image, "
    "whatever the finder has learnt"
)
COMPLETE = 0.01
"""Most by which DeepLIFT's attributions may miss the difference of the log-odds, as a fraction of it."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attribution of the log-odds of "lens" to the pixels of n images.

    Attributes
    ----------
    method
        Name in `METHODS`.
    maps
        float32 (n, size, size) on the finder's grid: the attribution summed over bands. Positive attribution raises
        the log-odds of "lens". `Method.quantity` says what the numbers are.
    attributions
        float32 (n, bands, size, size); None where the method tells no bands apart (Grad-CAM, occlusion).
    logit, p_lens
        Scores of the whole images, float64 (n,).
    bands
        Of `attributions`, in the finder's order.
    finder, finder_hash
        Name of the finder and SHA-256 of its weights.
    title
        Name of what was really done, as ``DeepLIFT, partial`` where it does not reach all of the finder.
    hooked
        What the method hooked, in words; empty for one that hooks nothing.
    notes
        What a reader must know beside the maps: sanity checks that the method fails, what no hook reaches.
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
    title: str
    hooked: str
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
    reached = _reached(chosen, target)
    pieces = []
    for first in range(0, len(images), IMAGES_AT_ONCE):
        piece = images[first : first + IMAGES_AT_ONCE].detach().clone()
        pieces.append(_attributed(chosen, target, piece, seed))
    found = np.concatenate(pieces) if pieces else np.empty((0, 1, finder.recipe.size, finder.recipe.size), np.float32)
    short = _incomplete(target, reached, found, logit) if chosen.name == "deeplift" else ()
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
        title=f"{chosen.title}, partial" if reached.notes or short else chosen.title,
        hooked=reached.hooked,
        notes=(*_known(chosen), *reached.notes, *short),
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
    """What a reader must know beside a map of this method for this finder, or why there is none."""
    if not target.finder.differentiable:
        return _known(method)
    try:
        return (*_known(method), *_reached(method, target).notes)
    except DataError as error:
        return (*_known(method), str(error))


def missed(method: Method, finder: Finder) -> str:
    """What the method does not reach of the finder, a clause each; empty where it reaches all, or gives no map."""
    try:
        return "; ".join(_reached(method, Target(finder)).notes)
    except DataError:
        return ""


def _known(method: Method) -> tuple[str, ...]:
    return (f"{method.title} {KNOWN_TO_FAIL}",) if method.known_to_fail else ()


def _reached(method: Method, target: Target) -> Reached:
    """What the method hooks of the finder, or a DataError where that would be another method."""
    if method.reach is None:
        return Reached("")
    with _explained(method, target.finder):
        return method.reach(target.hookable)


def _incomplete(
    target: Target, reached: Reached, found: NDArray[np.float32], logit: NDArray[np.float64]
) -> tuple[str, ...]:
    """A note where DeepLIFT's attributions do not add up to the difference of the log-odds from the black image.

    That is what defines them (Shrikumar et al. 2017, "summation to delta"); products of activations, normalisations
    of the image and functions without a rule break it.
    """
    if not len(found):
        return ()
    size = target.finder.recipe.size
    black = _scored(target.finder, torch.zeros(1, found.shape[1], size, size, device=target.finder.device))
    sums, wanted = found.sum(axis=(1, 2, 3), dtype=np.float64), logit - black
    errors = np.abs(sums - wanted) / np.maximum(np.abs(wanted), COMPLETE * (1 + np.abs(logit)))
    worst = int(errors.argmax())
    if errors[worst] <= COMPLETE:
        return ()
    told = f"attributions add up to {sums[worst]:.3g} where the log-odds differ by {wanted[worst]:.3g}"
    if not target.hookable.watch.hooked:
        raise DataError(f"DeepLIFT cannot explain {target.finder.name}: its {told}; use integrated-gradients")
    return (f"DeepLIFT has no rule for a part of the finder: {told}",)


def _attributed(method: Method, target: Target, images: torch.Tensor, seed: int) -> NDArray[np.float32]:
    rng = torch.Generator().manual_seed(seed)
    with _explained(method, target.finder):
        found = method.run(target, images, rng)
    values: NDArray[np.float32] = found.detach().cpu().numpy().astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{method.title} gives values that are no numbers for {target.finder.name}; check its weights")
    return values


@contextmanager
def _explained(method: Method, finder: Finder) -> Iterator[None]:
    """Gradients on, captum's warnings of its hooks off; what goes wrong is one line."""
    try:
        with torch.enable_grad(), uncompiled(), catch_warnings(action="ignore", category=UserWarning):
            yield
    except LensauditError:
        raise
    except LookupError as missing:
        raise DataError(f"{method.title} cannot explain {finder.name}: {missing.args[0]}") from missing
    except BaseException as error:  # the finder's own code, or captum on a layer it does not know
        forget()
        if not isinstance(error, Exception):
            raise
        why = " ".join(str(error).split())[:160]
        raise DataError(f"{method.title} cannot explain {finder.name}: {type(error).__name__}: {why}") from error


def _blind_to_bands(method: Method) -> bool:
    return method.name in ("gradcam", "occlusion")
