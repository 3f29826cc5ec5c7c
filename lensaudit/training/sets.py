"""The sets a training uses, checked before anything expensive starts, and the batches read from them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.finders.facts import TrainingFacts
from lensaudit.finders.layers import DIHEDRAL
from lensaudit.finders.refit import statistics_of
from lensaudit.training.augment import UNIFORMS, class_weights
from lensaudit.training.group import ALONE, BatchPart, Group
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


class Purpose(IntEnum):
    """What a stream is for; the values are part of the results and are never re-used."""

    WEIGHTS = 1
    SPLIT = 2
    ORDER = 3
    AUGMENT = 4
    DROPOUT = 5


def stream(seed: int, purpose: Purpose, *where: int) -> np.random.Generator:
    """Generator of (seed, purpose, epoch, step); SFC64, the quickest of numpy's."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, int(purpose), *where])))


def torch_seed(seed: int, purpose: Purpose, *where: int) -> int:
    """A 63-bit seed for a ``torch.Generator``."""
    return int(stream(seed, purpose, *where).integers(2**63 - 1))


class Batch(NamedTuple):
    """Undecoded images, small enough to travel.

    Attributes
    ----------
    codes, scales
        See `PreparedSet.read`.
    is_lens
        0.0 or 1.0 (n,).
    choices
        Integers in [0, 8) (n,) for the augmentation.
    uniform
        Numbers in [0, 1) (n, `UNIFORMS`) for the augmentation.
    part
        Which images of the batch these are: all, or those of one process.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    is_lens: torch.Tensor
    choices: torch.Tensor
    uniform: torch.Tensor
    part: BatchPart

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        codes, scales, is_lens, choices, uniform = (
            tensor.to(device, non_blocking=True)
            for tensor in (self.codes, self.scales, self.is_lens, self.choices, self.uniform)
        )
        return Batch(codes, scales, is_lens, choices, uniform, self.part)


@dataclass(frozen=True)
class Batches:
    """The batches of one epoch, the last one possibly short.

    Attributes
    ----------
    prepared, order
        Where the images are, and the order in which they come.
    batch_size
        Images per batch.
    seed, epoch
        The augmentation's choices of a batch are drawn from these and its number.
    first
        Number of batches already done, when a killed epoch goes on.
    group
        The processes that each batch is divided over; what is drawn for an image does not depend on them.
    """

    prepared: PreparedSet
    order: Rows
    batch_size: int
    seed: int = 0
    epoch: int = 0
    first: int = 0
    group: Group = ALONE

    def __len__(self) -> int:
        return count_batches(len(self.order), self.batch_size) - self.first

    def __iter__(self) -> Iterator[Batch]:
        numbers = range(self.first, self.first + len(self))
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self._read, self.first) if len(self) else None
            for number in numbers:
                assert ahead is not None
                batch = ahead.result()
                if number + 1 < numbers.stop:
                    ahead = reader.submit(self._read, number + 1)
                yield batch

    def _read(self, number: int) -> Batch:
        which = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        part = self.group.part(len(which))
        own = which[part.rows]
        codes, scales = self.prepared.read(own)
        labels = torch.from_numpy(self.prepared.labels[own].astype(np.float32))
        generator = stream(self.seed, Purpose.AUGMENT, self.epoch, number)
        turns = torch.from_numpy(generator.integers(DIHEDRAL, size=len(which))[part.rows])
        uniform = torch.from_numpy(generator.random((len(which), UNIFORMS), dtype=np.float32)[part.rows])
        return Batch(codes, scales, labels, turns, uniform, part)


def shuffled(rows: Rows, seed: int, epoch: int) -> Rows:
    """`rows` in the order of epoch `epoch`."""
    return stream(seed, Purpose.ORDER, epoch).permutation(rows)


def balanced(rows: Rows, labels: NDArray[np.integer], seed: int, epoch: int) -> Rows:
    """An order for epoch `epoch` in which lenses and non-lenses take turns, so that every batch is half of each.

    The smaller class comes round again, in another order each time, until the larger one has been seen.

    Parameters
    ----------
    rows
        What to order (n,).
    labels
        0 or 1 of each of them (n,).
    """
    generator = stream(seed, Purpose.ORDER, epoch)
    classes = [rows[labels == value] for value in (0, 1)]
    longest = max(len(members) for members in classes)
    rounds = [
        np.concatenate([generator.permutation(members) for _ in range(-(-longest // len(members)))])[:longest]
        for members in classes
    ]
    return np.stack(rounds, axis=1).ravel()


def epoch_size(labels: NDArray[np.integer], balance: bool) -> int:
    """Images of an epoch over images with these labels."""
    lenses = int((labels == 1).sum())
    return 2 * max(lenses, len(labels) - lenses) if balance else len(labels)


def count_batches(images: int, batch_size: int) -> int:
    """Batches per epoch, the short last one counted."""
    return -(-images // batch_size)


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

    def facts(self, split: Split) -> TrainingFacts:
        """What a model card says of the data."""
        facts = {
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
        if redden := getattr(getattr(self.training, "header", None), "redden", None):
            facts["redden"] = redden
        return TrainingFacts.model_validate(facts)


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
    measured = recipe.in_pixel_units
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
