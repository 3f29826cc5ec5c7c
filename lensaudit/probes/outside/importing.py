"""The audit of a finder that is known by its scores alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensaudit.errors import DataError, UsageError
from lensaudit.files import sha256, writable_folder
from lensaudit.probes.audit import AUDIT_FILE, ProbeAudit, audited, write_audit
from lensaudit.probes.collect import Asked
from lensaudit.probes.columns import Sample, fulfilling
from lensaudit.probes.experiment import CHUNK
from lensaudit.probes.outside.export import CUTOUTS, KEY, MANIFEST
from lensaudit.probes.outside.key import Key, read_key
from lensaudit.probes.outside.plan import Asked as Population
from lensaudit.probes.outside.scores import OutsideScores, read_outside_scores
from lensaudit.probes.result import OUTSIDE, AuditedFinder
from lensaudit.probes.run import conclude, write
from lensaudit.untrusted import path_within, regular_size, typed_name


@dataclass(frozen=True)
class OutsideFinder:
    """What is said of a finder outside Python: its name, its threshold on p, the loss of recall it may show.

    `tolerance` None takes the word of each probe.
    """

    name: str
    threshold: float = 0.5
    tolerance: float | None = None


def import_scores(
    export: Path,
    scores: Path,
    out: Path,
    finder: OutsideFinder,
    key: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ProbeAudit:
    """Audit a finder by its scores of exported cutouts; write what `lensaudit.probes.run_audit` writes.

    Parameters
    ----------
    export
        Folder that `export_cutouts` wrote.
    scores
        CSV with ``id`` and ``p``, or Parquet of ``lensaudit score``.
    out
        Folder for ``audit.json``, ``audit.md`` and one folder per probe.
    key
        Where the key lies, if not in ``export/key``.
    progress
        Told what is being done, how many probes are done and of how many.

    Raises
    ------
    DataError
        The key is missing, torn or of another export; scores are missing, doubled, wrong, or of other cutouts.
    UsageError
        Threshold or tolerance is out of range, no probe changes anything in these bands, or `out` cannot be written.
    """
    held = read_key(Path(export) / KEY if key is None else Path(key))
    _check_same(held, Path(export))
    typed_name("--name", finder.name)
    found = read_outside_scores(Path(scores), held.ids, finder.threshold)
    plan = held.plan
    settings = [plan.settings(definition, finder.tolerance) for definition in plan.definitions]
    folder = writable_folder(Path(out))
    (folder / AUDIT_FILE).unlink(missing_ok=True)  # where it lies, everything it names lies too
    record = AuditedFinder(
        finder.name,
        f"{OUTSIDE}, known by {Path(scores).name}, whose hash stands for its weights",
        found.sha256,
        plan.bands,
        "its own",
        finder.threshold,
    )
    results, refused = [], dict(plan.refused)
    for number, (definition, chosen) in enumerate(zip(plan.definitions, settings, strict=True)):
        if progress is not None:
            progress("probes", number, len(settings))
        populations = [one for one in plan.asked if one.definition == definition]
        if nothing := next(filter(None, (_changes_nothing(held, one) for one in populations)), None):
            refused[definition.name] = nothing
            continue
        samples = [_sample(held, one, found, finder) for one in populations]
        result = conclude(definition, chosen, record, samples)
        write(result, samples, writable_folder(path_within(folder, definition.name)))
        results.append(result)
    if progress is not None:
        progress("probes", len(settings), len(settings))
    if not results:
        raise UsageError(f"no probe applies to finder '{finder.name}': {next(iter(refused.values()))}")
    audit = audited(results, refused)
    write_audit(audit, folder)
    return audit


def _check_same(key: Key, export: Path) -> None:
    """The cutouts may be gone by now; where they are, they must be those of the key."""
    manifest = export / CUTOUTS / MANIFEST
    if not export.is_dir():
        raise DataError(f"{export}: no such folder; give the folder that lensaudit probe export wrote")
    if os.path.lexists(manifest):
        regular_size(manifest)  # a pipe or a device in its place would hang
        if sha256(manifest) != key.manifest_hash:
            raise DataError(f"{manifest}: is not the manifest of this key; give the key of this export with --key")


def _changes_nothing(key: Key, asked: Population) -> str | None:
    """Why a population asks nothing, as `collect` says it: an arm whose cutouts are the control's in a whole block."""
    ids, arms = key.rows(asked).column("id"), asked.experiment.arms
    for first in range(0, ids.shape[1], CHUNK):
        block = ids[:, first : first + CHUNK]
        for arm, equal in zip(arms, (block == block[0]).all(axis=1), strict=True):
            if equal and not arm.is_identity and arm.steps != arms[0].steps:
                return (
                    f"{arm.describe()} changes no pixel of systems {first} … {first + block.shape[1] - 1} against the "
                    f"control in {', '.join(key.plan.bands)}"
                )
    return None


def _sample(key: Key, asked: Population, scores: OutsideScores, finder: OutsideFinder) -> Sample:
    rows = key.rows(asked)
    logit = np.vectorize(scores.logit.__getitem__, otypes=[np.float64])(rows.column("id"))
    truth = rows.truth()
    answers = Asked(logit, rows.column("changed").astype(np.int64), truth)
    fulfils = fulfilling(asked.definition.lens_rule, truth)
    return Sample(asked.label, asked.experiment, answers, finder.threshold, fulfils)
