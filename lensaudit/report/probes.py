"""The probes as a block of the audit: run them, or take what an earlier run left, and lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.kept import Arrays, JsonForm, Piece
from lensaudit.probes import Drawn, Experiment, ProbeAudit, ProbeDefinition, audited, builtin_probes, load_definition
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.result import Example, ProbeResult
from lensaudit.records import plain
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.options import AuditOptions, arrays_piece, key_of, short_name
from lensaudit.report.probe_block import PairShown, ProbesBlock, Unprobed
from lensaudit.report.probe_rows import detail_of, row_of
from lensaudit.spread import StageProgress
from lensaudit.verdicts import NATURES, STATES

if TYPE_CHECKING:
    from lensaudit.finders import Finder

PER_POPULATION = {True: 3, False: 1}
"""Pairs of each population: of a probe with an effect, and of one without, whose pairs look much alike."""


def pairs_of(result: ProbeResult, finder: Finder, out: Path, *, many: bool) -> tuple[PairShown, ...]:
    """The pairs shown of a probe, the control beside the treated arm of the last dose; one alone unless `many`."""
    shown: dict[str, list[Example]] = {}
    for example in result.examples:
        shown.setdefault(example.population, []).append(example)
    chosen = [example for group in shown.values() for example in group[: PER_POPULATION[many]]]
    return tuple(_pair(example, result, finder, out) for example in chosen)


def _pair(example: Example, result: ProbeResult, finder: Finder, out: Path) -> PairShown:
    definition, settings = result.definition, result.settings
    population = definition.modes[settings.mode].populations[example.population]
    drawn = Drawn(population, settings.seed, settings.n, definition.instrument)
    experiment = Experiment(drawn, definition.arms())
    path = f"{ARRAYS}/pair-{short_name(definition.name + example.pair_id)}.npz"
    words, inputs = plain(definition.model_dump()), dict(experiment.inputs)
    key = key_of(finder, id=example.pair_id, seed=drawn.seed, definition=words, inputs=inputs)
    arrays_piece(out, path, key).or_made(lambda: _pixels(experiment, example.index))
    fields = drawn.fields
    band = "VIS" if "VIS" in fields.bands else fields.bands[0]
    width = fields.shape[band][1] * fields.pixel_scale_arcsec[band]
    return PairShown(example.pair_id, example.reason, path, width, example.p_control, example.p_treated)


def _pixels(experiment: Experiment, index: int) -> Arrays:
    arms = {"control": 0, "treated": len(experiment.arms) - 1}
    images = {arm: experiment.images(index, number) for arm, number in arms.items()}
    return {f"{arm}:band:{band}": image for arm, bands in images.items() for band, image in bands.items()}


FOLDER = "probes"
KEPT = "report.json"
COMPOUND = "compound"


def probes_block(finder: Finder, out: Path, options: AuditOptions, progress: StageProgress) -> ProbesBlock | None:
    """Ask `finder` about ``options.probe_n`` pairs of each population of each probe; keeps all under ``probes/``.

    Answers are kept block by block, so that an interrupted run goes on; a finished one is taken as it is where it
    rests on the same weights, recipe, definitions, number of pairs and seed. None where probes were switched off.
    """
    if options.probe_n == 0:
        return None
    finder = finder.for_field(None)  # probes render the field the finder was trained on
    definitions = audited_probes(options.probes)
    audit = _audit(finder, definitions, Path(out), options, progress)
    titles = {definition.name: definition.title for definition in definitions}
    block = laid_out(audit, titles, finder.recipe.architecture, (options.probe_n, options.seed))
    results = {result.definition.name: result for result in audit.results}
    details = tuple(
        replace(one, pairs=pairs_of(results[one.probe], finder, Path(out), many=one.open or one.probe == COMPOUND))
        for one in block.details
    )
    return replace(block, details=details)


def check_probes(options: AuditOptions) -> None:
    """Raise UsageError where a probe that is asked for does not exist, before the work starts."""
    if options.probe_n:
        audited_probes(options.probes)


def laid_out(audit: ProbeAudit, titles: dict[str, str], architecture: str, asked: tuple[int, int]) -> ProbesBlock:
    """The block of an audit, without pairs.

    Parameters
    ----------
    titles
        Probes that were asked for → their titles.
    architecture
        Of the finder.
    asked
        Pairs of each population, and the seed.
    """
    results = {result.definition.name: result for result in audit.results}
    found = [(one, results[one.probe]) for one in audit.ranked]
    return ProbesBlock(
        *asked,
        n_findings=sum(len(result.findings) for result in audit.results),
        rows=tuple(row_of(*one) for one in found),
        details=tuple(detail_of(*one, architecture) for one in found),
        not_applicable=tuple(Unprobed(name, titles[name], why) for name, why in audit.not_applicable.items()),
        left_out=_left_out(titles),
        words=tuple({"word": state.word, "meaning": state.definition} for state in STATES),
        natures=tuple({"nature": nature, "meaning": meaning} for nature, meaning in NATURES),
    )


def has_compound(probes: ProbesBlock | None) -> bool:
    """Whether the compound probe was run."""
    return probes is not None and any(row.probe == COMPOUND for row in probes.rows)


def _audit(
    finder: Finder, definitions: Sequence[ProbeDefinition], out: Path, options: AuditOptions, progress: StageProgress
) -> ProbeAudit:
    asked = [
        {"definition": one.model_dump(mode="json"), "inputs": [dict(arm.inputs) for arm in one.arms()]}
        for one in definitions
    ]
    key = key_of(finder, probes=asked, n=options.probe_n, seed=options.seed, states=[one.word for one in STATES])
    form = JsonForm[ProbeAudit](encode=ProbeAudit.to_json, decode=ProbeAudit.from_json)
    piece = Piece(out / FOLDER / KEPT, form, key)
    kept = piece.load()
    if kept is None:
        return piece.or_made(lambda: _asked(finder, definitions, out / FOLDER, options, progress))
    progress(FOLDER, 1, 1)
    return kept


def _asked(
    finder: Finder, definitions: Sequence[ProbeDefinition], folder: Path, options: AuditOptions, progress: StageProgress
) -> ProbeAudit:
    from lensaudit.probes import ProbeOptions, run_audit, why_not_applicable

    reasons = {one.name: why_not_applicable(one, finder) for one in definitions}
    pairs = {
        one.name: options.probe_n * len(one.mode(None)[1].populations) for one in definitions if not reasons[one.name]
    }
    if not pairs:
        return audited([], {name: why for name, why in reasons.items() if why})
    together = _Together(progress, sum(pairs.values()))
    workers = ProbeOptions(workers=options.workers, batch=options.batch)
    return run_audit(finder, options.probe_n, options.seed, folder, options.probes, workers, together)


class _Together:
    """One bar for all probes: the pairs of every population of each, added up."""

    def __init__(self, progress: StageProgress, total: int) -> None:
        self._progress, self._total = progress, total
        self._done: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        self._done[what] = done
        self._progress(FOLDER, sum(self._done.values()), self._total)


def _left_out(run: dict[str, str]) -> tuple[Unprobed, ...]:
    """Built-in probes that were not asked for."""
    missing = [load_definition(name) for name in builtin_probes() if name not in run]
    needs_file = "needs a file of its own: lensaudit probe {name}"
    return tuple(
        Unprobed(
            one.name,
            one.title,
            "not asked for; --probe all runs it" if one.audited else needs_file.format(name=one.name),
        )
        for one in missing
    )
