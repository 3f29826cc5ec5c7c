"""Verdicts of the probes on each finder, kept under the folder of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lensaudit.comparing.entrants import Entrant
from lensaudit.comparing.options import CompareOptions
from lensaudit.documents import keep_json, kept_json
from lensaudit.probes import ProbeAudit, ProbeDefinition, ProbeOptions, Ranked, run_audit, why_not_applicable
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.elsewhere import seen_by, why_no_scene
from lensaudit.report.numbers import jsonable
from lensaudit.report.pieces import KEY, Progress, key_of, short_name
from lensaudit.verdicts import STATES

FOLDER = "probes"
KEPT = "verdicts.json"


def probes_block(
    entrants: Sequence[Entrant], out: Path, options: CompareOptions, progress: Progress
) -> dict[str, Any] | None:
    """Ask each finder about the probes that apply to it.

    Returns
    -------
    dict or None
        ``n`` pairs of each population, ``seed``, ``probes`` (name, title, nature) and ``finders``, each with its
        ``verdicts`` (one per probe: its leading finding, corrected over all findings of this finder) and
        ``not_applicable`` (``probe``, ``why``); None where none was asked for.
    """
    if not options.probes:
        return None
    definitions = audited_probes(options.probes)
    return {
        "n": options.probe_n,
        "seed": options.seed,
        "probes": [{"probe": one.name, "title": one.title, "nature": one.nature} for one in definitions],
        "finders": [_asked(entrant, Path(out), options, progress) for entrant in entrants],
    }


def check_probes(options: CompareOptions) -> None:
    """Raise UsageError where a probe that is asked for does not exist, before the work starts."""
    if options.probes:
        audited_probes(options.probes)


def probe_folder(out: Path, entrant: Entrant) -> Path:
    """Where what a finder said to the probes lies in the folder of the comparison."""
    return out / FOLDER / short_name(f"{entrant.label} {entrant.finder.weights_hash}")


def _asked(entrant: Entrant, out: Path, options: CompareOptions, progress: Progress) -> dict[str, Any]:
    finder = entrant.finder.for_field(None)  # probes render the field the finder was trained on
    definitions = [seen_by(one, finder) for one in audited_probes(options.probes)]
    key = key_of(
        finder,
        probes=[one.model_dump(mode="json") for one in definitions],
        inputs=[[dict(arm.inputs) for arm in one.arms()] for one in definitions],
        n=options.probe_n,
        seed=options.seed,
        states=[state.word for state in STATES],
    )
    place = probe_folder(out, entrant)
    kept = _kept(place / KEPT, key)
    if kept is None:
        kept = jsonable(_audited(entrant, definitions, place, options, progress))
        keep_json(place / KEPT, {KEY: key, "said": kept})
    return {"finder": entrant.label, **kept}


def _audited(
    entrant: Entrant, definitions: Sequence[ProbeDefinition], place: Path, options: CompareOptions, progress: Progress
) -> dict[str, Any]:
    finder = entrant.finder.for_field(None)
    reasons = {one.name: why_not_applicable(one, finder) or why_no_scene(one) for one in definitions}
    refused = {name: why for name, why in reasons.items() if why}
    asked = [word for word, one in zip(options.probes, definitions, strict=True) if one.name not in refused]
    if not asked:
        return {"verdicts": [], "not_applicable": _listed(refused)}
    told = partial(_told, progress, entrant.label)
    workers = ProbeOptions(workers=options.workers, batch=options.batch)
    audit: ProbeAudit = run_audit(finder, options.probe_n, options.seed, place, asked, workers, told)
    instruments = {one.name: one.instrument for one in definitions}
    return {
        "verdicts": [{**_verdict(one), "instrument": instruments[one.probe]} for one in audit.ranked],
        "not_applicable": _listed(refused | audit.not_applicable),
    }


def _verdict(one: Ranked) -> dict[str, Any]:
    """What the page says of one probe."""
    finding = one.finding
    return {
        "probe": one.probe,
        "word": one.verdict.word,
        "needed": one.verdict.needed,
        "sentence": one.verdict.sentence,
        "meaning": one.meaning,
        "dose": finding.dose,
        "population": finding.population,
        "n": finding.n,
        "change": asdict(finding.recall_change),
        "treated": asdict(finding.treated),
        "p_holm": finding.p_holm,
    }


def _listed(refused: dict[str, str]) -> list[dict[str, str]]:
    return [{"probe": name, "why": why} for name, why in refused.items()]


def _told(progress: Progress, label: str, what: str, done: int, total: int) -> None:
    progress(f"{label}, {what.split(':')[0]}", done, total)


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    record = kept_json(path)
    said = record.get("said") if record.get(KEY) == key else None
    return said if isinstance(said, dict) else None
