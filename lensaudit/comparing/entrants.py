"""What is compared: finders under the names they have in a comparison, and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.comparing.limits import Limits
from lensaudit.errors import UsageError
from lensaudit.probes.hosts import HostsAsked
from lensaudit.records import Json, Record, plain
from lensaudit.verdicts import PAIRS

if TYPE_CHECKING:
    from lensaudit.finders import Finder, FinderRecord
    from lensaudit.finders.facts import TrainingFacts
    from lensaudit.imaging import Instrument
    from lensaudit.lensset import LensSet

METHODS = ("occlusion", "input-x-gradient", "integrated-gradients")
"""Explanations that are scored: the first asks for no gradient, so that it stands for every finder; the other two are
cheap and depend on the weights."""

NO_PROBES = "none"


@dataclass(frozen=True)
class CompareOptions(Record):
    """Settings of :func:`lensaudit.comparing.compare`.

    Attributes
    ----------
    seed
        Root of every random draw.
    n
        Only the first so many images of each set; None for all.
    batch
        Cutouts per forward pass; None takes what runs fastest.
    probes
        Names of probes or paths of their YAML files, ``quick`` or ``all``; empty leaves them out.
    probe_n
        Pairs of each population of each probe.
    explanations
        Lenses of each kind whose explanations are scored; 0 leaves that out.
    methods
        Names of the methods of explanation; a finder without gradients gets those that need none.
    speed
        Whether images per second are measured.
    workers
        Processes that render the probes' scenes.
    refit
        Whether finders whose stretch takes statistics of a training set take them from each set instead.
    hosts
        Real cutouts that the probes are asked on, in place of drawn scenes.
    sources
        Folder or catalogue of real galaxies, with which the probe source-texture is among all.
    instrument
        Whose cutouts the probes draw, a name or the path of a YAML file; empty takes what fits each finder.
    baseline
        Label of the finder that all others are compared with, group by group; empty for none.
    tolerance, auroc_tolerance
        Loss against the baseline that is accepted: of a fraction of lenses or non-lenses, and of an AUROC.
    fpr
        False-positive rate at which recall is compared with the baseline's, beside that at each one's own threshold.
    by
        Columns of the catalogue whose groups are compared; empty takes those of
        `lensaudit.comparing.subgroups.subgroups_of`.
    """

    seed: int = 0
    n: int | None = None
    batch: int | None = None
    probes: tuple[str, ...] = ()
    probe_n: int = PAIRS
    explanations: int = 0
    methods: tuple[str, ...] = METHODS
    speed: bool = True
    workers: int = 1
    refit: bool = False
    hosts: HostsAsked | None = None
    sources: Path | None = None
    instrument: str = ""
    baseline: str = ""
    tolerance: float = Limits.tolerance
    auroc_tolerance: float = Limits.auroc_tolerance
    fpr: float = Limits.fpr
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "probes", _named(self.probes, self.sources))
        if self.instrument and self.hosts is not None:
            raise UsageError("--hosts and --instrument: each says whose cutouts the probes take; give one of them")
        for name, lowest in (("seed", 0), ("explanations", 0), ("workers", 1), ("probe_n", 2)):
            if getattr(self, name) < lowest:
                option = {"explanations": "judge-n"}.get(name, name.replace("_", "-"))
                raise UsageError(f"--{option} {getattr(self, name)} is not possible; give {lowest} or more")
        for name in ("n", "batch"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                option = {"n": "first"}.get(name, name)
                raise UsageError(f"--{option} {getattr(self, name)} is not possible; give 1 or more")
        for name, highest in (("tolerance", 1.0), ("auroc_tolerance", 1.0)):
            if not 0 <= getattr(self, name) < highest:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name):g}: give a number from 0 to below 1")
        if not 0 < self.fpr < 1:
            raise UsageError(f"--fpr {self.fpr:g}: give a rate between 0 and 1")
        if self.seed >= 2**32:
            raise UsageError(f"--seed {self.seed} is not possible; give less than {2**32}")

    @property
    def limits(self) -> Limits:
        """What is accepted against the baseline."""
        return Limits(self.tolerance, self.auroc_tolerance, self.fpr)

    @property
    def seen_by(self) -> Instrument | None:
        """The instrument that is named; None where none is."""
        from lensaudit.imaging import load_instrument

        return load_instrument(self.instrument) if self.instrument else None

    def to_json(self) -> Json:
        """What the results depend on."""
        names = ("seed", "n", "probes", "probe_n", "explanations", "methods")
        said = {name: plain(getattr(self, name)) for name in names} | ({"refit": True} if self.refit else {})
        if self.hosts is not None:
            said["hosts"] = self.hosts.to_json()
        if self.sources is not None:
            said["sources"] = self.sources.name
        if self.instrument:
            said["instrument"] = Path(self.instrument).name
        if self.baseline:
            said |= {"baseline": self.baseline, **self.limits.to_json(), "by": list(self.by)}
        return said


def _named(names: tuple[str, ...], sources: Path | None = None) -> tuple[str, ...]:
    """Names of probes with the groups written out."""
    from lensaudit.probes import without_groups

    if tuple(names) == (NO_PROBES,):
        return ()
    if "all" in names:
        from lensaudit.probes.audit import audited_probes

        return (*(definition.name for definition in audited_probes((), sources)), *without_groups(names)[1:])
    return without_groups(names)


@dataclass(frozen=True)
class TrainedOn(Record):
    """What the weights were trained on, as far as it is recorded with them."""

    instrument: str | None = None
    population: str | None = None
    n_training: int | None = None

    @classmethod
    def of(cls, data: TrainingFacts | None) -> TrainedOn:
        """From what ``finder.yaml`` records; None where there is none."""
        return cls(None, None, None) if data is None else cls(data.instrument, data.population, data.n_training)


@dataclass(frozen=True)
class ComparedFinder(Record):
    """What a finder is: architecture, bands, input, parameters, bytes, threshold, training; no path."""

    finder: str
    origin: str
    weights_hash: str
    architecture: str
    bands: tuple[str, ...]
    size: int
    stretch: str
    field_of_view_arcsec: float
    threshold: float
    parameters: int
    bytes_in_memory: int
    bytes_on_disk: int | None
    differentiable: bool
    trained_on: TrainedOn


BUILT_IN = "built-in"


@dataclass(frozen=True)
class Entrant:
    """One finder under the name it has in the comparison.

    Attributes
    ----------
    label
        What the user calls it: two finders of one recipe, in two folders, differ in it.
    finder
        The finder.
    record
        Its ``finder.yaml``; None for a user's own module.
    file_bytes
        Size of its file of weights; None where there is none.
    """

    label: str
    finder: Finder
    record: FinderRecord | None
    file_bytes: int | None

    def facts(self) -> ComparedFinder:
        """Architecture, bands, input, size, threshold, what it was trained on; no path."""
        recipe, data = self.finder.recipe, None if self.record is None else self.record.training_data
        tensors = self.finder.module.state_dict().values()
        return ComparedFinder(
            finder=self.label,
            origin=BUILT_IN if self.finder.origin == BUILT_IN else "own code" if self.record is None else "folder",
            weights_hash=self.finder.weights_hash,
            architecture=recipe.architecture,
            bands=tuple(recipe.bands),
            size=recipe.size,
            stretch=recipe.scaling,
            field_of_view_arcsec=recipe.field_of_view_arcsec,
            threshold=recipe.threshold,
            parameters=int(self.finder.parameters),
            bytes_in_memory=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
            bytes_on_disk=self.file_bytes,
            differentiable=self.finder.differentiable,
            trained_on=TrainedOn.of(data),
        )

    def refitted_to(self, lens_set: LensSet) -> Entrant:
        """The same with statistics from the set, where its stretch takes statistics of a training set."""
        from lensaudit.finders import refitted, takes_statistics

        return replace(self, finder=refitted(self.finder, lens_set)) if takes_statistics(self.finder) else self

    def has_seen(self, content_hash: str) -> str:
        """What the set of that content was for this finder: ``training``, ``validation``, or empty."""
        return "" if self.record is None else self.record.training_data.seen_as(content_hash)


def entrants_of(
    names: Sequence[str], device: str = "cpu", *, resample: bool = False, field_of_view: float | None = None
) -> list[Entrant]:
    """Load finders by what a user calls them, in that order.

    Parameters
    ----------
    resample
        Whether they take sets of pixels of another scale.
    field_of_view
        Width of the cutouts in arcseconds, where they were trained on another.

    Raises
    ------
    UsageError
        None is given, one does not exist or is given twice, or two are the same weights with the same recipe.
    DataError
        The files of one are torn.
    """
    from lensaudit.finders import load_finder

    if not names:
        raise UsageError("no finder is given; name two or more, see lensaudit models list")
    labels = [name.rstrip("/") or name for name in names]
    if doubled := next((label for label in labels if labels.count(label) > 1), None):
        raise UsageError(f"finder {doubled} is given twice; give each once")
    loaded = [load_finder(name, device).for_field(field_of_view, resample) for name in names]
    _refuse_twins(names, loaded)
    return [entrant_of(label, finder) for label, finder in zip(labels, loaded, strict=True)]


def entrant_of(label: str, finder: Finder) -> Entrant:
    """A loaded finder under the name it has in the comparison, with the record of its folder."""
    from lensaudit.finders import read_record
    from lensaudit.finders.recipe import CUSTOM, builtin_finder_folder
    from lensaudit.finders.store import FINDER_FILE, WEIGHTS_FILE

    if finder.recipe.architecture == CUSTOM:
        return Entrant(label, finder, None, None)
    folder = builtin_finder_folder(finder.name) if finder.origin == BUILT_IN else Path(finder.origin)
    if not (folder / FINDER_FILE).is_file():
        return Entrant(label, finder, None, None)
    weights = folder / WEIGHTS_FILE
    return Entrant(label, finder, read_record(folder), weights.stat().st_size if weights.is_file() else None)


def _refuse_twins(names: Sequence[str], loaded: Sequence[Finder]) -> None:
    known: dict[tuple[str, str], str] = {}
    for name, finder in zip(names, loaded, strict=True):
        same = finder.weights_hash, finder.recipe.model_dump_json()
        if same in known:
            raise UsageError(f"finders {known[same]} and {name} are the same weights and recipe; give each once")
        known[same] = name
