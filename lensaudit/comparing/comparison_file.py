"""``compare.json``: the comparison as data; and ``speed.json``, which another run writes otherwise.

================  ============================================================================================
block             holds
================  ============================================================================================
``schema``        version of this layout, an integer
``finders``       what each finder is: bands, input, parameters, bytes, threshold, what it was trained on
``sets``          one per set: ``set``, ``n``, ``rows`` (see `measures`), ``refused`` (``finder``, ``why``),
                  ``pairs`` and ``ranking`` (see `pairs`), ``explanations`` (see `explaining`), ``main_kind``
``probes``        verdicts, see `probing`; ``null`` where none was asked for
``options``       what the numbers depend on
``provenance``    lensaudit version, command line, seed, hashes of finders and sets, package versions
``digest``        SHA-256 of all other blocks: a comparison that was changed by hand is refused
================  ============================================================================================

A number that is not defined is ``null`` and has a ``status`` beside it that says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os.path import lexists
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lensaudit.documents import SEAL, read_json, refuse_broken_seal, sealed, validated
from lensaudit.errors import DataError, NoSuchFile, UsageError
from lensaudit.evaluation import Calibration
from lensaudit.files import write_json
from lensaudit.finders import Finder, FinderRecord, load_finder, read_record, refitted, takes_statistics
from lensaudit.finders.recipe import CUSTOM, builtin_finder_folder
from lensaudit.finders.store import FINDER_FILE, WEIGHTS_FILE
from lensaudit.lensset import LensSet
from lensaudit.records import plain
from lensaudit.resources import without_groups
from lensaudit.untrusted import printable
from lensaudit.verdicts import PAIRS

SCHEMA = 1
COMPARISON_NAME = "compare.json"
SPEED_NAME = "speed.json"
PAGE_NAME = "compare.html"
MEND = "run lensaudit compare again"


class _Comparison(BaseModel):
    """The types of the blocks; what is inside them is held by the digest, and where there is none by the page."""

    model_config = ConfigDict(extra="allow", frozen=True)

    finders: list[dict[str, Any]]
    sets: list[dict[str, Any]]
    probes: dict[str, Any] | None
    options: dict[str, Any]
    provenance: dict[str, Any]


class _Speed(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    finders: list[dict[str, Any]]


def write_comparison(folder: Path, comparison: dict[str, Any], speed: list[dict[str, Any]] | None) -> None:
    """Write ``compare.json``, which the same command writes alike, and ``speed.json`` if speed was measured."""
    path = Path(folder) / SPEED_NAME
    path.unlink(missing_ok=True)  # of another run, perhaps of other finders
    if speed is not None:
        write_json(path, sealed(plain({"schema": SCHEMA, "finders": speed})))
    write_json(Path(folder) / COMPARISON_NAME, sealed(plain(comparison)))


def read_comparison(folder: Path) -> dict[str, Any]:
    """The comparison in `folder`; ``speed`` is what ``speed.json`` says, an empty list without it.

    Raises
    ------
    UsageError
        The folder holds no ``compare.json``.
    DataError
        A file is not JSON, lacks a block, or has another schema.
    """
    path = Path(folder) / COMPARISON_NAME
    if not path.is_file():
        raise NoSuchFile(f"{folder}: holds no {COMPARISON_NAME}; name a folder that lensaudit compare wrote")
    comparison = _read(path, _Comparison)
    speed = Path(folder) / SPEED_NAME
    comparison["speed"] = _read(speed, _Speed)["finders"] if lexists(speed) else []
    for block in comparison["sets"]:
        for row in block.get("rows", ()):  # where there are none the page says that a field is missing
            row["calibration"] = Calibration.from_json(row["calibration"], f"{path}: calibration", MEND)
    return comparison


def _read(path: Path, schema: type[BaseModel]) -> dict[str, Any]:
    record = read_json(path, MEND)
    found = record.get("schema") if isinstance(record, dict) else None
    if found != SCHEMA:
        raise DataError(f"{path}: schema is {printable(found, 60)}, this version reads {SCHEMA}; {MEND}")
    refuse_broken_seal(record, f"{path}", MEND)
    validated(record, schema, f"{path}", MEND)
    return {name: record[name] for name in record if name != SEAL}


METHODS = ("occlusion", "input-x-gradient", "integrated-gradients")
"""Explanations that are scored: the first asks for no gradient, so that it stands for every finder; the other two are
cheap and depend on the weights."""

NO_PROBES = "none"


@dataclass(frozen=True)
class CompareOptions:
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "probes", _named(self.probes))
        for name, lowest in (("seed", 0), ("explanations", 0), ("workers", 1), ("probe_n", 2)):
            if getattr(self, name) < lowest:
                option = {"explanations": "judge-n"}.get(name, name.replace("_", "-"))
                raise UsageError(f"--{option} {getattr(self, name)} is not possible; give {lowest} or more")
        for name in ("n", "batch"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                option = {"n": "first"}.get(name, name)
                raise UsageError(f"--{option} {getattr(self, name)} is not possible; give 1 or more")
        if self.seed >= 2**32:
            raise UsageError(f"--seed {self.seed} is not possible; give less than {2**32}")

    def to_json(self) -> dict[str, Any]:
        """What the results depend on."""
        words = asdict(self)
        names = ("seed", "n", "probes", "probe_n", "explanations", "methods")
        return {name: words[name] for name in names} | ({"refit": True} if self.refit else {})


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of probes with the groups written out."""
    if tuple(names) == (NO_PROBES,):
        return ()
    if "all" in names:
        from lensaudit.probes.audit import audited_probes

        return (*(definition.name for definition in audited_probes()), *without_groups(names)[1:])
    return without_groups(names)


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

    def facts(self) -> dict[str, Any]:
        """JSON-able: architecture, bands, input, size, threshold, what it was trained on; no path."""
        recipe, data = self.finder.recipe, {} if self.record is None else self.record.training_data
        tensors = self.finder.module.state_dict().values()
        return {
            "finder": self.label,
            "origin": BUILT_IN if self.finder.origin == BUILT_IN else "own code" if self.record is None else "folder",
            "weights_hash": self.finder.weights_hash,
            "architecture": recipe.architecture,
            "bands": list(recipe.bands),
            "size": recipe.size,
            "stretch": recipe.stretch,
            "field_of_view_arcsec": recipe.field_of_view_arcsec,
            "threshold": recipe.threshold,
            "parameters": int(self.finder.parameters),
            "bytes_in_memory": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
            "bytes_on_disk": self.file_bytes,
            "differentiable": self.finder.differentiable,
            "trained_on": {name: data.get(name) for name in ("instrument", "population", "n_training")},
        }

    def refitted_to(self, lens_set: LensSet) -> Entrant:
        """The same with statistics from the set, where its stretch takes statistics of a training set."""
        return replace(self, finder=refitted(self.finder, lens_set)) if takes_statistics(self.finder) else self

    def has_seen(self, content_hash: str) -> str:
        """What the set of that content was for this finder: ``training``, ``validation``, or empty."""
        data = {} if self.record is None else self.record.training_data
        parts = {"training": "set", "validation": "validation_set"}
        return next((part for part, key in parts.items() if data.get(key) == content_hash), "")


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
    folder = _folder(finder)
    record = None if folder is None else read_record(folder)
    return Entrant(label, finder, record, None if folder is None else _bytes(folder))


def _refuse_twins(names: Sequence[str], loaded: Sequence[Finder]) -> None:
    known: dict[tuple[str, str], str] = {}
    for name, finder in zip(names, loaded, strict=True):
        same = finder.weights_hash, finder.recipe.model_dump_json()
        if same in known:
            raise UsageError(f"finders {known[same]} and {name} are the same weights and recipe; give each once")
        known[same] = name


def _folder(finder: Finder) -> Path | None:
    if finder.recipe.architecture == CUSTOM:
        return None
    folder = builtin_finder_folder(finder.name) if finder.origin == BUILT_IN else Path(finder.origin)
    return folder if (folder / FINDER_FILE).is_file() else None


def _bytes(folder: Path) -> int | None:
    path = folder / WEIGHTS_FILE
    return path.stat().st_size if path.is_file() else None
