"""The sets a training uses: checked before anything expensive starts, prepared, and divided."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.finders.facts import TrainingFacts
from lensaudit.finders.refit import statistics_of
from lensaudit.finders.stretch import STRETCHES
from lensaudit.records import Json
from lensaudit.training.augment import class_weights
from lensaudit.training.batches import Purpose, stream
from lensaudit.training.network import split_seed
from lensaudit.training.options import TrainingOptions
from lensaudit.training.prepared import (
    Advance,
    JoinedSets,
    Prepared,
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
    further
        More sets to train on beside `training`, such as real lenses beside simulated ones: of the same pixels, of
        any number of images. They need not hold both classes.
    """

    training: LensSet
    validation: LensSet | None = None
    test: LensSet | None = None
    further: tuple[LensSet, ...] = ()

    @property
    def trained_on(self) -> tuple[LensSet, ...]:
        """All sets that are trained on, in order."""
        return (self.training, *self.further)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of what is trained on: the content hash of the set, or that of the hashes of several."""
        hashes = [one.content_hash for one in self.trained_on]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def check(self, untrained: Finder) -> None:
        """Refuse sets the finder cannot take as input, sets without both classes, and sets with images in common.

        Raises
        ------
        DataError
            A band is missing, a class is empty, or a set is empty.
        UsageError
            Two of the sets are the same, or begin with the same simulated scenes.
        """
        others = {"--validation": self.validation, "--test": self.test}
        given = [("--data", lens_set) for lens_set in self.trained_on]
        given += [(option, lens_set) for option, lens_set in others.items() if lens_set is not None]
        untrained.check(self.training)
        trained = replace(
            untrained,
            recipe=in_units_of(self.training, untrained.recipe),
            trained_scales=self.training.pixel_scale_arcsec,
            resamples=True,  # what other pixels do is reported here, with the option
        )
        for option, lens_set in given:
            trained.for_units(lens_set).check(lens_set)
            _refuse_other_pixels(option, lens_set, trained)
        _need_both_classes("--data", *self.trained_on)
        for option, lens_set in given[len(self.trained_on) :]:
            _need_both_classes(option, lens_set)
        for (other_option, other), (option, lens_set) in combinations(given, 2):
            _refuse_overlap(option, lens_set, other_option, other)

    def facts(self, split: Split) -> TrainingFacts:
        """What a model card says of the data."""
        facts: Json = {
            "set": self.content_hash,
            **({"sets": [_drawn(one) for one in self.trained_on]} if self.further else {}),
            "instrument": _each_once(one.instrument for one in self.trained_on),
            "pixel_scale_arcsec": {band: self.training.pixel_scale_arcsec[band] for band in self.training.bands},
            "population": _each_once(one.population for one in self.trained_on),
            "n_training": len(split.training[1]),
            "n_validation": len(split.validation[1]),
            "n_test": 0 if self.test is None else len(labelled(self.test.labels)),
            "n_unlabelled_left_out": sum(len(one) - len(labelled(one.labels)) for one in self.trained_on),
            "training_lens_fraction": float(split.training_labels.mean()),
            "validation_set": None if self.validation is None else self.validation.content_hash,
            "test_set": None if self.test is None else self.test.content_hash,
        }
        if not self.further and (redden := _redden(self.training)):
            facts["redden"] = redden
        return TrainingFacts.model_validate(facts)


@dataclass(frozen=True)
class Split:
    """Prepared images and the rows of them that train, and that choose the epoch."""

    training: tuple[Prepared, Rows]
    validation: tuple[Prepared, Rows]

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
    training = _prepared(untrained, data, cache, advance)
    if data.validation is None:
        generator = stream(split_seed(options, data.content_hash), Purpose.SPLIT)
        rows, kept = stratified_split(training.labels, options.validation_fraction, generator)
        return Split((training, rows), (training, kept))
    validation = prepare_set(untrained.for_units(data.validation), data.validation, cache, advance)
    return Split((training, np.arange(len(training))), (validation, np.arange(len(validation))))


def _prepared(untrained: Finder, data: TrainingData, cache: Path, advance: Advance | None) -> Prepared:
    """The images that are trained on; those of several sets one set after the other."""
    total, done, parts = sum(len(labelled(one.labels)) for one in data.trained_on), 0, []
    for lens_set in data.trained_on:
        counted = None if advance is None else partial(_advance, advance, done, total)
        parts.append(prepare_set(untrained.for_units(lens_set), lens_set, cache, counted))
        done += len(parts[-1])
    return parts[0] if len(parts) == 1 else JoinedSets(tuple(parts))


def _advance(advance: Advance, before: int, total: int, done: int, _: int) -> None:
    advance(before + done, total)


def fit_to(sets: Sequence[LensSet], recipe: Recipe) -> tuple[Recipe, dict[str, torch.Tensor]]:
    """The recipe with the first set's pixel unit, and normalisation statistics of all labelled images for the stretch.

    Raises
    ------
    DataError
        The stretch takes statistics, and the sets differ in size or unit of their cutouts.
    """
    if STRETCHES[recipe.stretch].fitted:
        for other in sets[1:]:
            _need_alike(sets[0], other, recipe)
    statistics = statistics_of(recipe, *((one, labelled(one.labels)) for one in sets))
    return in_units_of(sets[0], recipe), statistics


def _need_alike(first: LensSet, other: LensSet, recipe: Recipe) -> None:
    for band in recipe.bands:
        for what, of in (("pixels", "shape"), ("unit", "pixel_units")):
            if (here := getattr(other, of)[band]) != (wanted := getattr(first, of)[band]):
                raise DataError(
                    f"{other.path}: {what} {here} in {band}, where {first.path} has {wanted}, and the stretch "
                    f"{recipe.stretch} takes statistics of all; give --data sets alike"
                )


def in_units_of(lens_set: LensSet, recipe: Recipe) -> Recipe:
    """The recipe with the pixel units of the set, where its stretch holds numbers in them."""
    measured = recipe.in_pixel_units
    unit = {band: lens_set.pixel_units[band] for band in recipe.bands} if measured else {}
    return recipe.model_copy(update={"pixel_unit": unit})


def _drawn(lens_set: LensSet) -> Json:
    """What a record says of one of several training sets."""
    redden = _redden(lens_set)
    return {
        "set": lens_set.content_hash,
        "instrument": lens_set.instrument,
        "population": lens_set.population,
        **({"redden": redden} if redden else {}),
        "n_labelled": len(labelled(lens_set.labels)),
        "n_lenses": int((lens_set.labels == 1).sum()),
    }


def _each_once(words: Iterable[str | None]) -> str | None:
    return " and ".join(dict.fromkeys(filter(None, words))) or None


def _redden(lens_set: LensSet) -> tuple[float, float] | None:
    return getattr(getattr(lens_set, "header", None), "redden", None)


def _need_both_classes(option: str, *sets: LensSet) -> None:
    for value, name in ((1, "lenses"), (0, "non-lenses")):
        if not any((one.labels == value).any() for one in sets):
            where, has = " and ".join(f"{one.path}" for one in sets), "has" if len(sets) == 1 else "have"
            raise DataError(f"{where}: {has} no {name}; give {option} a set with both classes")


def _refuse_other_pixels(option: str, lens_set: LensSet, trained: Finder) -> None:
    if other := trained.other_pixels(lens_set):
        first = "the first --data" if option == "--data" else "--data"
        raise DataError(f"{lens_set.path}: {other}; give {option} a set with the pixels of {first}")


def _refuse_overlap(option: str, lens_set: LensSet, other_option: str, other: LensSet) -> None:
    if lens_set.content_hash == other.content_hash:
        same = "is given twice" if option == other_option else f"is the same set as {other_option}"
        raise UsageError(f"{lens_set.path}: {same}; give {option} other images")
    drawn = [(one.instrument, one.population, one.seed) for one in (lens_set, other)]
    if None not in drawn[0] and drawn[0] == drawn[1]:
        like = other.path if option == other_option else other_option
        raise UsageError(
            f"{lens_set.path}: was simulated with the same seed {drawn[0][2]} as {like}, so that they have "
            f"images in common; simulate one of them with another --seed"
        )
