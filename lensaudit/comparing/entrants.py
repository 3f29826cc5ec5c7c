"""The finders that are compared, and what is said of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, FinderRecord, load_finder, read_record, refitted, takes_statistics
from lensaudit.finders.recipe import CUSTOM, builtin_finder_folder
from lensaudit.finders.store import FINDER_FILE, WEIGHTS_FILE
from lensaudit.lensset import LensSet

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
    entrants = []
    for label, finder in zip(labels, loaded, strict=True):
        folder = _folder(finder)
        record = None if folder is None else read_record(folder)
        entrants.append(Entrant(label, finder, record, None if folder is None else _bytes(folder)))
    return entrants


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
