"""An arm of an experiment: edits applied one after the other, some of them at a strength."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from lensaudit.errors import UsageError
from lensaudit.files import sha256
from lensaudit.foreign_code import imported, in_charge
from lensaudit.imaging import image_edits, pipeline_edits
from lensaudit.kept import key_of
from lensaudit.scenes import Scene
from lensaudit.scenes import edits as scene_edits

Level = Literal["scene", "image"]
IDENTITY = "identity"
SNR_HELD = "arc-snr-held"
"""The edit that makes the source as bright as it takes for the arc's S/N at the last dose."""


@dataclass(frozen=True)
class Edit:
    """A named edit; it keeps the noise seed, so that all arms of a pair share their noise.

    Attributes
    ----------
    apply
        ``apply(scene, strength, **parameters) -> Scene``, or, of images, ``apply(images, strength, rng) -> images``.
    level
        What it acts on.
    colour
        It changes colours only, which a finder of one band cannot see.
    label
        What the treated scene is: a lens as before (None), or a non-lens (0), where the edit takes the lensing away.
    source_hash
        SHA-256 of the file a user's own edit stands in: answers to its images are kept under it. Built-in: empty.
    """

    name: str
    apply: Callable[..., Any]
    description: str
    level: Level = "scene"
    colour: bool = False
    label: int | None = None
    source_hash: str = ""


def _identity(scene: Scene, _strength: float = 0.0) -> Scene:
    return scene


def _without_far_source(scene: Scene, _strength: float = 0.0) -> Scene:
    return scene_edits.without_far_source(scene)


def _source_texture(scene: Scene, strength: float, *, sources: str = "") -> Scene:
    from lensaudit.injection.texture import source_texture  # reads images

    return source_texture(scene, strength, sources=sources)


def _by_name(*edits: Edit) -> dict[str, Edit]:
    named = {edit.name: edit for edit in edits}
    if len(named) != len(edits):
        raise ValueError("two edits share one name")
    return named


EDITS = _by_name(
    Edit(IDENTITY, _identity, "the scene as drawn"),
    Edit("without-far-source", _without_far_source, "the far source removed: an ordinary single lens remains"),
    Edit("source-colour", scene_edits.source_colour, "colour of the source, VIS magnitude fixed", colour=True),
    Edit("source-colour-total-flux", scene_edits.source_colour_total_flux, "colour of the source, total flux fixed"),
    Edit("second-source", scene_edits.second_source, "a second, farther source lensed by the same galaxy"),
    Edit("source-dimmed", scene_edits.source_dimmed, "source fainter in all bands"),
    Edit(SNR_HELD, _identity, "source fainter or brighter in all bands, so that the arc has the S/N of the last dose"),
    Edit("source-clumpiness", scene_edits.source_clumpiness, "part of the source's light in clumps"),
    Edit("source-texture", _source_texture, "the source as a real galaxy, or as the smooth one like it"),
    Edit("source-size", scene_edits.source_size, "size of the source, flux (or surface brightness) fixed"),
    Edit("source-sersic", scene_edits.source_sersic, "Sérsic index of the source, flux and half-light radius fixed"),
    Edit("source-offset", scene_edits.source_offset, "distance of the source from the deflector in θ_E"),
    Edit("einstein-radius", scene_edits.einstein_radius, "Einstein radius, all light as it was"),
    Edit("psf-angle", scene_edits.psf_angle, "turn of the point-spread function"),
    Edit("psf-from-file", scene_edits.psf_from_file, "point-spread function of a file, turned"),
    Edit("psf-round", scene_edits.psf_round, "round point-spread function"),
    Edit("psf-width", scene_edits.psf_width, "width of the point-spread function"),
    Edit("off-centre", scene_edits.off_centre, "distance of the lens from the cutout's centre"),
    Edit("lens-colour", scene_edits.lens_colour, "colour of the lens galaxy, VIS magnitude fixed", colour=True),
    Edit("lens-light", scene_edits.lens_light, "part of the lens galaxy's light removed"),
    Edit("noise-level", scene_edits.noise_level, "background noise"),
    Edit("companions", scene_edits.companions, "blue galaxies beside the lens"),
    Edit("unlensed", scene_edits.unlensed, "lensing switched off, the same galaxies", label=0),
    Edit("as-spiral", scene_edits.as_spiral, "spiral arms in place of the arcs", label=0),
    Edit("as-ring", scene_edits.as_ring, "a ring of the galaxy's own in place of the arcs", label=0),
    Edit("as-merger", scene_edits.as_merger, "a second nucleus and debris in place of the arcs", label=0),
    Edit("orientation", image_edits.orientation, "one of the eight rotations and mirrors", "image"),
    Edit("sub-pixel-shift", image_edits.sub_pixel_shift, "shift by less than a pixel", "image"),
    Edit("band-swap", image_edits.band_swap, "bands in another order", "image", colour=True),
    Edit("band-duplicate", image_edits.band_duplicate, "the first band in place of all", "image", colour=True),
    Edit("recolour", image_edits.recolour, "bands brighter the redder they are", "image", colour=True),
    Edit("added-noise", image_edits.added_noise, "noise added to the image", "image"),
    Edit("background-offset", image_edits.background_offset, "a constant added to the image", "image"),
    Edit("zero-point", pipeline_edits.zero_point, "pixels in another unit", "image"),
    Edit("jpeg", pipeline_edits.jpeg, "stored as JPEG", "image"),
    Edit("eight-bit", pipeline_edits.eight_bit, "rounded to whole levels", "image"),
    Edit("resampled", pipeline_edits.resampled, "resampled by another interpolation", "image"),
    Edit("pixel-scale", pipeline_edits.pixel_scale, "pixels of another size than stated", "image"),
    Edit("clipped-range", pipeline_edits.clipped_range, "cut off at a percentile", "image"),
)


def find_edit(name: str, level: Level = "scene") -> Edit:
    """A built-in edit, or the user's own, named ``package.module:function``.

    Raises
    ------
    UsageError
        There is no such edit, or its module cannot be imported.
    """
    if name in EDITS:
        return EDITS[name]
    if ":" not in name:
        raise UsageError(f"edit '{name}' is unknown; allowed: {', '.join(EDITS)}, or package.module:function")
    return _foreign(name, level)


@lru_cache(maxsize=64)
def _foreign(name: str, level: Level) -> Edit:
    found, file = imported(name, f"edit '{name}'", "function")
    source_hash = "" if file is None else sha256(file)
    return Edit(name, found, (found.__doc__ or name).strip().splitlines()[0], level, source_hash=source_hash)


def digest_of_files(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder with their names; empty where there is nothing."""
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        return ""
    return key_of({one.name: sha256(one) for one in sorted(path.iterdir()) if one.is_file()})


Images = Mapping[str, NDArray[np.float32]]


RECORDED = "as a result records it"
"""Validation context of a definition that was checked when the probe was run: nothing it names is looked up, so that
no result needs, or runs, somebody's own edit to be read."""


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
    def _known(self, info: ValidationInfo) -> Step:
        if info.context == RECORDED:
            return self
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
    """One arm: its steps with all strengths settled, and the dose they belong to (None for the control).

    `snr_of` are the steps of another arm where the arc is to have the S/N that it has there; else none.
    """

    steps: tuple[Step, ...]
    dose: float | None = None
    snr_of: tuple[Step, ...] = field(default=(), repr=False)

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
            if sources := str(step.parameters.get("sources", "")):
                read[f"sources {Path(sources).name}"] = digest_of_files(Path(sources))
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
