"""``Explainer``: one finder explained by any method, its network copied and traced once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from warnings import catch_warnings

import numpy as np
import torch
from astropy.wcs import WCS
from numpy.typing import NDArray

from lensaudit.display.images import main_band
from lensaudit.errors import DataError, LensauditError
from lensaudit.explaining.attribution.methods import (
    IMAGES_AT_ONCE,
    Method,
    Reached,
    Target,
    applicable_methods,
    find_method,
    not_applicable,
)
from lensaudit.explaining.explanation import Explanation
from lensaudit.explaining.maps import Backdrop, Patches
from lensaudit.explaining.occluding.occluder import Occluded, Occluder
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder, Recipe
from lensaudit.finders.load import uncompiled
from lensaudit.finders.preprocessing import mixes_bands, zero_is_black
from lensaudit.lensset.coordinates import wcs_on_grid
from lensaudit.spread import Progress

KNOWN_TO_FAIL = (
    "fails the parameter-randomisation check (Adebayo et al. 2018): much of what it shows are edges of the image, "
    "whatever the finder has learnt"
)
COMPLETE = 0.01
"""Most by which DeepLIFT's attributions may miss the difference of the log-odds, as a fraction of it."""

OCCLUSION = "occlusion"
FROM_ZERO = ("integrated-gradients", "deeplift")
"""Attributions that compare with an image of zeros."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images as the finder takes them, scored once for all methods; see `Explainer.prepare`.

    Attributes
    ----------
    images
        (n, bands, size, size), of `Finder.preprocess`.
    logit
        Log-odds of the whole images, float64 (n,).
    wcs
        World coordinates of the finder's grid, one an image, or None.
    backdrop
        Native images of one band, or None.
    names
        Of the images, for messages; empty for none.
    """

    images: torch.Tensor
    logit: NDArray[np.float64]
    wcs: tuple[WCS, ...] | None = None
    backdrop: Backdrop | None = None
    names: tuple[str, ...] = ()


class Explainer:
    """Explains one finder by any of `METHODS`; its network is copied and traced once, not for every image and method.

    Parameters
    ----------
    finder
        Its module is left as it was, whatever happens. Where its weights change, the next explanation sees them.
    patch, stride
        Of occlusion, in pixels of the finder's grid; by default those of the paper (see `default_patch`), the stride
        equal to the patch.
    engine
        Of occlusion. ``exact``: recalculates only what a patch changes. ``captum``: the reference, one forward pass
        per patch.
    batch
        Most positions of a patch at once; by default what suits the engine (captum: 1).

    Raises
    ------
    UsageError
        The patch, stride, engine or batch is not possible.

    Examples
    --------
    Two methods side by side for ten cutouts::

        explainer = Explainer(load_finder("ou66"))
        ready = explainer.prepare(lens_set.cutouts(range(10)))
        maps = [explainer.attribute(ready, method) for method in ("gradcam", "occlusion")]
    """

    def __init__(
        self,
        finder: Finder,
        patch: int | None = None,
        stride: int | None = None,
        engine: str = "exact",
        batch: int | None = None,
    ) -> None:
        self.finder = finder
        self.occluder = Occluder(finder, patch, stride, engine, batch)
        self.target = Target(finder, self.occluder)
        self._black: float | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that can explain the finder."""
        return applicable_methods(self.finder)

    def explain(
        self,
        cutouts: Mapping[str, np.ndarray],
        method: str = "gradcam",
        *,
        wcs: Sequence[WCS] | None = None,
        names: Sequence[str] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Explanation:
        """Explain native cutouts, band → (n, h, w); arguments and errors as of `lensaudit.explaining.explain`."""
        find_method(method)
        return self.attribute(self.prepare(cutouts, wcs=wcs, names=names), method, seed=seed, progress=progress)

    def prepare(
        self,
        cutouts: Mapping[str, np.ndarray],
        *,
        wcs: Sequence[WCS] | None = None,
        names: Sequence[str] | None = None,
        backdrop: Backdrop | None = None,
    ) -> Prepared:
        """Bring native cutouts to the finder's grid and score them, once for all methods.

        Parameters
        ----------
        cutouts
            Band → native images (n, h, w), as `LensSet.cutouts` gives them.
        wcs
            World coordinates of each cutout in the finder's first band (`LensSet.wcs`); the maps' are derived from
            them.
        names
            Of the images, for messages.
        backdrop
            What pictures show under the maps; by default the cutouts' VIS, else the finder's first band.

        Raises
        ------
        DataError
            A band is missing, constant or not finite, or the finder fails on the images.
        """
        images = self.finder.preprocess(cutouts, names)
        bands = self.finder.recipe.bands
        native = np.shape(cutouts[bands[0]])[-2:]
        on_grid = None if wcs is None else tuple(wcs_on_grid(one, native, self.finder.recipe.size) for one in wcs)
        if on_grid is not None and len(on_grid) != len(images):
            raise DataError(f"{len(on_grid)} world coordinates for {len(images)} cutouts; give one each")
        if backdrop is None:
            band = main_band(bands)
            shown = np.array(cutouts[band], np.float32)
            backdrop = Backdrop(band, shown, self.finder.field_arcsec / shown.shape[-1])
        return Prepared(images, self._scored(images), on_grid, backdrop, tuple(names or ()))

    def prepared(self, images: torch.Tensor) -> Prepared:
        """The same of images (n, bands, size, size) that `Finder.preprocess` gave."""
        return Prepared(images, self._scored(images))

    def attribute(
        self, ready: Prepared, method: str, *, seed: int = 0, progress: Progress | None = None
    ) -> Explanation:
        """Explain images that `prepare` or `prepared` gave.

        Parameters
        ----------
        method
            A key of `METHODS`.
        seed
            Of the noise, for methods that draw any; every image gets the same, so that its map does not depend on
            others.
        progress
            Called with positions done and all positions of an occlusion.

        Raises
        ------
        UsageError
            No such method; the line lists those that exist.
        DataError
            The method cannot explain the finder.
        """
        chosen = find_method(method)
        if chosen.name not in self.methods:
            raise DataError(not_applicable(chosen, self.finder))
        reached = self._reached(chosen)
        patches, short = None, ""
        if chosen.name == OCCLUSION:
            occluded = self._occluded(ready, progress)
            found = np.array([one.attribution for one in occluded], np.float32).reshape(len(occluded), 1, *self._grid)
            patches = self._patches(occluded)
        else:
            found = self._attributions(chosen, ready.images, seed)
            short = self._incomplete(found, ready.logit) if chosen.name == "deeplift" else ""
        recipe = self.finder.recipe
        per_band = found.shape[1] == len(recipe.bands) and chosen.name not in ("gradcam", OCCLUSION)
        per_band &= not mixes_bands(recipe.preprocessing)
        return Explanation(
            method=chosen.name,
            title=f"{chosen.title}, partial" if reached.notes or short else chosen.title,
            quantity=chosen.quantity,
            maps=found.sum(axis=1),
            attributions=found if per_band else None,
            logit=ready.logit,
            bands=self.finder.recipe.bands,
            field_arcsec=self.finder.field_arcsec,
            finder=self.finder.name,
            finder_hash=self.finder.weights_hash,
            hooked=reached.hooked,
            notes=(*_known(chosen), *reached.notes, *filter(None, [short]), *_not_black(chosen, recipe)),
            known_to_fail=chosen.known_to_fail,
            wcs=ready.wcs,
            backdrop=ready.backdrop,
            patches=patches,
        )

    def notes_on(self, method: str) -> tuple[str, ...]:
        """What a reader must know beside a map of this method for this finder, or why there is none."""
        chosen = find_method(method)
        if not self.finder.differentiable:
            return _known(chosen)
        try:
            return (*_known(chosen), *self._reached(chosen).notes)
        except DataError as error:
            return (*_known(chosen), str(error))

    def missed(self, method: str) -> str:
        """What the method does not reach of the finder, a clause each; empty where it reaches all, or gives no map."""
        try:
            return "; ".join(self._reached(find_method(method)).notes)
        except DataError:
            return ""

    @property
    def _grid(self) -> tuple[int, int]:
        return self.finder.recipe.size, self.finder.recipe.size

    def _scored(self, images: torch.Tensor) -> NDArray[np.float64]:
        try:
            with evaluating(self.finder.module):
                logit: NDArray[np.float64] = self.finder.logit(images).double().cpu().numpy()
        except Exception as error:  # the finder's own code may fail in any way
            why = " ".join(str(error).split())[:160]
            raise DataError(f"finder {self.finder.name} fails on the images: {type(error).__name__}: {why}") from error
        return logit

    def _reached(self, method: Method) -> Reached:
        """What the method hooks of the finder, or a DataError where that would be another method."""
        if self.target.refresh():
            self._black = None
        with self._explained(method):
            return self.target.reached(method)

    def _occluded(self, ready: Prepared, progress: Progress | None) -> list[Occluded]:
        """One image after the other; progress counts over all."""
        n, each, found = len(ready.images), self.occluder.grid.n**2, []
        for index, image in enumerate(ready.images.detach()):

            def report(done: int, _total: int, before: int = index * each) -> None:
                if progress is not None:
                    progress(before + done, n * each)

            name = ready.names[index] if ready.names else ""
            found.append(self.occluder.map(image[None], name=name, progress=report))
        return found

    def _patches(self, occluded: Sequence[Occluded]) -> Patches:
        costs = [one.cost for one in occluded if one.cost is not None]
        return Patches(
            patch=self.occluder.grid.patch,
            stride=self.occluder.grid.stride,
            engine=self.occluder.engine,
            p_lost=np.array([one.p_lost for one in occluded], np.float32).reshape(len(occluded), *self._grid),
            fallbacks=tuple(dict.fromkeys(label for one in occluded for label in one.fallbacks)),
            note=next((one.note for one in occluded if one.note), ""),
            layers=occluded[-1].layers if occluded else (),
            cost=sum(costs[1:], costs[0]) if costs else None,
            seconds=sum(one.seconds for one in occluded),
        )

    def _attributions(self, method: Method, images: torch.Tensor, seed: int) -> NDArray[np.float32]:
        """Attribution (n, bands or 1, size, size), some images at a time."""
        pieces = []
        for first in range(0, len(images), IMAGES_AT_ONCE):
            piece = images[first : first + IMAGES_AT_ONCE].detach().clone()
            rng = torch.Generator().manual_seed(seed)
            with self._explained(method):
                found = method.run(self.target, piece, rng)
            values = found.detach().cpu().numpy().astype(np.float32)
            if not np.isfinite(values).all():
                raise DataError(
                    f"{method.title} gives values that are no numbers for {self.finder.name}; check its weights"
                )
            pieces.append(values)
        return np.concatenate(pieces) if pieces else np.empty((0, 1, *self._grid), np.float32)

    def _incomplete(self, found: NDArray[np.float32], logit: NDArray[np.float64]) -> str:
        """A note where DeepLIFT's attributions do not add up to the difference of the log-odds from the black image.

        That is what defines them (Shrikumar et al. 2017, "summation to delta"); products of activations, normalisations
        of the image and functions without a rule break it.
        """
        if not len(found):
            return ""
        if self._black is None:
            black = torch.zeros(1, found.shape[1], *self._grid, device=self.finder.device)
            self._black = float(self._scored(black)[0])
        sums, wanted = found.sum(axis=(1, 2, 3), dtype=np.float64), logit - self._black
        errors = np.abs(sums - wanted) / np.maximum(np.abs(wanted), COMPLETE * (1 + np.abs(logit)))
        worst = int(errors.argmax())
        if errors[worst] <= COMPLETE:
            return ""
        missing = f"attributions add up to {sums[worst]:.3g} where the log-odds differ by {wanted[worst]:.3g}"
        if not self.target.hookable.watch.hooked:
            raise DataError(f"DeepLIFT cannot explain {self.finder.name}: its {missing}; use integrated-gradients")
        return f"DeepLIFT has no rule for a part of the finder: {missing}"

    @contextmanager
    def _explained(self, method: Method) -> Iterator[None]:
        """Gradients on, captum's warnings of its hooks off; what goes wrong is one line."""
        try:
            with torch.enable_grad(), uncompiled(), catch_warnings(action="ignore", category=UserWarning):
                yield
        except LensauditError:
            raise
        except LookupError as missing:
            raise DataError(f"{method.title} cannot explain {self.finder.name}: {missing.args[0]}") from missing
        except BaseException as error:  # the finder's own code, or captum on a layer it does not know
            self.target.forget()
            if not isinstance(error, Exception):
                raise
            why = " ".join(str(error).split())[:160]
            raise DataError(
                f"{method.title} cannot explain {self.finder.name}: {type(error).__name__}: {why}"
            ) from error


def _not_black(method: Method, recipe: Recipe) -> tuple[str, ...]:
    """A note where what is put in place of pixels is 0 of the finder's input, and 0 is not black there."""
    if method.name not in (OCCLUSION, *FROM_ZERO) or zero_is_black(recipe.preprocessing):
        return ()
    return ("pixels are hidden as 0 of the finder's input, which its preprocessing makes of a mean and not of black",)


def _known(method: Method) -> tuple[str, ...]:
    return (f"{method.title} {KNOWN_TO_FAIL}",) if method.known_to_fail else ()
