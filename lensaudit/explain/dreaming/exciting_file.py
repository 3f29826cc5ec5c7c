"""The search for exciting cutouts as a file, so that drawing again does not search again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lensaudit.documents import keep_json, kept_json
from lensaudit.explain.dreaming.exciting import Exciting, Progress, Scan, most_exciting
from lensaudit.explain.dreaming.target import ClassTarget, Target
from lensaudit.finders import Finder
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance

NAME = "exciting.json"


def exciting_cutouts(
    path: Path,
    finder: Finder,
    targets: Sequence[Target],
    lens_set: LensSet,
    objective: str,
    *,
    scan: int,
    progress: Progress | None = None,
) -> Scan:
    """As `most_exciting`; what `path` holds of the same finder, set and targets is taken from there."""
    finder.check(lens_set)
    identity = {
        "lensaudit": provenance()["lensaudit"],
        "finder_hash": finder.weights_hash,
        "field_arcsec": finder.field_arcsec,
        "set_hash": lens_set.content_hash,
        "scan": scan,
    }
    names = {target: _name(target, objective) for target in targets}
    stored = _stored(path, identity)
    if stored is not None and all(name in stored["best"] for name in names.values()):
        best = {t: tuple(Exciting(**cutout) for cutout in stored["best"][name]) for t, name in names.items()}
        return Scan(best, stored["looked_at"], len(lens_set), stored["left_out"])
    found = most_exciting(finder, targets, lens_set, objective, scan=scan, progress=progress)
    best_of = {names[target]: [asdict(cutout) for cutout in found.best[target]] for target in targets}
    before = stored["best"] if stored is not None else {}
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    facts: dict[str, Any] = {"looked_at": found.looked_at, "of": found.of, "left_out": found.left_out}
    facts |= {"identity": identity, "best": {**before, **best_of}, "provenance": provenance(inputs=inputs)}
    keep_json(path, facts)
    return found


def _name(target: Target, objective: str) -> str:
    return f"{objective} {target.name}" if isinstance(target, ClassTarget) else target.name


def _stored(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """What the file holds; None where there is none, or one of something else."""
    stored = kept_json(path)
    return stored if stored.get("identity") == identity else None
