"""What a finder takes as input and how it is trained, in the user's words: ``models/<name>/recipe.yaml``."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from lensaudit.documents import read_yaml
from lensaudit.errors import LensauditWarning, UsageError
from lensaudit.files import builtin_folder
from lensaudit.finders.architectures import architecture
from lensaudit.finders.preprocessing import (
    LARGEST_SIZE,
    MOST_BANDS,
    Steps,
    channel_names,
    digest_words,
    in_pixel_units,
    in_words,
)
from lensaudit.finders.stretch import DECLARED, NAMED, STRETCHES
from lensaudit.untrusted import Identifier, printable

CUSTOM = "custom"
"""Architecture name of a finder whose module is the user's own code; it cannot be built from the name."""

OU_TSNE = "ou-tsne"
"""Architecture name of an ensemble on a t-SNE map; it is built from its members' recipes."""

COMMITTEE = "committee"
"""Architecture name of finders whose log-odds become one; it is built from its members' recipes."""

COMMITTEE_KINDS = ("mean", "median", "stack")

RECIPE_FILE = "recipe.yaml"

_IN_UNIT_RANGE = (OU_TSNE, "cae-bgm")
"""Architectures that need every band in [0, 1]: the members of one scale them, the other draws its images so."""

MOST_OUTPUTS = 10_000
"""ImageNet's heads have 1 000; each output of a module costs as many weights as its last layer has features."""
LARGEST_OPTION = 1_000_000
"""Of an architecture's own number, such as its filters or the images on an ensemble's map."""
LONGEST_OPTION = 1000
_MOST_STEPS = 10_000_000


def _bounded(value: bool | int | float | str) -> bool | int | float | str:
    if isinstance(value, str) and len(value) > LONGEST_OPTION:
        raise ValueError(f"has {len(value)} characters, at most {LONGEST_OPTION} are possible")
    if not isinstance(value, str) and abs(value) > LARGEST_OPTION:
        raise ValueError(f"{printable(value, 20)} is not possible; its size is at most {LARGEST_OPTION}")
    return value


OptionValue = Annotated[bool | int | float | str, AfterValidator(_bounded)]


class _Words(BaseModel):
    """Base of what the user writes: unknown fields and infinite numbers are refused, nothing is changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class QuickTraining(_Words):
    """Overrides of `Training` for ``lensaudit train --quick``; what is left out stays."""

    epochs: int | None = Field(default=None, ge=1, le=_MOST_STEPS)
    batch_size: int | None = Field(default=None, ge=1, le=_MOST_STEPS)
    learning_rate: float | None = Field(default=None, gt=0)


class Training(_Words):
    """A training protocol; what is left out is that of Wilde et al. 2022, Section 3.2.

    `schedule`, `augment`: keys of the tables in `lensaudit.training`. `balanced_batches`: half of each batch lenses.
    `patience`: epochs without a lower validation loss that are a plateau; a plateau ends the training, or, with
    ``schedule: plateau``, the third one does. `threshold_fpr`: the false-positive rate at which the finder's threshold
    is set on the validation images; None keeps the recipe's. `half`: weights are kept in 16 bit.
    """

    optimizer: Literal["adam"] = "adam"
    learning_rate: float = Field(default=3e-4, gt=0)
    batch_size: int = Field(default=250, ge=1, le=_MOST_STEPS)
    epochs: int = Field(default=250, ge=1, le=_MOST_STEPS)
    class_weights: Literal["inverse-frequency", "none"] = "inverse-frequency"
    validation_fraction: float = Field(default=0.0625, gt=0, lt=1)
    """Fraction of the set kept for choosing the epoch: 3 000 of 48 000 in the paper."""
    schedule: str = "constant"
    augment: str = "none"
    balanced_batches: bool = False
    patience: int | None = Field(default=None, ge=1, le=_MOST_STEPS)
    threshold_fpr: float | None = Field(default=None, gt=0, lt=1)
    half: bool = False
    quick: QuickTraining = QuickTraining()

    @model_serializer(mode="wrap")
    def _without_unused(self, words: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the newer fields where they say nothing: records written before them stay the same bytes."""
        written: dict[str, Any] = words(self)
        for name in ("schedule", "augment", "balanced_batches", "patience", "threshold_fpr", "half"):
            if getattr(self, name) == Training.model_fields[name].default:
                written.pop(name, None)
        return written

    def quickened(self) -> Training:
        """This protocol with its `quick` overrides applied."""
        return self.model_copy(update=self.quick.model_dump(exclude_none=True))


class Recipe(_Words):
    """A finder's declaration: architecture, bands in order, size in pixels, stretch, field of view in arcsec.

    `extra_inputs` are columns of the catalogue given to the module as planes after the bands; ``psf_angle`` is the
    angle of the PSF on the sky, as the cosine and sine of three times it. `symmetrise` averages the logits over the
    eight rotations and mirrors of the image. `architecture_options` are the architecture's own. `pixel_unit` is what
    a pixel of each band meant to the statistics of the stretch; training sets it. `preprocessing` are steps in place
    of stretch and resizing, see `lensaudit.finders.preprocessing`; the stretch is then ``declared``.
    """

    name: Identifier
    architecture: str
    bands: tuple[Identifier, ...] = Field(min_length=1, max_length=MOST_BANDS)
    size: int = Field(ge=1, le=LARGEST_SIZE)
    stretch: str = "minmax"
    field_of_view_arcsec: float = Field(default=20.0, gt=0, le=36_000)
    outputs: int = Field(default=2, ge=1, le=MOST_OUTPUTS)
    lens_index: int = Field(default=1, ge=0)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    extra_inputs: tuple[Literal["psf_angle"], ...] = ()
    symmetrise: bool = False
    architecture_options: dict[str, OptionValue] = Field(default={}, max_length=64)
    pixel_unit: dict[str, str] = Field(default={}, max_length=MOST_BANDS)
    preprocessing: Steps = ()
    members: tuple[Recipe, ...] = Field(default=(), max_length=MOST_BANDS)
    """Of an ensemble: what each of its finders takes as input, by names that differ."""
    training: Training = Training()

    @model_validator(mode="before")
    @classmethod
    def _declared(cls, words: Any) -> Any:
        if isinstance(words, dict) and words.get("preprocessing"):
            return {"stretch": DECLARED} | words
        return words

    @field_validator("stretch")
    @classmethod
    def _known_stretch(cls, value: str) -> str:
        if value not in STRETCHES:
            raise ValueError(f"{value!r} is not known; allowed: {', '.join(NAMED)}")
        return value

    @field_validator("bands")
    @classmethod
    def _distinct_bands(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"{', '.join(value)} names a band twice; each band once")
        return value

    @model_serializer(mode="wrap")
    def _without_unused(self, words: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the newer fields where they say nothing: records written before them stay the same bytes."""
        written: dict[str, Any] = words(self)
        for name in ("extra_inputs", "symmetrise", "architecture_options", "pixel_unit", "preprocessing", "members"):
            if not getattr(self, name):
                written.pop(name, None)
        if self.stretch == DECLARED:  # the steps say it
            written.pop("stretch", None)
        return written

    @property
    def image_channels(self) -> int:
        """Channels that are made of the image: the bands, or what the preprocessing makes of them."""
        return len(channel_names(self.preprocessing, self.bands)) if self.preprocessing else len(self.bands)

    @property
    def channels(self) -> int:
        """Channels of the module's input: those of the image, and two planes for each extra input."""
        return self.image_channels + 2 * len(self.extra_inputs)

    @property
    def in_pixel_units(self) -> bool:
        """Whether its stretch or preprocessing holds numbers in the unit of a pixel."""
        if self.preprocessing:
            return in_pixel_units(self.preprocessing, self.bands)
        return STRETCHES[self.stretch].in_pixel_units

    @property
    def steps_words(self) -> str:
        """What the hash of a finder takes of its preprocessing steps, and of steps of members of native pixels."""
        if self.preprocessing:
            return digest_words(self.preprocessing)
        return "\n".join(f"{one.name} {digest_words(one.preprocessing)}" for one in self.members if one.preprocessing)

    @property
    def scaling(self) -> str:
        """Its stretch, or the steps of its preprocessing, in words."""
        return in_words(self.preprocessing) if self.preprocessing else self.stretch

    @field_validator("extra_inputs")
    @classmethod
    def _distinct_extra_inputs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"{', '.join(value)} names an input twice; each once")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lens_index >= self.outputs:
            raise ValueError(f"lens_index {self.lens_index} is not below outputs {self.outputs}")
        if bool(self.preprocessing) != (self.stretch == DECLARED):
            raise ValueError(f"stretch {self.stretch} and {len(self.preprocessing)} preprocessing steps: give either")
        try:
            channel_names(self.preprocessing, self.bands)
        except ValueError as unfit:
            raise ValueError(f"preprocessing: {unfit}") from unfit
        if self.preprocessing and self.architecture in _IN_UNIT_RANGE:
            raise ValueError(f"preprocessing does not fit architecture {self.architecture}; take a stretch")
        if self.architecture == CUSTOM:
            return self
        if self.architecture in (OU_TSNE, COMMITTEE):
            return self._consistent_ensemble()
        if self.members:
            raise ValueError(
                f"members do not fit architecture {self.architecture}; {OU_TSNE} and {COMMITTEE} have them"
            )
        if self.extra_inputs and self.architecture.endswith("-p4m"):
            # An angle follows a turn of the image, which a group convolution's plain input channels do not.
            raise ValueError(f"extra_inputs do not fit architecture {self.architecture}, which is blind to angles")
        try:
            needed = architecture(self.architecture)
        except UsageError as unknown:
            raise ValueError(str(unknown)) from unknown
        if needed.size not in (None, self.size):
            raise ValueError(f"size {self.size} does not fit architecture {self.architecture}; it takes {needed.size}")
        for name in self.architecture_options:
            if name not in needed.options:
                raise ValueError(
                    f"architecture {self.architecture} has no option {name!r}; "
                    + (f"it has {', '.join(needed.options)}" if needed.options else "it has none")
                )
        return self

    def _consistent_ensemble(self) -> Self:
        names = [member.name for member in self.members]
        if len(set(names)) < max(len(names), 2):
            raise ValueError(f"members {', '.join(names) or 'none'}: an ensemble has two or more, of different names")
        for member in self.members:
            if unfit := self._why_no_member(member):
                raise ValueError(f"member {member.name}: {unfit}")
            if missing := [band for band in member.bands if band not in self.bands]:
                raise ValueError(f"member {member.name} needs {', '.join(missing)}, which the ensemble's bands lack")
            if member.field_of_view_arcsec != self.field_of_view_arcsec:
                raise ValueError(
                    f"member {member.name} needs {member.field_of_view_arcsec:g}″, the ensemble has "
                    f"{self.field_of_view_arcsec:g}″; take members of one field of view"
                )
        self._check_joining()
        native = str(self.architecture_options.get("native_pixels", "")).split()
        if native and not (len(native) == len(self.bands) and all(map(_is_side, native))):
            raise ValueError(
                f"option native_pixels is {' '.join(native)[:60]!r}; give the pixels along a side of each of the "
                f"bands {', '.join(self.bands)}, such as '66 66 66 200'"
            )
        return self

    def _why_no_member(self, member: Recipe) -> str:
        """Why a finder cannot be a member of this ensemble, with what to do; empty where it can."""
        if member.architecture in (OU_TSNE, COMMITTEE):
            return "is an ensemble itself; name its members"
        if member.architecture == CUSTOM and self.architecture != COMMITTEE:
            return "is no built-in architecture, which a map needs; take --kind mean, median or stack"
        if member.extra_inputs:
            return "reads the catalogue, which members do not get; leave it out"
        return "has a dot in its name; give it another" if "." in member.name else ""

    def _check_joining(self) -> None:
        """What makes one score of the members' is there."""
        options = self.architecture_options
        if self.architecture == COMMITTEE:
            if options.get("kind") not in COMMITTEE_KINDS:
                raise ValueError(f"architecture {COMMITTEE} needs the option kind, one of {', '.join(COMMITTEE_KINDS)}")
            odd = [one.name for one in self.members if self.stretch != "native" and not self._takes_input_of(one)]
            if odd:
                raise ValueError(
                    f"member {odd[0]} takes another input than the committee, whose stretch must be native"
                )
            return
        references = options.get("references")
        if not isinstance(references, int) or references < 1:
            raise ValueError(f"architecture {OU_TSNE} needs the option references, the number of images on its map")

    def _takes_input_of(self, other: Recipe) -> bool:
        """Whether what is prepared for this recipe is what the other takes."""
        return all(
            getattr(self, name) == getattr(other, name) for name in ("bands", "size", "stretch", "preprocessing")
        )


def _is_side(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 4 and 1 <= int(word) <= LARGEST_SIZE


def normal_form(name: str) -> str:
    """The name without case, dashes and underscores: ``OU-66``, ``ou_66`` and ``ou66`` are the same finder."""
    return name.casefold().replace("-", "").replace("_", "")


def builtin_recipes() -> dict[str, Path]:
    """Name of each built-in finder → its folder, in alphabetical order."""
    return {path.parent.name: path.parent for path in sorted(builtin_folder("models").glob(f"*/{RECIPE_FILE}"))}


def builtin_finder_folder(name: str) -> Path:
    """Folder of the built-in finder `name`; case, dashes and underscores do not matter.

    Raises
    ------
    UsageError
        There is none of that name; the message lists what is allowed and the nearest match.
    """
    folders = {normal_form(known): folder for known, folder in builtin_recipes().items()}
    wanted = normal_form(name)
    if wanted in folders:
        return folders[wanted]
    allowed = ", ".join(folder.name for folder in folders.values())
    near = difflib.get_close_matches(wanted, folders, n=1)
    hint = f"; did you mean {folders[near[0]].name}?" if near else ""
    raise UsageError(
        f"finder {name!r} is not known; allowed: {allowed}, a finder's folder or YAML, or package.module:factory{hint}"
    )


def tell_hidden(path: Path, name: str, known: Iterable[str], what: str) -> None:
    """Warn where `path`, in the working folder, is taken although `name` is also one of the built-in names `known`."""
    if os.sep not in name and normal_form(name) in map(normal_form, known):
        warnings.warn(
            f"{what} {name}: .{os.sep}{path} is taken, not the built-in {what} of that name; rename it to have the "
            f"built-in one, or say .{os.sep}{path} to have it without this line",
            LensauditWarning,
            stacklevel=3,
        )


def load_recipe(name: str) -> Recipe:
    """The built-in recipe `name`, or the recipe in the YAML file or folder of that path.

    Raises
    ------
    UsageError
        No such recipe, or a field of it is wrong.
    """
    path = Path(name)
    if path.is_file():
        tell_hidden(path, name, builtin_recipes(), "recipe")
        return read_yaml(path, Recipe)
    if (path / RECIPE_FILE).is_file():
        tell_hidden(path, name, builtin_recipes(), "recipe")
        return read_yaml(path / RECIPE_FILE, Recipe)
    return read_yaml(builtin_finder_folder(name) / RECIPE_FILE, Recipe)
