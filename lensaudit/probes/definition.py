"""A probe as its author writes it: one YAML, checked before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from lensaudit.documents import read_yaml
from lensaudit.errors import NoSuchFile, UsageError
from lensaudit.files import builtin_folder
from lensaudit.imaging import Instrument, get_instrument
from lensaudit.imaging.psf import check_kernel
from lensaudit.probes.experiment import Drawn
from lensaudit.probes.steps import IDENTITY, RECORDED, SNR_HELD, Arm, Step, Steps
from lensaudit.scenes import POPULATIONS
from lensaudit.untrusted import Identifier, Label

FROM_FILE = "psf-from-file"
TEXTURE = "source-texture"

Text = Annotated[str, Field(max_length=4000)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Nature = Literal["nuisance", "population", "difficulty", "contaminant"]


class Checked(BaseModel):
    """A block of a probe definition: unknown fields are refused, nothing can be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Edits(Checked):
    """The edits that make each arm out of the drawn scene; a treated step without a strength takes the dose."""

    control: Steps = (Step(edit=IDENTITY),)
    treated: Steps = (Step(edit=IDENTITY),)


class Physical(Checked):
    """What a dose is on the sky, in words that follow "lenses", ``{value}`` in each.

    Attributes
    ----------
    column
        Truth column whose median over the systems is the value; None where the dose itself is.
    at
        At one dose: ``whose source has VIS − H = {value}``; empty takes the phrase of the doses.
    above, below
        Beyond a dose on one side of the control: ``whose source is redder than VIS − H = {value}``; empty where that
        side has no name.
    """

    column: str | None = None
    at: str = ""
    above: str = ""
    below: str = ""

    @model_validator(mode="after")
    def _filled(self) -> Physical:
        for field in ("at", "above", "below"):
            if getattr(self, field) and "{value}" not in getattr(self, field):
                raise ValueError(f"{field} needs {{value}} in it")
        return self


class Doses(Checked):
    """The strengths at which the treated arm is asked for, the mildest first.

    Attributes
    ----------
    label
        Axis label with the unit.
    phrase
        Condition for a sentence, ``{dose}`` in it: ``at an Einstein radius of {dose}″``.
    control
        Strength at which the control stands on the axis; None where it has no place there.
    physical
        What a dose is on the sky; None where the phrase says it.
    """

    label: Text
    phrase: Text
    values: Annotated[tuple[float, ...], Field(min_length=1, max_length=100)]
    control: float | None = None
    physical: Physical | None = None

    @model_validator(mode="after")
    def _differ(self) -> Doses:
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"values must differ, got {list(self.values)}")
        if "{dose}" not in self.phrase:
            raise ValueError("phrase needs {dose} in it")
        return self


class Mode(Checked):
    """One way of drawing the scenes: label of a population → its name in `lensaudit.scenes`.

    `stretch` replaces the finder's own (`lensaudit.finders` names them) in both arms; None leaves it.
    """

    populations: Annotated[dict[Label, Identifier], Field(min_length=1, max_length=100)]
    stretch: str | None = None
    note: Text = ""

    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> Mode:
        if info.context == RECORDED:
            return self
        for name in self.populations.values():
            if name not in POPULATIONS:
                raise ValueError(f"population '{name}' is unknown; allowed: {', '.join(POPULATIONS)}")
        if self.stretch is not None:
            from lensaudit.finders.stretch import NAMED  # imports torch

            if self.stretch not in NAMED:
                raise ValueError(f"stretch '{self.stretch}' is unknown; allowed: {', '.join(NAMED)}")
        return self


class LensRule(Checked):
    """Which pairs hold a visible lens: each truth column must lie above its value, in both arms."""

    name: Text
    above: Annotated[dict[str, float], Field(min_length=1, max_length=100)]

    def describe(self) -> str:
        """The rule as a condition, e.g. ``magnification > 1.6 and n_arc_pixels > 20``."""
        return " and ".join(f"{column} > {value:g}" for column, value in self.above.items())


class Axis(Checked):
    """How a truth column is binned and called on a figure, unit included."""

    label: Text
    edges: Annotated[list[float], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _rising(self) -> Axis:
        if any(high <= low for low, high in pairwise(self.edges)):
            raise ValueError(f"bin edges must rise, got {self.edges}")
        return self


class Published(Checked):
    """Recall others have reported, on their images: shown beside ours, never mixed with it."""

    source: Text
    caption: Text
    threshold: Fraction
    recall: dict[str, dict[str, float]]


class ProbeDefinition(Checked):
    """A probe: two edits of one scene, the populations it is asked of, and what a fair finder would do.

    `nature` says what a fair finder would do: ``nuisance`` nothing may change, ``population`` such lenses exist and
    must not be lost, ``difficulty`` losing some is natural and the survey must know how many, ``contaminant`` the
    treated arm holds no lens and must be refused. `consequence` ends the sentence of a finding: what it means for a
    survey. `curves` maps truth columns of the last treated arm to bins. `full_instrument` is the whole instrument where
    it is none that is shipped under the name `instrument`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
    title: Text
    question: Text
    meaning: Text
    nature: Nature
    instrument: Identifier
    full_instrument: Instrument | None = None
    edits: Edits
    doses: Doses | None = None
    consequence: Text = "such lenses will be missed"
    audited: bool = True
    tolerance: Fraction = 0.05
    default_mode: str
    modes: Annotated[dict[Label, Mode], Field(min_length=1, max_length=100)]
    lens_rule: LensRule | None = None
    curves: Annotated[dict[str, Axis], Field(max_length=100)] = {}
    published: Published | None = None

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> ProbeDefinition:
        if self.default_mode not in self.modes:
            raise ValueError(f"default_mode '{self.default_mode}' is none of modes: {', '.join(self.modes)}")
        if info.context == RECORDED:
            return self
        dosed = [step.edit for step in self.edits.treated if step.strength is None and step.edit != IDENTITY]
        if self.doses and not dosed:
            raise ValueError("doses are given, but every treated step has a strength of its own; leave one out")
        declared = self.arms()[-1].label == 0
        if declared != (self.nature == "contaminant"):
            raise ValueError(
                f"nature '{self.nature}' does not fit: the treated edit "
                f"{'takes the lensing away, so it is a contaminant' if declared else 'leaves a lens a lens'}"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        words: dict[str, Any] = handler(self)
        if self.full_instrument is None:  # results of before keep their bytes
            words.pop("full_instrument", None)
        else:
            words["full_instrument"] = self.full_instrument.to_json()
        return words

    @property
    def seen_by(self) -> Instrument:
        """The instrument of its scenes."""
        return get_instrument(self.instrument) if self.full_instrument is None else self.full_instrument

    def drawn(self, population: str, seed: int, n: int) -> Drawn:
        """Scenes of a population as this probe's instrument sees them."""
        return Drawn(population, seed, n, self.instrument, self.full_instrument)

    def arms(self) -> tuple[Arm, ...]:
        """The control and then one treated arm for each dose.

        Where the S/N of the arc is held, it is that of the last dose, without its being held.
        """
        doses = self.doses.values if self.doses else (None,)
        hardest = tuple(step.at(doses[-1]) for step in self.edits.treated if step.edit != SNR_HELD)

        def arm(steps: Steps, dose: float | None) -> Arm:
            held = any(step.edit == SNR_HELD for step in steps)
            return Arm(tuple(step.at(dose) for step in steps), dose, hardest if held else ())

        return (arm(self.edits.control, None), *(arm(self.edits.treated, dose) for dose in doses))

    @property
    def colour_only(self) -> bool:
        """Whether the treated edits change colours alone."""
        return all(step.found().colour for step in self.edits.treated)

    @property
    def textured(self) -> bool:
        """Whether a step takes real galaxies from a folder or catalogue."""
        return any(step.edit == TEXTURE for step in (*self.edits.control, *self.edits.treated))

    @property
    def on_images(self) -> bool:
        """Whether the edits act on images alone, so that cutouts without a scene can be probed."""
        steps = (*self.edits.control, *self.edits.treated)
        return all(step.edit == IDENTITY or step.found().level == "image" for step in steps)

    def mode(self, name: str | None) -> tuple[str, Mode]:
        """The named mode, or the default one.

        Raises
        ------
        UsageError
            The definition has no such mode.
        """
        name = self.default_mode if name is None else name
        if name not in self.modes:
            raise UsageError(f"--mode '{name}' is unknown for probe {self.name}; allowed: {', '.join(self.modes)}")
        return name, self.modes[name]


def _as_recorded(words: Any) -> Any:
    return words if isinstance(words, ProbeDefinition) else ProbeDefinition.model_validate(words, context=RECORDED)


Recorded = Annotated[ProbeDefinition, PlainValidator(_as_recorded)]
"""A definition as a field of a result: read without looking up the edits it names."""


def with_kernel(definition: ProbeDefinition, path: Path | None, extension: str) -> ProbeDefinition:
    """The definition with its point-spread function taken from a FITS file; as it is where no `path` is given.

    Raises
    ------
    UsageError
        No step of it takes one, there is no such file, or a step needs one that neither `path` nor the YAML gives.
    DataError
        The file holds no kernel in that extension.
    """
    edits = definition.edits
    kernels = [step for step in (*edits.control, *edits.treated) if step.edit == FROM_FILE]
    if path is None:
        if not all(step.parameters.get("path") for step in kernels):
            raise UsageError(f"probe '{definition.name}' needs a kernel; give a FITS file by --psf FILE")
        return definition
    if not kernels:
        raise UsageError(f"--psf: probe '{definition.name}' takes no kernel; probe psf-rotation-real does")
    check_kernel(path, extension)

    def with_file(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        kernel: dict[str, str | float] = {"path": str(path), "extension": extension}
        return tuple(s.model_copy(update={"parameters": kernel}) if s.edit == FROM_FILE else s for s in steps)

    changed = edits.model_copy(update={"control": with_file(edits.control), "treated": with_file(edits.treated)})
    return definition.model_copy(update={"edits": changed})


def with_sources(definition: ProbeDefinition, path: Path | None) -> ProbeDefinition:
    """The definition with its real galaxies taken from a folder or catalogue; as it is where no `path` is given.

    Raises
    ------
    UsageError
        No step of it takes any, there is no such path, or a step needs one that neither `path` nor the YAML gives.
    """
    edits = definition.edits
    textured = [step for step in (*edits.control, *edits.treated) if step.edit == TEXTURE]
    if path is None:
        if not all(step.parameters.get("sources") for step in textured):
            raise UsageError(
                f"probe '{definition.name}' needs real galaxies, and none are shipped; give a folder of stamps or a "
                "catalogue of GalSim's by --sources PATH"
            )
        return definition
    if not textured:
        raise UsageError(f"--sources: probe '{definition.name}' takes no real galaxies; probe {TEXTURE} does")
    if not path.exists():
        raise NoSuchFile(f"--sources {path}: no such catalogue or folder")

    def filled(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        said: dict[str, str | float] = {"sources": str(path)}
        return tuple(s.model_copy(update={"parameters": said}) if s.edit == TEXTURE else s for s in steps)

    changed = edits.model_copy(update={"control": filled(edits.control), "treated": filled(edits.treated)})
    return definition.model_copy(update={"edits": changed})


def refuse_idle(definitions: Sequence[ProbeDefinition], sources: Path | None, *, hosts: bool) -> None:
    """Raise UsageError where real galaxies are given that neither a probe nor hosts take."""
    if sources is not None and not hosts and not any(one.textured for one in definitions):
        raise UsageError(f"--sources: none of these probes takes real galaxies; add probe {TEXTURE}, or name --hosts")


def builtin_probes() -> dict[str, Path]:
    """Name of each built-in probe → its YAML file."""
    return {path.stem: path for path in sorted(builtin_folder("probes").glob("*.yaml"))}


def load_definition(name: str | Path) -> ProbeDefinition:
    """Read a built-in probe by name, or a YAML file by its path.

    Raises
    ------
    UsageError
        There is no such probe, or a field of the file is missing, unknown or wrong (the first one is named).
    """
    return read_yaml(_definition_path(name), ProbeDefinition)


def _definition_path(name: str | Path) -> Path:
    builtin = builtin_probes()
    if str(name) in builtin:
        return builtin[str(name)]
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        raise NoSuchFile(f"{path}: no such file; name a YAML file or a built-in probe: {', '.join(builtin)}")
    raise UsageError(f"probe '{name}' is unknown; allowed: {', '.join(builtin)}, or a path that ends in .yaml")


QUICK_PROBES = ("compound", "red-source", "psf-rotation", "einstein-radius", "arc-snr", "false-positive")
"""Probes of a first look: one or two of every kind."""
PREPROCESSING = "preprocessing"
"""Group of the probes of what a pipeline does to pixels; their names begin with it."""


def without_groups(names: Sequence[str]) -> tuple[str, ...]:
    """Names of probes with the groups ``quick`` and ``preprocessing`` written out.

    Where ``all`` is among them it stays, before the paths of a user's own probes; alone it becomes no name at all,
    which stands for all.

    Examples
    --------
    >>> without_groups(["quick", "orientation"])[-2:]
    ('false-positive', 'orientation')
    """
    if "all" in names:
        own = [name for name in names if name.endswith((".yaml", ".yml"))]
        return ("all", *own) if own else ()
    of_pipelines = tuple(name for name in builtin_probes() if name.startswith(f"{PREPROCESSING}-"))
    groups = {"quick": QUICK_PROBES, PREPROCESSING: of_pipelines}
    left = {group: tuple(one for one in probes if one not in names) for group, probes in groups.items()}
    return tuple(one for name in names for one in left.get(name, (name,)))
