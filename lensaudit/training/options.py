"""What can be chosen about a training: the user's settings, checked, and where the arithmetic happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lensaudit.documents import Json
from lensaudit.errors import UsageError
from lensaudit.finders.recipe import Training
from lensaudit.training.augment import AUGMENTATIONS, SCHEDULES, has_ended
from lensaudit.training.prepared import INPUTS

EXTENDABLE_SCHEDULE = "constant"

PRECISIONS = ("full", "bf16")
"""What ``--precision`` may say; ``full`` is float32 throughout."""


class TrainingOptions(BaseModel):
    """Everything that decides the final weights besides the recipe and the data.

    Attributes
    ----------
    schedule
        A key of `SCHEDULES`; ``constant`` is the protocol of Wilde et al. 2022.
    augment
        A key of `AUGMENTATIONS`; ``none`` is the protocol.
    class_weights
        Weights of the classes in the loss: inverse to their frequencies (the protocol), or none.
    inputs
        ``as-is`` (the protocol), or ``standardised``; see `lensaudit.training.prepared`.
    seed
        Initial weights, split, order, dropout and augmentation are derived from it.
    validation_fraction
        Fraction of the set kept for choosing the epoch; unused where a validation set is given.
    start
        Finder (name or folder) of the same architecture whose weights training begins from, with the recipe's bands
        and perhaps more; ``None`` draws them (the protocol).
    pretrained
        File with weights for the body of a transfer finder, or ``hub``; ``None`` leaves the body's weights random.
    dropout
        Probability in place of the architecture's own (the protocol: 0.2).
    precision
        ``full``, or ``bf16``: the training steps' convolutions in bfloat16, on weights kept in float32. Validation
        and the finished finder are float32 in either case.
    balanced_batches, patience, threshold_fpr, half
        As in `lensaudit.finders.Training`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=10)
    schedule: str = EXTENDABLE_SCHEDULE
    augment: str = "none"
    inputs: str = INPUTS[0]
    seed: int = Field(default=0, ge=0, lt=2**63)
    class_weights: Literal["inverse-frequency", "none"] = "inverse-frequency"
    validation_fraction: float = Field(default=0.0625, gt=0, lt=1)
    start: str | None = None
    pretrained: str | None = None
    dropout: float | None = Field(default=None, ge=0, lt=1)
    precision: str = PRECISIONS[0]
    balanced_batches: bool = False
    patience: int | None = Field(default=None, ge=1)
    threshold_fpr: float | None = Field(default=None, gt=0, lt=1)
    half: bool = False

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, value: str) -> str:
        return _known(value, tuple(SCHEDULES))

    @field_validator("augment")
    @classmethod
    def _known_augmentation(cls, value: str) -> str:
        return _known(value, tuple(AUGMENTATIONS))

    @field_validator("inputs")
    @classmethod
    def _known_inputs(cls, value: str) -> str:
        return _known(value, INPUTS)

    @field_validator("precision")
    @classmethod
    def _known_precision(cls, value: str) -> str:
        return _known(value, PRECISIONS)

    @classmethod
    def of(cls, protocol: Training, **overrides: Any) -> Self:
        """The recipe's protocol with the user's settings on top; ``None`` leaves the protocol's value.

        Raises
        ------
        UsageError
            A value is out of range or not known.
        """
        words: Json = {name: getattr(protocol, name) for name in Training.model_fields if name in cls.model_fields}
        words.update({name: value for name, value in overrides.items() if value is not None})
        try:
            return cls.model_validate(words)
        except ValidationError as invalid:
            first = invalid.errors(include_url=False, include_context=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"training option {field} = {first['input']!r}: {message}; correct it") from invalid

    def is_over(self, epoch: int, losses: Sequence[float]) -> bool:
        """Whether the training has ended after `epoch` epochs with these validation losses."""
        return epoch >= self.epochs or has_ended(self.schedule, self.patience, losses)

    def identity(self) -> Json:
        """What a resumed training must share; a constant rate may go on for more epochs."""
        words = self.model_dump()
        if self.schedule == EXTENDABLE_SCHEDULE:
            del words["epochs"]
        for name, usual in (("inputs", INPUTS[0]), ("precision", PRECISIONS[0])):
            if words[name] == usual:
                del words[name]  # checkpoints older than this option go on
        del words["pretrained"]  # named by its content, see `lensaudit.training.run`
        for name in ("start", "dropout", "patience", "threshold_fpr"):
            if words[name] is None:
                del words[name]
        for name in ("balanced_batches", "half"):
            if not words[name]:
                del words[name]
        return words


@dataclass(frozen=True)
class Machine:
    """Where and how the arithmetic happens; changes results by rounding only.

    Attributes
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    threads
        CPU threads, ``None`` for torch's own choice.
    channels_last
        Memory format of images and weights; ``None`` chooses channels last, the faster one wherever we measured.
    compile
        Run the module through ``torch.compile``: a minute before the first step, and no gain seen on a CPU (ou66, one
        thread: 98 images per CPU second with it, 103 without).
    processes
        That each batch is divided over, one a device.
    """

    device: str = "auto"
    threads: int | None = None
    channels_last: bool | None = None
    compile: bool = False
    processes: int = 1

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads {self.threads}: at least 1 is needed")
        if self.processes < 1:
            raise UsageError(f"--processes {self.processes}: at least 1 is needed")


def _known(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"not known; allowed: {', '.join(allowed)}")
    return value
