"""An arm of an experiment: edits applied one after the other, some of them at a strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lensaudit.errors import UsageError
from lensaudit.files import sha256
from lensaudit.foreign_code import in_charge
from lensaudit.probes.edits import EDITS, IDENTITY, Edit, Level, find_edit
from lensaudit.scenes import Scene

Images = Mapping[str, NDArray[np.float32]]


class Step(BaseModel):
    """One edit of an arm, as a definition writes it: a name alone, or a mapping.

    Attributes
    ----------
    edit
        A name in `EDITS`, or the user's own ``package.module:function``.
    strength
        How much of it; None takes the dose.
    level
        What the user's own edit acts on, ``scene`` or ``image``; a built-in one knows.
    parameters
        Further arguments by name, for instance the ``path`` of a kernel.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    edit: Annotated[str, Field(max_length=200)]
    strength: float | None = None
    level: Level = "scene"
    parameters: Annotated[dict[str, str | float], Field(max_length=100)] = {}

    @model_validator(mode="after")
    def _known(self) -> Step:
        try:
            self.found()
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self

    def found(self) -> Edit:
        """The edit itself."""
        return find_edit(self.edit, self.level)

    def at(self, dose: float | None) -> Step:
        """The step with its strength settled."""
        return self if self.strength is not None or dose is None else self.model_copy(update={"strength": dose})

    def describe(self) -> str:
        """The step in words: ``source-colour at 0.5``."""
        return self.edit if self.strength is None else f"{self.edit} at {self.strength:g}"


def _as_steps(value: Any) -> Any:
    if isinstance(value, str):
        return ({"edit": value},)
    if isinstance(value, Mapping):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple({"edit": one} if isinstance(one, str) else one for one in value)
    return value


Steps = Annotated[tuple[Step, ...], BeforeValidator(_as_steps)]
"""A name, one step, or a list of both."""


@dataclass(frozen=True)
class Arm:
    """One arm: its steps with all strengths settled, and the dose they belong to (None for the control)."""

    steps: tuple[Step, ...]
    dose: float | None = None

    @property
    def is_identity(self) -> bool:
        """Whether nothing is asked to change."""
        return all(step.edit == IDENTITY for step in self.steps)

    @property
    def label(self) -> int | None:
        """The label the steps declare, None where they leave it."""
        labels = [step.found().label for step in self.steps]
        return next((label for label in reversed(labels) if label is not None), None)

    @property
    def acts_on_images(self) -> bool:
        """Whether a step changes the rendered images."""
        return any(step.found().level == "image" for step in self.steps)

    @property
    def inputs(self) -> dict[str, str]:
        """Files the arm reads, kernels and the user's own edits → SHA-256."""
        read: dict[str, str] = {}
        for step in self.steps:
            if own := step.found().source_hash:
                read[step.edit] = own
            path = Path(str(step.parameters.get("path", "")))
            if path.is_file():
                read[path.name] = sha256(path)
        return read

    def describe(self) -> str:
        """All steps in words."""
        return ", then ".join(step.describe() for step in self.steps)

    def scene(self, scene: Scene) -> Scene:
        """The scene of this arm.

        Raises
        ------
        LensauditError
            An edit refuses the scene, or the user's own edit fails or returns something else.
        """
        for step in self._of("scene"):
            scene = _edited_scene(step, scene)
        return scene

    def images(self, images: Images, seed: int) -> dict[str, NDArray[np.float32]]:
        """The images (h, w) of this arm; every arm of a pair is given the same `seed`."""
        edited = dict(images)
        for step in self._of("image"):
            edited = _edited_images(step, edited, seed)
        return edited

    def _of(self, level: Level) -> list[Step]:
        return [step for step in self.steps if step.found().level == level]


def _edited_scene(step: Step, scene: Scene) -> Scene:
    edit = step.found()
    with in_charge(f"edit '{step.edit}', on a {scene.kind} scene,"):
        found = edit.apply(scene, 0.0 if step.strength is None else step.strength, **step.parameters)
    if not isinstance(found, Scene):
        raise UsageError(f"edit '{step.edit}' returned {type(found).__name__}; return a Scene")
    if found.noise_seed != scene.noise_seed:
        raise UsageError(f"edit '{step.edit}' changes the noise seed; keep it, or both arms differ by their noise")
    if edit.label is None and found.label != scene.label:
        raise UsageError(
            f"edit '{step.edit}' turns a {'lens' if scene.label else 'non-lens'} into a "
            f"{'lens' if found.label else 'non-lens'}; an edit must keep the label"
        )
    return found


def _edited_images(step: Step, images: Images, seed: int) -> dict[str, NDArray[np.float32]]:
    edit = step.found()
    rng = np.random.default_rng([seed, 77])
    # The user's own edit may write into what it is given, and other arms may share it.
    given = images if step.edit in EDITS else {band: image.copy() for band, image in images.items()}
    with in_charge(f"edit '{step.edit}'"):
        found = edit.apply(given, 0.0 if step.strength is None else step.strength, rng, **step.parameters)
        checked = {band: np.asarray(found[band], dtype=np.float32) for band in images}
    for band, image in images.items():
        if checked[band].shape != image.shape:
            raise UsageError(f"edit '{step.edit}' changes the shape of band {band}: {checked[band].shape}; keep it")
    return checked
