"""Explanations by one call: ``explain`` and ``occlusion``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from astropy.wcs import WCS

from lensaudit.errors import DataError
from lensaudit.explaining.attribution.methods import find_method, not_applicable
from lensaudit.explaining.explainer import OCCLUSION, Explainer
from lensaudit.explaining.explanation import Explanation
from lensaudit.finders import Finder
from lensaudit.spread import Progress

_LAST: list[Explainer] = []


def explainer_of(finder: Finder) -> Explainer:
    """The `Explainer` of a finder with the paper's patches; that of the last finder serves again."""
    if not _LAST or _LAST[0].finder is not finder:
        _LAST[:] = [Explainer(finder)]
    return _LAST[0]


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
        Maps on the finder's grid; above 0 speaks for a lens.

    Raises
    ------
    UsageError
        No such method; the line lists those that exist.
    DataError
        A band is missing, constant or not finite, the finder fails on the images, or the method cannot explain it.

    See Also
    --------
    Explainer : several methods, and other patches of occlusion.
    occlusion : one image with patches of any size.

    Examples
    --------
    Which pixels of the first cutout speak for a lens::

        lens_set = LensSet.open("set")
        result = explain(load_finder("ou66"), lens_set.cutouts([0]), "integrated-gradients", wcs=[lens_set.wcs(0, "J")])
        result.maps[0], result.wcs[0]
        result.plot()
    """
    return explainer_of(finder).explain(cutouts, method, wcs=wcs, seed=seed)


def explain_prepared(finder: Finder, images: torch.Tensor, method: str, *, seed: int = 0) -> Explanation:
    """Like `explain`, for images (n, bands, size, size) that `Finder.preprocess` gave."""
    find_method(method)
    explainer = explainer_of(finder)
    if method not in explainer.methods:
        raise DataError(not_applicable(find_method(method), finder))
    return explainer.attribute(explainer.prepared(images), method, seed=seed)


def occlusion(
    finder: Finder,
    cutout: Mapping[str, np.ndarray],
    *,
    patch: int | None = None,
    stride: int | None = None,
    engine: str = "exact",
    batch: int | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Occlusion map of one image: zeros in all bands at once, on the prepared input.

    Parameters
    ----------
    finder
        The finder; its module is left as it was.
    cutout
        Band → native image (h, w) or (1, h, w).
    patch, stride, engine, batch
        See `Explainer`.
    progress
        Called with positions done and all positions.

    Returns
    -------
    Explanation
        With one map, log-odds(whole) − log-odds(occluded), and the change of p(lens) in ``patches.p_lost``; where
        patches overlap the mean over those that cover a pixel.

    Raises
    ------
    UsageError
        The patch, stride or engine is not possible.
    DataError
        A band is missing, constant or not finite, or the finder's score is not a number.
    """
    explainer = Explainer(finder, patch, stride, engine, batch)
    bands = {band: np.asarray(image) for band, image in cutout.items()}
    single = {band: image[None] if image.ndim == 2 else image for band, image in bands.items()}
    several = next((band for band, image in single.items() if len(image) != 1), None)
    if several is not None:
        raise DataError(f"band {several} has {len(single[several])} images; give the cutouts of one")
    return explainer.explain(single, OCCLUSION, progress=progress)
