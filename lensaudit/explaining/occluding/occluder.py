"""Occlusion maps (Zeiler & Fergus 2014; Wilde et al. 2022, Section 5.1): where a patch of zeros changes the score."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.occluding.exact import Cost, ExactEngine, LayerReport, Outcome
from lensaudit.explaining.occluding.windows import Grid
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.finder import lens_logit
from lensaudit.spread import Progress


def captum_maps(
    log_odds: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    grid: Grid,
    batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Maps (size, size) of the change of p and of the log-odds under the patch, by ``captum.attr.Occlusion``.

    captum's sign is whole − occluded; these are occluded − whole. The finder runs once for both.

    Parameters
    ----------
    log_odds
        Prepared images (n, bands, size, size) → log-odds (n,).
    image
        One prepared image (1, bands, size, size).
    batch
        Positions per forward pass; captum's default is 1.
    """
    total, done = grid.n**2, -1  # captum's first pass is the unoccluded image
    known: list[torch.Tensor] = []

    def counted(images: torch.Tensor) -> torch.Tensor:
        nonlocal done
        known.append(log_odds(images).double())
        done += len(images)
        if progress is not None and done > 0:
            progress(done, total)
        return known[-1]

    of_log_odds = _captum(counted, image, grid, batch)
    again = iter(known)  # captum asks for the same images in the same order
    of_p = _captum(lambda _images: next(again).sigmoid(), image, grid, batch)
    return of_p, of_log_odds


def _captum(
    score: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, grid: Grid, batch: int | None
) -> np.ndarray:
    from captum.attr import Occlusion

    bands = image.shape[1]
    attribution = Occlusion(score).attribute(
        image,
        sliding_window_shapes=(bands, grid.patch, grid.patch),
        strides=(bands, grid.stride, grid.stride),
        baselines=0,
        perturbations_per_eval=batch or 1,
    )
    change: np.ndarray = -attribution[0, 0].double().cpu().numpy()
    return change


ENGINES = ("exact", "captum")

TOLERANCE = 1e-5
"""Most that p(lens) of our engine may differ from the plain forward pass; float32 rounding stays below 1e-6."""

LOG_ODDS_TOLERANCE = 1e-4
"""The same of the log-odds, as a fraction of 1 + the largest: where p is 1 to seven digits only they can tell."""

PATCHES_ACROSS = 50
"""Patches along one side in Wilde et al. 2022: 4 pixels of 200 for OU-200, 1 of 66 for OU-66."""


@dataclass(frozen=True, eq=False)
class Occluded:
    """What hiding a patch does to one image's score; `Explainer` makes an `Explanation` of it.

    Attributes
    ----------
    attribution
        log-odds(whole) − log-odds(occluded), float32 (size, size); where patches overlap the mean over those that
        cover a pixel. Above 0 speaks for a lens: hiding lowers its log-odds.
    p_lost
        p(lens) − p(lens | occluded), float32 (size, size), with the same sign.
    logit
        Log-odds of the whole image.
    layers
        How the exact engine calculated each layer; empty for captum.
    cost
        Multiply-adds of the exact engine; None for captum.
    note
        Why the exact engine ran plain batches all through; empty if it did not.
    seconds
        Wall time.
    """

    attribution: NDArray[np.float32]
    p_lost: NDArray[np.float32]
    logit: float
    layers: tuple[LayerReport, ...]
    cost: Cost | None
    note: str
    seconds: float

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Layers without a rule, from which on plain batches were run."""
        return tuple(layer.label for layer in self.layers if layer.mode == "fallback")


def default_patch(size: int) -> int:
    """Patch (and stride) of Wilde et al. 2022 for a finder of `size` pixels: 4 for 200, 1 for 66."""
    return max(1, size // PATCHES_ACROSS)


class Occluder:
    """Occlusion of many images by one finder: checks once, and shares between images what depends on none."""

    def __init__(
        self,
        finder: Finder,
        patch: int | None = None,
        stride: int | None = None,
        engine: str = "exact",
        batch: int | None = None,
    ) -> None:
        """Arguments and errors as in `lensaudit.explaining.occlusion`."""
        if engine not in ENGINES:
            raise UsageError(f"engine '{engine}' is not known; allowed: {', '.join(ENGINES)}")
        if batch is not None and batch < 1:
            raise UsageError(f"batch {batch} is not possible; choose 1 or more positions at a time")
        size = finder.recipe.size
        chosen = patch if patch is not None else min(default_patch(size), size)
        self.grid = Grid(size, chosen, stride if stride is not None else chosen)
        self.engine = engine
        self.finder, self._batch = finder, batch
        self._exact: ExactEngine | None = None
        self._note = ""

    def map(self, image: torch.Tensor, *, name: str = "", progress: Progress | None = None) -> Occluded:
        """Occlude one image (1, bands, size, size) that `Finder.preprocess` gave; `name` is for messages."""
        began = time.perf_counter()
        with evaluating(self.finder.module):
            logit = float(self.finder.logit(image)[0])
            if not np.isfinite(logit):
                raise DataError(
                    f"finder {self.finder.name} gives {logit} for image {name or 'given'}; check its weights"
                )
            if self.engine == "captum":
                changes = captum_maps(self.finder.logit, image, self.grid, self._batch, progress)
                return self._result(changes, logit, None, began)
            outcome = self._run_exactly(image, logit, progress)
        of_p = self.grid.spread(expit(outcome.logits) - expit(outcome.base_logit))
        return self._result((of_p, self.grid.spread(outcome.logits - outcome.base_logit)), logit, outcome, began)

    def forget(self) -> None:
        """Trace the module anew with the next image: its weights or layers are others now."""
        self._exact, self._note = None, ""

    def _read(self, outputs: torch.Tensor) -> torch.Tensor:
        return lens_logit(outputs, self.finder.recipe.outputs, self.finder.recipe.lens_index)

    def _run_exactly(self, image: torch.Tensor, logit: float, progress: Progress | None) -> Outcome:
        """The exact engine, compared with the finder itself at the positions of the largest effects.

        A module that disturbs its own trace (hooks, state, tensors changed under two names) is run in plain batches
        instead, and the map says so; one whose answer depends on its batch, one position at a time.
        """
        if self._exact is None:
            self._exact = ExactEngine(self.finder.module, self._read, self.grid, self._batch)
        for batch in (self._batch, 1):
            outcome = self._exact.run(image, progress)
            error = self._error(outcome, image, logit)
            if error is None:
                return outcome
            self._note = f"plain batches throughout: {error}, from the layers and from the finder itself"
            self._exact = ExactEngine(self.finder.module, self._read, self.grid, batch, incremental=False)
        outcome = self._exact.run(image, progress)
        if (error := self._error(outcome, image, logit)) is not None:
            raise DataError(
                f"finder {self.finder.name} answers differently for the same images ({error}); take out what "
                "is random or remembered in its module"
            )
        return outcome

    def _error(self, outcome: Outcome, image: torch.Tensor, logit: float) -> str | None:
        """What differs from the finder's own answers, or None: at the highest and lowest log-odds, and unoccluded."""
        known = np.nan_to_num(outcome.logits)
        places = [np.unravel_index(int(place), known.shape) for place in (known.argmin(), known.argmax())]
        starts, stops = self.grid.starts, self.grid.stops
        found, plain = [outcome.base_logit], [logit]
        for row, column in places:
            hidden = image.clone()
            hidden[:, :, starts[row] : stops[row], starts[column] : stops[column]] = 0
            found.append(float(outcome.logits[row, column]))
            plain.append(float(self.finder.logit(hidden)[0]))
        in_logit = float(np.abs(np.subtract(found, plain)).max())
        in_p = float(np.abs(expit(found) - expit(plain)).max())
        if in_logit <= LOG_ODDS_TOLERANCE * (1 + float(np.abs(known).max())) and in_p <= TOLERANCE:
            return None
        return f"log-odds differ by {in_logit:.1g}, p(lens) by {in_p:.1g}"

    def _result(
        self, changes: tuple[np.ndarray, np.ndarray], logit: float, outcome: Outcome | None, began: float
    ) -> Occluded:
        """`changes` of p and of the log-odds, occluded − whole."""
        if not np.isfinite(changes).all():
            raise DataError(f"finder {self.finder.name} gives scores that are no numbers under occlusion")
        return Occluded(
            attribution=-changes[1].astype(np.float32),
            p_lost=-changes[0].astype(np.float32),
            logit=logit,
            layers=() if outcome is None else outcome.layers,
            cost=None if outcome is None else outcome.cost,
            note=self._note,
            seconds=time.perf_counter() - began,
        )
