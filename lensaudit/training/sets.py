"""The sets a training uses, checked before anything expensive starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.finders.refit import statistics_of
from lensaudit.finders.stretch import STRETCHES
from lensaudit.training.augment import class_weights
from lensaudit.training.batches import Purpose, stream
from lensaudit.training.options import TrainingOptions
from lensaudit.training.prepared import (
    Advance,
    PreparedSet,
    Rows,
    Standard,
    labelled,
    prepare_set,
    standard_of,
    stratified_split,
)

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Recipe
    from lensaudit.lensset import LensSet


@dataclass(frozen=True)
class TrainingData:
    """Sets of one training.

    Attributes
    ----------
    training
        Unlabelled images (−1) are left out.
    validation
        Chooses the epoch; None to take a fraction of `training`.
    test
        Measured once at the end, never looked at before; None for none.
    """

    training: LensSet
    validation: LensSet | None = None
    test: LensSet | None = None

    def check(self, untrained: Finder) -> None:
        """Refuse sets the finder cannot take as input, sets without both classes, and sets with images in common.

        Raises
        ------
        DataError
            A band is missing, a class is empty, or a set is empty.
        UsageError
            Two of the sets are the same, or begin with the same simulated scenes.
        """
        named = {"--data": self.training, "--validation": self.validation, "--test": self.test}
        given = [(option, lens_set) for option, lens_set in named.items() if lens_set is not None]
        untrained.check(self.training)
        trained = replace(
            untrained,
            recipe=in_units_of(self.training, untrained.recipe),
            trained_scales=self.training.pixel_scale_arcsec,
            resamples=True,  # what other pixels do is reported here, with the option
        )
        for option, lens_set in given:
            trained.for_units(lens_set).check(lens_set)
            _need_both_classes(option, lens_set)
            _refuse_other_pixels(option, lens_set, trained)
        for position, (option, lens_set) in enumerate(given):
            for other_option, other in given[:position]:
                _refuse_overlap(option, lens_set, other_option, other)

    def facts(self, split: Split) -> dict[str, Any]:
        """What a model card says of the data."""
        return {
            "set": self.training.content_hash,
            "instrument": self.training.instrument,
            "pixel_scale_arcsec": {band: self.training.pixel_scale_arcsec[band] for band in self.training.bands},
            "population": self.training.population,
            "n_training": len(split.training[1]),
            "n_validation": len(split.validation[1]),
            "n_test": 0 if self.test is None else len(labelled(self.test.labels)),
            "n_unlabelled_left_out": len(self.training) - len(labelled(self.training.labels)),
            "training_lens_fraction": float(split.training_labels.mean()),
            "validation_set": None if self.validation is None else self.validation.content_hash,
            "test_set": None if self.test is None else self.test.content_hash,
        }


@dataclass(frozen=True)
class Split:
    """Prepared images and the rows of them that train, and that choose the epoch."""

    training: tuple[PreparedSet, Rows]
    validation: tuple[PreparedSet, Rows]

    @property
    def training_labels(self) -> NDArray[np.int8]:
        """0 or 1 of each training image (n,)."""
        prepared, rows = self.training
        return prepared.labels[rows]

    def standard(self, inputs: str) -> Standard | None:
        """How inputs are standardised, from the training images; None for ``as-is``."""
        return standard_of(*self.training) if inputs == "standardised" else None

    def weights(self, scheme: str) -> tuple[float, float]:
        """Class weights (non-lens, lens) of the training images."""
        return class_weights(self.training_labels, scheme)


def prepare(
    data: TrainingData, untrained: Finder, options: TrainingOptions, cache: Path, advance: Advance | None
) -> Split:
    """Prepare the images of both sides and draw the split."""
    training = prepare_set(untrained, data.training, cache, advance)
    if data.validation is None:
        generator = stream(options.seed, Purpose.SPLIT)
        rows, kept = stratified_split(training.labels, options.validation_fraction, generator)
        return Split((training, rows), (training, kept))
    validation = prepare_set(untrained.for_units(data.validation), data.validation, cache, advance)
    return Split((training, np.arange(len(training))), (validation, np.arange(len(validation))))


def fit_to(lens_set: LensSet, recipe: Recipe) -> tuple[Recipe, dict[str, torch.Tensor]]:
    """The recipe with the set's pixel unit, and normalisation statistics of its labelled images for the stretch."""
    statistics = statistics_of(lens_set, recipe, labelled(lens_set.labels))
    return in_units_of(lens_set, recipe), statistics


def in_units_of(lens_set: LensSet, recipe: Recipe) -> Recipe:
    """The recipe with the pixel units of the set, where its stretch holds numbers in them."""
    measured = STRETCHES[recipe.stretch].in_pixel_units
    unit = {band: lens_set.pixel_units[band] for band in recipe.bands} if measured else {}
    return recipe.model_copy(update={"pixel_unit": unit})


def _need_both_classes(option: str, lens_set: LensSet) -> None:
    labels = lens_set.labels
    for value, name in ((1, "lenses"), (0, "non-lenses")):
        if not (labels == value).any():
            raise DataError(f"{lens_set.path}: has no {name}; give {option} a set with both classes")


def _refuse_other_pixels(option: str, lens_set: LensSet, trained: Finder) -> None:
    if other := trained.other_pixels(lens_set):
        raise DataError(f"{lens_set.path}: {other}; give {option} a set with the pixels of --data")


def _refuse_overlap(option: str, lens_set: LensSet, other_option: str, other: LensSet) -> None:
    if lens_set.content_hash == other.content_hash:
        raise UsageError(f"{lens_set.path}: is the same set as {other_option}; give {option} other images")
    drawn = [(one.instrument, one.population, one.seed) for one in (lens_set, other)]
    if None not in drawn[0] and drawn[0] == drawn[1]:
        raise UsageError(
            f"{lens_set.path}: was simulated with the same seed {drawn[0][2]} as {other_option}, so that they have "
            f"images in common; simulate one of them with another --seed"
        )
