"""Ablations: the same recipe with one of its ingredients changed, trained several times over, on the same images.

Those of Forero Sanchez et al. 2019: the clip, the augmentation, the near-infrared bands, the kind of dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lensaudit.errors import UsageError
from lensaudit.finders import Recipe
from lensaudit.training.options import TrainingOptions

BASELINE = "as-the-recipe"
NIR_BANDS = ("J", "Y", "H")
_CLIPPED, _UNCLIPPED = "clip-log", "log-minmax"
_FLIPPED, _PLAIN = "flips", "none"


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes
    ----------
    name
        Of its folder and in tables, such as ``without-clip``.
    recipe, options
        What is trained, and how.
    """

    name: str
    recipe: Recipe
    options: TrainingOptions


def _clip(arm: Arm) -> Arm:
    clipped = arm.recipe.stretch == _CLIPPED
    stretch = _UNCLIPPED if clipped else _CLIPPED
    recipe = arm.recipe.model_copy(update={"stretch": stretch})
    return Arm("without-clip" if clipped else "with-clip", recipe, arm.options)


def _augmentation(arm: Arm) -> Arm:
    augmented = arm.options.augment != _PLAIN
    options = arm.options.model_copy(update={"augment": _PLAIN if augmented else _FLIPPED})
    return Arm("without-augmentation" if augmented else "with-flips", arm.recipe, options)


def _nir(arm: Arm) -> Arm:
    bands = tuple(band for band in arm.recipe.bands if band not in NIR_BANDS)
    if not bands:
        raise UsageError(f"--ablate nir: {arm.recipe.name} has no band but {', '.join(arm.recipe.bands)}; leave it out")
    if bands == arm.recipe.bands:
        return Arm("with-nir", arm.recipe.model_copy(update={"bands": (*bands, *NIR_BANDS)}), arm.options)
    return Arm("without-nir", arm.recipe.model_copy(update={"bands": bands}), arm.options)


def _dropout(arm: Arm) -> Arm:
    chosen = arm.recipe.architecture_options.get("spatial_dropout")
    if chosen is None:
        raise UsageError(
            f"--ablate dropout: {arm.recipe.name} names no spatial_dropout among its architecture_options; take lastro"
        )
    changed = {**arm.recipe.architecture_options, "spatial_dropout": not chosen}
    recipe = arm.recipe.model_copy(update={"architecture_options": changed})
    return Arm("plain-dropout" if chosen else "spatial-dropout", recipe, arm.options)


ABLATIONS: dict[str, Callable[[Arm], Arm]] = {
    "clip": _clip,
    "augmentation": _augmentation,
    "nir": _nir,
    "dropout": _dropout,
}
"""Name → what it makes of the recipe's own arm: the ingredient taken away, or put in where the recipe has it not."""


def arms_of(recipe: Recipe, options: TrainingOptions, ablations: Sequence[str]) -> list[Arm]:
    """The recipe's own arm, then one for each of `ablations`.

    Raises
    ------
    UsageError
        An ablation is not known, named twice, or has nothing to change in this recipe.
    """
    first = Arm(BASELINE, recipe, options)
    for name in ablations:
        if name not in ABLATIONS:
            raise UsageError(f"--ablate {name} is not known; allowed: {', '.join(ABLATIONS)}")
        if list(ablations).count(name) > 1:
            raise UsageError(f"--ablate {name} is named twice; once is enough")
    return [first, *(ABLATIONS[name](first) for name in ablations)]


@dataclass(frozen=True)
class Run:
    """One trained repeat of an arm: log-odds of the test images (n,), AUROC and accuracy there, epochs it took."""

    arm: str
    seed: int
    logit: NDArray[np.float64]
    auroc: float
    accuracy: float
    epochs: int


@dataclass(frozen=True)
class Spread:
    """Mean over repeats, their standard deviation, and the 95 % interval of the mean (Student's t).

    With one repeat there is neither deviation nor interval: NaN.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the repeats."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation from repeat to repeat (n − 1)."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean."""
        if len(self.values) < 2:
            return float("nan"), float("nan")
        half = float(stats.t.ppf(0.975, len(self.values) - 1)) * self.deviation / len(self.values) ** 0.5
        return self.mean - half, self.mean + half


def differences(arm: Sequence[float], baseline: Sequence[float]) -> Spread:
    """What an arm gains over the baseline, repeat by repeat: both begin from one seed, and split the images alike."""
    return Spread(tuple(float(a - b) for a, b in zip(arm, baseline, strict=True)))
