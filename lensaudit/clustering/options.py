"""What can be chosen about clustering a set: the user's words, checked."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lensaudit.errors import UsageError
from lensaudit.finders import Recipe

AUGMENTS = ("none", "dihedral")


class ClusterOptions(BaseModel):
    """Everything that decides the clusters besides the recipe and the images.

    Attributes
    ----------
    denoiser_epochs, epochs
        Passes over the images that train the denoiser, and then the feature extractor.
    batch_size, learning_rate
        Of Adam, in both.
    augment
        ``none`` (the paper), or ``dihedral``: each image in one of its eight orientations, anew in every epoch.
    images
        How many images of the set are drawn to train on and to cluster; None for all.
    validation_fraction
        Fraction of them whose reconstruction is measured after each epoch and never trained on; clustered like the
        others.
    precision
        ``full``, or ``bf16``: the training steps' convolutions in bfloat16.
    seed
        Images, weights, order, orientations and the mixture's start are derived from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    denoiser_epochs: int = Field(ge=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=10)
    augment: Literal["none", "dihedral"] = "none"
    images: int | None = Field(default=None, ge=2)
    validation_fraction: float = Field(default=0.0625, gt=0, lt=1)
    precision: Literal["full", "bf16"] = "full"
    seed: int = Field(default=1, ge=0, lt=2**63)

    @classmethod
    def of(cls, recipe: Recipe, **overrides: Any) -> Self:
        """The recipe's protocol with the user's words on top; ``None`` leaves what the recipe says.

        Raises
        ------
        UsageError
            A value is out of range or not known.
        """
        protocol = recipe.training
        words: dict[str, Any] = {
            "denoiser_epochs": protocol.epochs,
            "epochs": protocol.epochs,
            "batch_size": protocol.batch_size,
            "learning_rate": protocol.learning_rate,
            "validation_fraction": protocol.validation_fraction,
            **{name: value for name, value in overrides.items() if value is not None},
        }
        try:
            return cls.model_validate(words)
        except ValidationError as invalid:
            first = invalid.errors(include_url=False, include_context=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"cluster option {field} = {first['input']!r}: {first['msg']}; correct it") from invalid
