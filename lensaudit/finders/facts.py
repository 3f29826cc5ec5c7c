"""What ``finder.yaml`` says beside the recipe, and a file of scores beside them: facts with attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from lensaudit.records import Json
from lensaudit.untrusted import Label


class AsGiven(BaseModel):
    """Facts that are checked and have attributes where we know them, and are kept beside them where we do not.

    Written are those that were given, in the order they were given in, and no others.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    _given: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="wrap")
    @classmethod
    def _with_order(cls, words: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        found = handler(words)
        if isinstance(words, Mapping):
            found._given = tuple(map(str, words))
        return found

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> Json:
        words = handler(self)
        return {name: words[name] for name in self._given if name in words}

    def to_json(self) -> Json:
        """The facts as they were given."""
        return self.model_dump(mode="json")

    def __bool__(self) -> bool:
        """Whether there is any fact."""
        return bool(self._given)


class SetFacts(AsGiven):
    """One of several sets that a finder was trained on; numbers are of its images with a label."""

    set: str
    instrument: Label | None = None
    population: str | None = None
    redden: tuple[float, float] | None = None
    n_labelled: int | None = Field(default=None, ge=0)
    n_lenses: int | None = Field(default=None, ge=0)


class TrainingFacts(AsGiven):
    """What a finder was trained on; others of its facts are only shown.

    Attributes
    ----------
    set, validation_set, test_set
        SHA-256 of the content of each set; `set` of several is that of their hashes.
    sets
        Those that it was trained on, where they are several.
    earlier_sets
        Those that the finders it goes on from, or is made of, were trained on.
    redden
        Between which strengths the colours of its arcs were drawn; None of other sets.
    n_training, n_validation, n_test
        Numbers of images.
    training_lens_fraction
        Of the training images.
    seed
        That everything random was derived from.
    split_seed
        That the validation images were taken with, where it is another.
    """

    set: str | None = None
    sets: tuple[SetFacts, ...] | None = None
    earlier_sets: tuple[str, ...] | None = None
    validation_set: str | None = None
    test_set: str | None = None
    instrument: Label | None = None
    population: str | None = None
    redden: tuple[float, float] | None = None
    pixel_scale_arcsec: dict[str, Annotated[float, Field(gt=0, le=3600)]] | None = None
    n_training: int | None = Field(default=None, ge=0)
    n_validation: int | None = Field(default=None, ge=0)
    n_test: int | None = Field(default=None, ge=0)
    training_lens_fraction: float | None = Field(default=None, ge=0, le=1)
    balanced_batches: bool | None = None
    seed: int | None = None
    split_seed: int | None = None

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Content hashes of all sets that the weights were trained on, those of earlier stages too."""
        several = [one.set for one in self.sets or ()]
        known = [*([] if self.set is None else [self.set]), *several, *(self.earlier_sets or ())]
        return tuple(dict.fromkeys(known))

    def seen_as(self, content_hash: str) -> str:
        """What the set of that content was in the making: ``training``, ``validation``, or empty."""
        if content_hash in self.trained_on:
            return "training"
        return "validation" if content_hash == self.validation_set else ""


class Making(AsGiven):
    """How scores were made, as far as their file says: command, and name of each input → SHA-256 of its content."""

    command: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)


class ScoresRecord(AsGiven):
    """What a file of scores says of them; it says nothing where another program wrote it.

    Attributes
    ----------
    finder
        Its name.
    prior, trained_share
        Fraction of lenses that p is also given for, and the one its training made the finder expect.
    compiled
        Whether the finder's module was called as compiled code.
    key
        What a piece that a later run takes up was made of.
    """

    finder: str | None = None
    compiled: bool = False
    field_of_view_arcsec: float | None = None
    prior: float | None = None
    trained_share: float | None = None
    key: JsonValue = None
    provenance: Making = Field(default_factory=Making)


class MetricFacts(AsGiven):
    """A metric with its interval; None where it was not measured, and `status` says why."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    status: str = ""


class MeasuredFacts(AsGiven):
    """Metrics of a finder on one set: counts, the threshold it was called at, and each metric that was measured."""

    n: int | None = None
    n_lenses: int | None = None
    n_non_lenses: int | None = None
    n_unscored: int | None = None
    threshold: float | None = None
    beta: float | None = None
    auroc: MetricFacts | None = None
    tpr_at_fpr: MetricFacts | None = None
    tpr0: MetricFacts | None = None
    tpr10: MetricFacts | None = None
    accuracy: MetricFacts | None = None
    precision: MetricFacts | None = None
    recall: MetricFacts | None = None
    fbeta: MetricFacts | None = None


class MapFacts(AsGiven):
    """The map of an ensemble; `brier_left_out` is the error of each grid that was tried, by its side in cells."""

    cells: int | None = None
    cells_with_images: int | None = None
    cells_with_one_image: int | None = None
    median_images_per_filled_cell: float | None = None
    brier_left_out: dict[str, float] | None = None


class CalibrationFacts(AsGiven):
    """How scores became probabilities; see `lensaudit.statistics.Calibrator`."""

    method: str
    prevalence: float
    n_lenses: int
    n_non_lenses: int
    set: str


class FinderMetrics(AsGiven):
    """What was measured when the weights were written; of a clustering and an ensemble, also what they are made of.

    Attributes
    ----------
    late_fall
        Fraction by which the last third of the epochs lowered the lowest validation loss.
    validation, test
        On the set that chose the epoch, and on one that chose nothing.
    members
        Of an ensemble: name → the same on the test set.
    map
        Of an ensemble.
    calibration
        Of a calibrated finder.
    """

    epochs: int | None = None
    best_epoch: int | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    late_fall: float | None = None
    validation: MeasuredFacts | None = None
    test: MeasuredFacts | None = None
    members: dict[str, MeasuredFacts] | None = None
    map: MapFacts | None = None
    calibration: CalibrationFacts | None = None
