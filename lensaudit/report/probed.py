"""The probes of an audit run, on drawn scenes and on hosts, or taken from an earlier run; and the pairs they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lensaudit.display.images import main_band
from lensaudit.errors import UsageError
from lensaudit.kept import Arrays, JsonForm, Piece
from lensaudit.probes import (
    Experiment,
    OnHosts,
    ProbeAudit,
    ProbeDefinition,
    ProbeOptions,
    audited,
    run_audit,
    why_not_applicable,
)
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.definition import refuse_idle
from lensaudit.probes.elsewhere import reading_drawn, seen_by
from lensaudit.probes.experiment import Source
from lensaudit.probes.on_hosts import check_hosts, on_hosts
from lensaudit.probes.result import Example, ProbeResult
from lensaudit.records import plain
from lensaudit.report.audit_file import ARRAYS
from lensaudit.report.options import AuditOptions, arrays_piece, key_of, short_name
from lensaudit.report.probe_block import PairShown, ProbesBlock
from lensaudit.report.probes import COMPOUND, hosted_name, laid_out
from lensaudit.spread import StageProgress
from lensaudit.verdicts import STATES

if TYPE_CHECKING:
    from lensaudit.finders import Finder

PER_POPULATION = {True: 3, False: 1}
"""Pairs of each population: of a probe with an effect, and of one without, whose pairs look much alike."""


@dataclass(frozen=True)
class Hosting:
    """A finder, and the hosts it is asked on; None where scenes are drawn."""

    finder: Finder
    hosts: OnHosts | None = None

    def source(self, result: ProbeResult, population: str) -> Source:
        """Where the pairs of one population of a result come from."""
        definition, settings = result.definition, result.settings
        if self.hosts is not None:
            return self.hosts.of(definition)
        return definition.drawn(definition.modes[settings.mode].populations[population], settings.seed, settings.n)

    def why_not(self, definition: ProbeDefinition) -> str | None:
        """Why the probe is not asked."""
        if self.hosts is None:
            return why_not_applicable(definition, self.finder)
        return why_not_applicable(definition, self.finder, self.hosts.fields) or self.hosts.why_not(definition)


def pairs_of(result: ProbeResult, hosting: Hosting, out: Path, *, many: bool) -> tuple[PairShown, ...]:
    """The pairs shown of a probe, the control beside the treated arm of the last dose; one alone unless `many`."""
    shown: dict[str, list[Example]] = {}
    for example in result.examples:
        shown.setdefault(example.population, []).append(example)
    chosen = [example for group in shown.values() for example in group[: PER_POPULATION[many]]]
    return tuple(_pair(example, result, hosting, out) for example in chosen)


def _pair(example: Example, result: ProbeResult, hosting: Hosting, out: Path) -> PairShown:
    definition = result.definition
    source = hosting.source(result, example.population)
    experiment = Experiment(source, definition.arms())
    path = f"{ARRAYS}/pair-{short_name(definition.name + example.pair_id)}.npz"
    words, inputs = plain(definition.model_dump()), dict(experiment.inputs)
    seed = result.settings.seed
    on: dict[str, Any] = {} if hosting.hosts is None else {"hosts": repr(hosting.hosts)}
    key = key_of(hosting.finder, id=example.pair_id, seed=seed, definition=words, inputs=inputs, **on)
    arrays_piece(out, path, key).or_made(lambda: _pixels(experiment, example.index))
    fields = source.fields
    band = main_band(fields.bands)
    width = fields.shape[band][1] * fields.pixel_scale_arcsec[band]
    return PairShown(example.pair_id, example.reason, path, width, example.p_control, example.p_treated)


def _pixels(experiment: Experiment, index: int) -> Arrays:
    arms = {"control": 0, "treated": len(experiment.arms) - 1}
    images = {arm: experiment.images(index, number) for arm, number in arms.items()}
    return {f"{arm}:band:{band}": image for arm, bands in images.items() for band, image in bands.items()}


FOLDER, HOSTS_FOLDER = "probes", "probes-on-hosts"
KEPT = "report.json"


def probes_block(finder: Finder, out: Path, options: AuditOptions, progress: StageProgress) -> ProbesBlock | None:
    """Ask `finder` about ``options.probe_n`` pairs of each population of each probe; keeps all under ``probes/``.

    With hosts each probe is asked on them too, and kept under ``probes-on-hosts/``; the findings of both are corrected
    together. Answers are kept block by block, so that an interrupted run goes on; a finished one is taken as it is
    where it rests on the same weights, recipe, definitions, number of pairs and seed. None where probes were switched
    off.
    """
    if options.probe_n == 0:
        return None
    drawn = Hosting(reading_drawn(finder, options.instrument))
    definitions = [
        seen_by(one, drawn.finder, options.instrument) for one in audited_probes(options.probes, options.sources)
    ]
    audit = _audit(drawn, definitions, Path(out), options, progress)
    titles = {definition.name: definition.title for definition in definitions}
    ways, used = dict.fromkeys(titles, drawn), None
    if options.hosts is not None:
        hosts = options.hosts.chosen(options.probe_n, options.seed, options.workers)
        real, used = Hosting(finder, hosts), hosts.used
        there = _audit(
            real,
            [on_hosts(one, hosts) for one in audited_probes(options.probes, options.sources)],
            Path(out),
            options,
            progress,
        )
        audit = side_by_side(audit, there)
        ways |= {hosted_name(name): real for name in titles}
    block = laid_out(audit, titles, finder.recipe.architecture, (options.probe_n, options.seed), used)
    results = {result.definition.name: result for result in audit.results}
    details = tuple(
        replace(
            one,
            pairs=pairs_of(results[one.probe], ways[one.probe], Path(out), many=one.open or one.probe == COMPOUND),
        )
        for one in block.details
    )
    return replace(block, details=details)


def side_by_side(drawn: ProbeAudit, there: ProbeAudit) -> ProbeAudit:
    """The probes on drawn scenes and those on hosts as one audit, whose findings are corrected together."""
    renamed = [
        replace(
            result,
            definition=result.definition.model_copy(
                update={
                    "name": hosted_name(result.definition.name),
                    "title": f"{result.definition.title} on hosts",
                }
            ),
        )
        for result in there.results
    ]
    new = {name: why for name, why in there.not_applicable.items() if name not in drawn.not_applicable}
    return audited([*drawn.results, *renamed], drawn.not_applicable, there.not_on_hosts | new)


def check_probes(options: AuditOptions, finder: Finder | None = None) -> None:
    """Raise what is wrong with the probes and hosts that are asked for, before the work starts.

    Raises
    ------
    UsageError
        There is no such probe, or hosts or real galaxies are given and no probes asked for that take them.
    DataError
        The hosts lack something, or `finder` cannot take them as input.
    """
    if options.probe_n:
        asked = audited_probes(options.probes, options.sources)
        refuse_idle(asked, options.sources, hosts=options.hosts is not None)
    if options.hosts is not None:
        if not options.probe_n:
            raise UsageError("--hosts: probes are asked on them, and they are switched off; leave it out")
        if finder is not None:
            check_hosts(finder, options.hosts)


def _audit(
    hosting: Hosting, definitions: Sequence[ProbeDefinition], out: Path, options: AuditOptions, progress: StageProgress
) -> ProbeAudit:
    hosts = hosting.hosts
    folder = out / (FOLDER if hosts is None else HOSTS_FOLDER)
    on: dict[str, Any] = {} if hosts is None else {"hosts": [repr(hosts), hosts.inputs]}
    on |= {"resample": True} if hosts is None and hosting.finder.resamples else {}  # without, other probes apply
    asked = [
        {"definition": one.model_dump(mode="json"), "inputs": [dict(arm.inputs) for arm in one.arms()]}
        for one in definitions
    ]
    states = [one.word for one in STATES]
    key = key_of(hosting.finder, probes=asked, n=options.probe_n, seed=options.seed, states=states, **on)
    form = JsonForm[ProbeAudit](encode=ProbeAudit.to_json, decode=ProbeAudit.from_json)
    piece = Piece(folder / KEPT, form, key)
    kept = piece.load()
    if kept is None:
        return piece.or_made(lambda: _asked(hosting, definitions, folder, options, progress))
    progress(folder.name, 1, 1)
    return kept


def _asked(
    hosting: Hosting,
    definitions: Sequence[ProbeDefinition],
    folder: Path,
    options: AuditOptions,
    progress: StageProgress,
) -> ProbeAudit:
    hosts = hosting.hosts
    reasons = {one.name: hosting.why_not(one) for one in definitions}
    asked = [one for one in definitions if not reasons[one.name]]
    if not asked:
        refused = {name: why for name, why in reasons.items() if why}
        return audited([], refused) if hosts is None else audited([], {}, refused)
    if hosts is None:
        pairs = sum(options.probe_n * len(one.mode(None)[1].populations) for one in asked)
    else:
        pairs = hosts.n * len(asked)
    together = _Together(progress, folder.name, pairs)
    how = ProbeOptions(
        workers=options.workers,
        batch=options.batch,
        instrument=None if hosts else options.instrument,
        hosts=hosts,
        sources=_galaxies(definitions, options),
    )
    return run_audit(hosting.finder, options.probe_n, options.seed, folder, options.probes, how, together)


def _galaxies(definitions: Sequence[ProbeDefinition], options: AuditOptions) -> Path | None:
    """What is to be said of sources: those of hosts are theirs alone where no probe takes any."""
    return options.sources if any(one.textured for one in definitions) else None


class _Together:
    """One bar for all probes: the pairs of every population of each, added up."""

    def __init__(self, progress: StageProgress, stage: str, total: int) -> None:
        self._progress, self._stage, self._total = progress, stage, total
        self._done: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        self._done[what] = done
        self._progress(self._stage, sum(self._done.values()), self._total)
