"""The probes as a block of the audit: run them, or take what an earlier run left, and lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lensaudit.kept import JsonForm, Piece
from lensaudit.records import plain
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.options import AuditOptions, arrays_piece, key_of, short_name
from lensaudit.report.probe_rows import detail_of, row_of
from lensaudit.spread import StageProgress
from lensaudit.verdicts import NATURES, STATES

PER_POPULATION = {True: 3, False: 1}
"""Pairs of each population: of a probe with an effect, and of one without, whose pairs look much alike."""


def pairs_of(record: dict[str, Any], finder: Any, out: Path, *, many: bool) -> list[dict[str, Any]]:
    """Entries of the pairs, the control beside the treated arm of the last dose.

    Parameters
    ----------
    record
        ``probe.json`` of the probe.
    many
        Whether the pairs are worth showing, not one alone.
    """
    shown: dict[str, list[dict[str, Any]]] = {}
    for example in record["examples"]:
        shown.setdefault(example["population"], []).append(example)
    return [
        _pair(example, record, finder, out) for group in shown.values() for example in group[: PER_POPULATION[many]]
    ]


def _pair(example: dict[str, Any], record: dict[str, Any], finder: Any, out: Path) -> dict[str, Any]:
    from lensaudit.probes import Drawn, Experiment, ProbeDefinition

    definition, settings = ProbeDefinition.model_validate(record["definition"]), record["settings"]
    population = definition.modes[settings["mode"]].populations[example["population"]]
    drawn = Drawn(population, settings["seed"], settings["n"], definition.instrument)
    experiment = Experiment(drawn, definition.arms())
    path = f"{ARRAYS}/pair-{short_name(record['probe'] + example['pair_id'])}.npz"
    inputs = dict(experiment.inputs)
    key = key_of(finder, id=example["pair_id"], seed=drawn.seed, definition=record["definition"], inputs=inputs)
    arrays_piece(out, path, key).or_made(lambda: _pixels(experiment, example["index"]))
    fields = drawn.fields
    band = "VIS" if "VIS" in fields.bands else fields.bands[0]
    return {
        "title": example["pair_id"],
        "facts": example["reason"],
        "array": path,
        "fov_arcsec": fields.shape[band][1] * fields.pixel_scale_arcsec[band],
        "p_control": example["p_control"],
        "p_treated": example["p_treated"],
    }


def _pixels(experiment: Any, index: int) -> dict[str, Any]:
    arms = {"control": 0, "treated": len(experiment.arms) - 1}
    images = {arm: experiment.images(index, number) for arm, number in arms.items()}
    return {f"{arm}:band:{band}": image for arm, bands in images.items() for band, image in bands.items()}


FOLDER = "probes"
KEPT = "report.json"
COMPOUND = "compound"


def probes_block(finder: Any, out: Path, options: AuditOptions, progress: StageProgress) -> dict[str, Any] | None:
    """Ask `finder` about ``options.probe_n`` pairs of each population of each probe; keeps all under ``probes/``.

    Answers are kept block by block, so that an interrupted run goes on; a finished one is taken as it is where it
    rests on the same weights, recipe, definitions, number of pairs and seed.

    Returns
    -------
    dict or None
        ``n``, ``seed``, ``n_findings`` (corrected together), ``rows`` (ranked, see
        :func:`lensaudit.report.probe_rows.row_of`), ``details`` (one per row, see
        :func:`lensaudit.report.probe_rows.detail_of`), ``not_applicable`` and ``left_out`` (``probe``, ``title``,
        ``why``), ``words`` and ``natures``; None where probes were switched off.
    """
    if options.probe_n == 0:
        return None
    from lensaudit.probes.audit import audited_probes

    finder = finder.for_field(None)  # probes render the field the finder was trained on
    definitions = audited_probes(options.probes)
    kept = _answers(finder, definitions, Path(out), options, progress)
    titles = {definition.name: definition.title for definition in definitions}
    block = laid_out(kept, titles, finder.recipe.architecture)
    records = {record["probe"]: record for record in kept["records"]}
    for detail in block["details"]:
        many = detail["open"] or detail["probe"] == COMPOUND
        detail["pairs"] = pairs_of(records[detail["probe"]], finder, Path(out), many=many)
    return {"n": options.probe_n, "seed": options.seed, **block}


def check_probes(options: AuditOptions) -> None:
    """Raise UsageError where a probe that is asked for does not exist, before the work starts."""
    from lensaudit.probes.audit import audited_probes

    if options.probe_n:
        audited_probes(options.probes)


def laid_out(kept: dict[str, Any], titles: dict[str, str], architecture: str) -> dict[str, Any]:
    """The block from what :func:`lensaudit.probes.run_audit` found, without pixels.

    Parameters
    ----------
    kept
        ``records`` (``probe.json`` of each probe, corrected together), ``ranked`` and ``not_applicable`` as JSON.
    titles
        Probes that were asked for → their titles.
    architecture
        Of the finder.
    """
    records = {record["probe"]: record for record in kept["records"]}
    asked = [(one, records[one["probe"]]) for one in kept["ranked"]]
    return {
        "n_findings": sum(len(record["findings"]) for record in kept["records"]),
        "rows": [row_of(*one) for one in asked],
        "details": [detail_of(*one, architecture) for one in asked],
        "not_applicable": [
            {"probe": name, "title": titles[name], "why": why} for name, why in kept["not_applicable"].items()
        ],
        "left_out": _left_out(titles),
        "words": [{"word": state.word, "meaning": state.definition} for state in STATES],
        "natures": [{"nature": nature, "meaning": meaning} for nature, meaning in NATURES],
    }


def has_compound(probes: dict[str, Any] | None) -> bool:
    """Whether the compound probe was run."""
    return probes is not None and any(row["probe"] == COMPOUND for row in probes["rows"])


def _answers(
    finder: Any, definitions: Sequence[Any], out: Path, options: AuditOptions, progress: StageProgress
) -> dict[str, Any]:
    path = out / FOLDER / KEPT
    asked = [
        {"definition": one.model_dump(mode="json"), "inputs": [dict(arm.inputs) for arm in one.arms()]}
        for one in definitions
    ]
    key = key_of(finder, probes=asked, n=options.probe_n, seed=options.seed, states=[one.word for one in STATES])
    piece: Piece[dict[str, Any]] = Piece(path, JsonForm(encode=plain), key)
    kept = piece.load()
    if kept is None:
        return piece.or_made(lambda: _asked(finder, definitions, out / FOLDER, options, progress))
    progress(FOLDER, 1, 1)
    return kept


def _asked(
    finder: Any, definitions: Sequence[Any], folder: Path, options: AuditOptions, progress: StageProgress
) -> dict[str, Any]:
    from lensaudit.probes import ProbeOptions, run_audit, why_not_applicable
    from lensaudit.probes.result import without_nan

    refused = {one.name: why_not_applicable(one, finder) for one in definitions}
    pairs = {
        one.name: options.probe_n * len(one.mode(None)[1].populations) for one in definitions if not refused[one.name]
    }
    if not pairs:
        return {"records": [], "ranked": [], "not_applicable": refused}
    told = _Together(progress, sum(pairs.values()))
    workers = ProbeOptions(workers=options.workers, batch=options.batch)
    audit = run_audit(finder, options.probe_n, options.seed, folder, options.probes, workers, told)
    return {
        "records": [result.to_json() for result in audit.results],
        "ranked": [without_nan(asdict(one)) for one in audit.ranked],
        "not_applicable": audit.not_applicable,
    }


class _Together:
    """One bar for all probes: the pairs of every population of each, added up."""

    def __init__(self, progress: StageProgress, total: int) -> None:
        self._progress, self._total = progress, total
        self._done: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        self._done[what] = done
        self._progress(FOLDER, sum(self._done.values()), self._total)


def _left_out(run: dict[str, str]) -> list[dict[str, str]]:
    """Built-in probes that were not asked for."""
    from lensaudit.probes import builtin_probes, load_definition

    missing = [load_definition(name) for name in builtin_probes() if name not in run]
    needs_file = "needs a file of its own: lensaudit probe {name}"
    return [
        {
            "probe": one.name,
            "title": one.title,
            "why": "not asked for; --probe all runs it" if one.audited else needs_file.format(name=one.name),
        }
        for one in missing
    ]
