"""The audit of a finder that is known by its scores alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from lensaudit.errors import DataError, NoSuchData, NoSuchFile, UsageError
from lensaudit.files import sha256, writable_folder
from lensaudit.finders.scores_file import read_scores
from lensaudit.lensset import open_cutouts
from lensaudit.probes.audit import AUDIT_FILE, ProbeAudit, audited
from lensaudit.probes.collect import Answers
from lensaudit.probes.columns import Sample, fulfilling
from lensaudit.probes.experiment import CHUNK
from lensaudit.probes.outside.export import CUTOUTS, KEY, MANIFEST
from lensaudit.probes.outside.key import Key, read_key
from lensaudit.probes.outside.plan import Asked as Population
from lensaudit.probes.outside.plan import ExportPlan
from lensaudit.probes.result import OUTSIDE, AuditedFinder
from lensaudit.probes.run import conclude, write
from lensaudit.tables import Column, read_table, same_id
from lensaudit.untrusted import path_within, printable, regular_size, typed_name

EDGE = 2.0**-24
"""p of 0 and of 1 are read as EDGE and 1 − EDGE, log-odds of ∓16.6: the last step of single precision below 1, beyond
which a network that answers in it cannot tell p from 1. Where other scores lie farther out, they go with the farthest,
so that the order stays; every other p is taken as it is."""

SHOWN = 3


@dataclass(frozen=True)
class OutsideScores:
    """Scores of all cutouts: id → logit, and the SHA-256 of the file."""

    logit: Mapping[str, float]
    sha256: str


def read_outside_scores(path: Path, ids: Collection[str], threshold: float) -> OutsideScores:
    """Read scores of exactly the cutouts `ids`: a table with ``id`` and ``p``, or what ``lensaudit score`` wrote.

    Parameters
    ----------
    threshold
        On p; a score keeps its side of it, whatever rounding does to the logit.

    Raises
    ------
    UsageError
        The threshold cannot be used.
    DataError
        Columns or scores are missing, doubled, no numbers, out of [0, 1], or of cutouts that were never exported.
    """
    check_threshold(threshold)
    path = Path(path)
    if not path.is_file():
        raise NoSuchData(f"{path}: no such file; give the CSV file with columns id,p")
    table = read_table(path, "a table of scores")
    column = table.find("p")
    if column is None:
        return _of_lensaudit(path, ids)
    spelled = same_id(ids)
    names = [spelled(cell) for cell in table.need("id").text]
    _check_ids(path, names, ids)
    logits = logits_of(_numbers(path, names, column), threshold)
    return OutsideScores(dict(zip(names, logits.tolist(), strict=True)), sha256(path))


def check_threshold(threshold: float) -> None:
    """Raise UsageError for a threshold that 0 or 1 could not be told from."""
    if not EDGE < threshold < 1 - EDGE:
        raise UsageError(f"--threshold {threshold:g}: must lie between 0 and 1; for a unanimous vote give 0.999")


def logits_of(p: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Log-odds of p in [0, 1], finite by `EDGE`; sigmoid(logit) ≥ threshold exactly where p ≥ threshold.

    Votes such as 3 of 5 lie on the threshold itself, where the rounding of log-odds and back would decide.
    """
    inside = (p > 0) & (p < 1)
    found = np.zeros_like(p)
    found[inside] = logit(p[inside])
    end = float(logit(1 - EDGE))
    found[p == 0] = min(-end, found.min())
    found[p == 1] = max(end, found.max())
    step = 1.0
    while (wrong := (expit(found) >= threshold) != (p >= threshold)).any():
        # Near 1 the sigmoid is so flat that many steps of the logit are one of p.
        found[wrong] += np.where(p[wrong] >= threshold, step, -step) * np.spacing(np.abs(found[wrong]))
        step *= 2
    return found


def _of_lensaudit(path: Path, ids: Collection[str]) -> OutsideScores:
    scores, _ = read_scores(path, ids)
    _check_ids(path, scores.ids, ids)
    if scores.failed:
        name, why = next(iter(scores.failed.items()))
        raise DataError(
            f"{path}: {_some(list(scores.failed))} were not scored, {name} because {printable(why, 80)}; score every "
            f"cutout"
        )
    return OutsideScores(dict(zip(scores.ids, scores.logit.tolist(), strict=True)), sha256(path))


def _check_ids(path: Path, names: Sequence[str], ids: Collection[str]) -> None:
    known = set(ids)
    if unknown := [name for name in dict.fromkeys(names) if name not in known]:
        if len(unknown) == len(set(names)):
            first = printable(", ".join(unknown[:SHOWN]), 200)
            raise DataError(
                f"{path}: none of its {len(unknown)} ids (first: {first}) is of this export; give "
                "the scores of this export, with the ids of its manifest.csv, or the export these scores belong to"
            )
        raise DataError(f"{path}: {_some(unknown)} were never exported; write ids as manifest.csv does")
    if doubled := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(f"{path}: {_some(doubled)} have more than one score; keep one of each")
    if missing := sorted(known - set(names)):
        raise DataError(f"{path}: {_some(missing)} of {len(known)} have no score; nothing is guessed, so score them")


def _numbers(path: Path, names: Sequence[str], column: Column) -> NDArray[np.float64]:
    p, words = column.parsed
    if words:
        bad = [f"{names[row]} '{column.text[row][:20]}'" for row in words]
        raise DataError(f"{path}: {_some(bad)} are not numbers; write p as 0.972")
    if lacking := [names[row] for row in np.flatnonzero(column.empty).tolist()]:
        raise DataError(f"{path}: {_some(lacking)} have no score; nothing is guessed, so score them")
    for wrong, what in ((np.isnan(p), "are NaN"), (~((p >= 0) & (p <= 1)), "lie outside [0, 1]")):
        if wrong.any():
            some = [f"{names[k]} {p[k]:g}" for k in np.flatnonzero(wrong).tolist()]
            raise DataError(
                f"{path}: {_some(some)} {what}; p is a probability, or a fraction of votes; "
                "log-odds x are p = 1 / (1 + exp(-x))"
            )
    return p


def _some(names: Sequence[str]) -> str:
    """How many, and the first few of them."""
    more = ", …" if len(names) > SHOWN else ""
    shown = ", ".join(printable(name, 60) for name in names[:SHOWN])
    return f"{len(names)} cutout{'s' if len(names) > 1 else ''} ({shown}{more})"


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
    hosts: Path | None = None,
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
    hosts
        Where the hosts of the export lie, if not where they were.

    Raises
    ------
    DataError
        The key is missing, torn or of another export; scores are missing, doubled, wrong, or of other cutouts; hosts
        are gone, or others than those of the export.
    UsageError
        Threshold or tolerance is out of range, no probe changes anything in these bands, or `out` cannot be written.
    """
    held = read_key(Path(export) / KEY if key is None else Path(key))
    _check_same(held, Path(export))
    typed_name("--name", finder.name)
    found = read_outside_scores(Path(scores), held.ids, finder.threshold)
    held = replace(held, plan=_with_hosts(held.plan, hosts))
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
    audit = audited(results, refused) if plan.hosts is None else audited(results, {}, refused)
    audit.write(folder)
    return audit


def _with_hosts(plan: ExportPlan, path: Path | None) -> ExportPlan:
    """The plan with its hosts where they lie today: pages show some of the pairs, made again."""
    if plan.hosts is None:
        if path is not None:
            raise UsageError(f"--hosts {path}: this export is of drawn scenes; leave it out")
        return plan
    hosts = plan.hosts if path is None else replace(plan.hosts, path=path)
    try:
        same = open_cutouts(hosts.path).content_hash == plan.inputs.get(plan.hosts.name)
    except NoSuchFile as gone:
        raise NoSuchData(f"{hosts.path}: the hosts of this export are gone; say where they lie with --hosts") from gone
    if not same:
        raise DataError(f"{hosts.path}: is not the set of hosts of this export; name that with --hosts")
    return replace(plan, hosts=hosts)


def _check_same(key: Key, export: Path) -> None:
    """The cutouts may be gone by now; where they are, they must be those of the key."""
    manifest = export / CUTOUTS / MANIFEST
    if not export.is_dir():
        raise NoSuchData(f"{export}: no such folder; give the folder that lensaudit probe export wrote")
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
    answers = Answers(logit, rows.column("changed").astype(np.int64), truth)
    fulfils = fulfilling(asked.definition.lens_rule, truth)
    return Sample(asked.label, asked.experiment, answers, finder.threshold, fulfils)
