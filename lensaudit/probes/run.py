"""Run a probe: render the pairs, score both arms, measure, judge, draw and write."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.files import writable_folder, write_json, write_text
from lensaudit.finders import Finder
from lensaudit.probes.audit import AUDIT_FILE, ProbeAudit, audited, audited_probes
from lensaudit.probes.collect import Answers, ChangesNothing, collect, systems_left
from lensaudit.probes.columns import Curve, Sample, check_columns, dose_columns, fulfilling, pair_columns, recall_curve
from lensaudit.probes.definition import Mode, ProbeDefinition, load_definition, refuse_idle, with_kernel, with_sources
from lensaudit.probes.elsewhere import seen_by, why_no_scene
from lensaudit.probes.experiment import VISIBLE_PIXELS, Experiment, Fields, Source, lenses_of
from lensaudit.probes.finding import ALL_PAIRS, Finding, PairedScores, concluded, measure, probability
from lensaudit.probes.on_hosts import HOSTS_LABEL, on_hosts
from lensaudit.probes.options import ProbeOptions, refuse_two, settled
from lensaudit.probes.page import draw_figures, figure_files, page
from lensaudit.probes.response import Response, response
from lensaudit.probes.result import (
    JSON_FILE,
    PAGE_FILE,
    AuditedFinder,
    Example,
    ProbeResult,
    ProbeSettings,
    rule_counts,
    visible_edits,
)
from lensaudit.provenance import Provenance, refuse_other
from lensaudit.spread import StageProgress
from lensaudit.untrusted import path_within

REASONS = ("largest loss", "median change", "largest gain")


def choose_examples(
    population: str, source: Source, scores: PairedScores, visible: NDArray[np.bool_]
) -> tuple[Example, ...]:
    """Up to three pairs by their change of logit, among the `visible` ones if there are any."""
    candidates = np.flatnonzero(visible) if visible.any() else np.arange(len(scores))
    change = (scores.treated - scores.control)[candidates]
    ranked = candidates[np.argsort(change, kind="stable")]
    chosen = dict.fromkeys([int(ranked[0]), int(ranked[len(ranked) // 2]), int(ranked[-1])])
    p_control, p_treated = probability(scores.control), probability(scores.treated)
    reasons = dict(zip([int(ranked[-1]), int(ranked[len(ranked) // 2]), int(ranked[0])], REASONS[::-1], strict=True))
    return tuple(
        Example(source.id(k), population, k, reasons[k], float(p_control[k]), float(p_treated[k])) for k in chosen
    )


def why_not_applicable(definition: ProbeDefinition, finder: Finder, fields: Fields | None = None) -> str | None:
    """Why this finder cannot see what the probe changes, in one clause; None if it can.

    `fields` are those of the cutouts; by default of what the probe's instrument renders.
    """
    promised = definition.drawn("", 0, 0).fields if fields is None else fields
    bands = finder.recipe.bands
    missing = [band for band in bands if band not in promised.bands]
    if missing:
        return (
            f"finder '{finder.name}' needs band {', '.join(missing)}, and the probe renders {promised.instrument} "
            f"({', '.join(promised.bands)}) only"
        )
    if definition.colour_only and len(bands) == 1:
        return f"finder '{finder.name}' sees band {bands[0]} alone, and the probe changes colours only"
    try:
        finder.for_units(promised).check(promised)
    except DataError as error:
        return str(error)
    return None


SET_LABEL = "set"
"""Population label of the systems of a user's own lens set."""

"""Told what is being done, how many images are done and of how many."""


def run_probe(
    probe: str | Path | ProbeDefinition,
    finder: Finder,
    n: int,
    seed: int,
    out: Path,
    options: ProbeOptions | None = None,
    progress: StageProgress | None = None,
) -> ProbeResult:
    """Ask `finder` about `n` pairs of each population of `probe`; write the result into the folder `out`.

    Answers are kept in ``out/parts`` block by block: an interrupted run goes on from there.

    Returns
    -------
    ProbeResult
        What was also written as ``probe.json``, ``pairs.parquet``, ``probe.md`` and figures.

    Raises
    ------
    UsageError
        An option is out of range, the probe is not applicable to this finder, or an edit
        changes nothing or refuses a scene.
    DataError
        The finder's answer is not finite.
    """
    definition = probe if isinstance(probe, ProbeDefinition) else load_definition(probe)
    options = options or ProbeOptions()
    refuse_two(options)
    if options.hosts is not None:
        options = replace(options, hosts=options.hosts.of(definition))
    if options.lens_set is None:
        definition = _as_seen(definition, finder, options)
    definition = with_kernel(definition, options.psf, options.psf_extension)
    if definition.textured or options.hosts is None:  # those of hosts are the arcs', and no probe's
        definition = with_sources(definition, options.sources)
    settings, mode = settled(definition, n, seed, options)
    check_columns(definition)
    sources = _sources(definition, settings, mode, options)
    for source in sources.values():
        if reason := why_not_applicable(definition, finder, source.fields):
            raise UsageError(f"probe '{definition.name}' is not applicable: {reason}")
    if options.lens_set is not None:
        settings = replace(settings, n=sources[SET_LABEL].n, lens_set=sources[SET_LABEL].name)
    if options.hosts is not None:
        if reason := options.hosts.why_not(definition):
            raise UsageError(f"probe '{definition.name}' cannot be asked on hosts: it {reason}")
        settings = replace(settings, n=options.hosts.n, hosts=options.hosts.used)
    finder = _with_stretch(finder, options.stretch or mode.stretch)
    folder = writable_folder(Path(out))
    refuse_other(folder / JSON_FILE, {"finder": finder.weights_hash}, "probe")
    samples = [
        _sample(definition, finder, label, source, folder, options, progress) for label, source in sources.items()
    ]
    result = conclude(definition, settings, finder, samples)
    write(result, samples, folder)
    return result


def _as_seen(definition: ProbeDefinition, finder: Finder, options: ProbeOptions) -> ProbeDefinition:
    """The probe on the hosts, or on the instrument that is asked for or fits the finder."""
    if options.hosts is not None:
        return on_hosts(definition, options.hosts)
    return seen_by(definition, finder, options.instrument)


def pairs_left(probe: ProbeDefinition, finder: Finder, n: int, seed: int, out: Path) -> int:
    """How many of `n` pairs of each population `run_probe`, with its own options, has still to ask about."""
    definition, options = seen_by(probe, finder), ProbeOptions()
    settings, mode = settled(definition, n, seed, options)
    sources = _sources(definition, settings, mode, options).values()
    asked = _with_stretch(finder, mode.stretch)
    return sum(systems_left(Experiment(source, definition.arms()), asked, out) for source in sources)


def _sources(
    definition: ProbeDefinition, settings: ProbeSettings, mode: Mode, options: ProbeOptions
) -> dict[str, Source]:
    """Label → where its systems come from: the populations of the mode, or the user's own lens set or hosts."""
    if options.hosts is not None:
        return {HOSTS_LABEL: options.hosts}
    if options.lens_set is not None:
        if not definition.on_images:
            raise UsageError(
                f"probe '{definition.name}' edits scenes, and {options.lens_set} holds images; leave --set out, or "
                "take a probe that edits images"
            )
        return {SET_LABEL: lenses_of(options.lens_set, settings.n, settings.seed)}
    return {
        label: definition.drawn(population, settings.seed, settings.n) for label, population in mode.populations.items()
    }


def _with_stretch(finder: Finder, stretch: str | None) -> Finder:
    if stretch is None or stretch == finder.recipe.stretch:
        return finder
    if finder.recipe.preprocessing:
        raise UsageError(
            f"finder {finder.name} has its preprocessing declared, and --stretch {stretch} (or a mode that says so) "
            f"would replace it; leave it out"
        )
    return replace(finder, recipe=finder.recipe.model_copy(update={"stretch": stretch}))


def _sample(
    definition: ProbeDefinition,
    finder: Finder,
    label: str,
    source: Source,
    folder: Path,
    options: ProbeOptions,
    progress: StageProgress | None,
) -> Sample:
    watch = None if progress is None else partial(progress, label)
    experiment = Experiment(source, definition.arms())
    [asked] = collect(experiment, [finder], folder, options.workers, watch, options.batch)
    return sample_of(definition, label, experiment, asked, finder)


def sample_of(
    definition: ProbeDefinition, label: str, experiment: Experiment, asked: Answers, finder: Finder
) -> Sample:
    """The answers of a finder as a sample of one population."""
    return Sample(label, experiment, asked, finder.recipe.threshold, fulfilling(definition.lens_rule, asked.truth))


def conclude(
    definition: ProbeDefinition, settings: ProbeSettings, finder: Finder | AuditedFinder, samples: Sequence[Sample]
) -> ProbeResult:
    """Measure, correct and judge all that a finder said; one outside Python is known by its record alone."""
    asked = finder if isinstance(finder, AuditedFinder) else _record(finder)
    columns = pair_columns(samples)
    measured = [finding for sample in samples for finding in _measured(definition, settings.seed, sample)]
    return ProbeResult(
        definition=definition,
        settings=settings,
        finder=asked,
        findings=concluded(measured, settings.tolerance, definition.nature),
        responses=_responses(definition, settings, samples),
        curves=tuple(curve for sample in samples for curve in _curves(definition, sample)),
        examples=tuple(
            example
            for sample in samples
            for example in choose_examples(
                sample.label, sample.experiment.source, sample.scores(sample.last), _worth_showing(sample)
            )
        ),
        columns=columns,
        every_dose=dose_columns(samples),
        visible_edits=visible_edits(columns),
        rule_counts=rule_counts(columns) if definition.lens_rule else {},
        figures=figure_files(definition),
        provenance=Provenance.here(
            seed=settings.seed,
            inputs={"finder": asked.weights_hash}
            | {name: value for sample in samples for name, value in sample.experiment.inputs.items()},
        ),
    )


def _record(finder: Finder) -> AuditedFinder:
    recipe = finder.recipe
    return AuditedFinder(
        finder.name, str(finder.origin), finder.weights_hash, recipe.bands, recipe.scaling, recipe.threshold
    )


def _measured(definition: ProbeDefinition, seed: int, sample: Sample) -> list[Finding]:
    """Every treated arm, over all pairs and over those with a visible lens in both; each draws its own resamples."""
    findings = []
    for arm in range(1, len(sample.experiment.arms)):
        subsets = [(ALL_PAIRS, np.ones(sample.n, dtype=bool))]
        if definition.lens_rule is not None:
            subsets.append((definition.lens_rule.name, sample.visible(arm)))
        dose = sample.experiment.arms[arm].dose
        findings += [
            measure(sample.label, subset, sample.scores(arm).where(keep), _generator(seed, sample.label, subset), dose)
            for subset, keep in subsets
        ]
    return findings


def _responses(definition: ProbeDefinition, settings: ProbeSettings, samples: Sequence[Sample]) -> tuple[Response, ...]:
    control = definition.doses.control if definition.doses else None
    if control is None:
        return ()  # doses without an order, such as orientations: there is nothing to cross
    found = (
        response(sample, settings.tolerance, control, _generator(settings.seed, sample.label, "response"))
        for sample in samples
    )
    return tuple(one for one in found if one is not None)


def _worth_showing(sample: Sample) -> NDArray[np.bool_]:
    """Pairs with a visible lens in both arms, else those in which the edit is to be seen."""
    visible = sample.visible(sample.last)
    return visible if visible.any() else sample.asked.changed[sample.last] > VISIBLE_PIXELS


def _generator(seed: int, *words: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


def _curves(definition: ProbeDefinition, sample: Sample) -> list[Curve]:
    return [
        recall_curve(
            sample.label,
            (name, axis.label),
            sample.truth(sample.last, name).astype(float),
            sample.scores(sample.last),
            axis.edges,
        )
        for name, axis in definition.curves.items()
    ]


def write(result: ProbeResult, samples: Sequence[Sample], folder: Path) -> None:
    """The JSON last, and an older one first away: where it lies, everything it names lies too."""
    (folder / JSON_FILE).unlink(missing_ok=True)
    result.write_pairs(folder)
    draw_figures(result, {sample.label: sample.experiment for sample in samples}, folder)
    write_text(folder / PAGE_FILE, page(result))
    write_json(folder / JSON_FILE, result.to_json())


def run_audit(
    finder: Finder,
    n: int,
    seed: int,
    out: Path,
    probes: Sequence[str] = (),
    options: ProbeOptions | None = None,
    progress: StageProgress | None = None,
) -> ProbeAudit:
    """Run probes one after the other into ``out/PROBE``; write ``audit.json`` and ``audit.md``.

    A probe that does not apply to this finder, or cannot be asked on hosts, is listed with its reason. Findings of all
    probes are corrected together.

    Raises
    ------
    UsageError
        As `run_probe`; or no probe applies.
    """
    options = ProbeOptions() if options is None else options
    refuse_two(options)
    hosts = options.hosts
    asked = audited_probes(probes, options.sources)
    refuse_idle(asked, options.sources, hosts=hosts is not None)
    options = replace(options, sources=None)
    definitions = [_as_seen(definition, finder, options) for definition in asked]
    folder = writable_folder(Path(out))
    refuse_other(folder / AUDIT_FILE, {"finder": finder.weights_hash}, "audit")
    (folder / AUDIT_FILE).unlink(missing_ok=True)  # where it lies, everything it names lies too
    results, refused, not_on_hosts = [], {}, {}
    for definition in definitions:
        fields = None if hosts is None else hosts.fields
        if reason := why_not_applicable(definition, finder, fields) or (
            why_no_scene(definition) if not hosts else None
        ):
            refused[definition.name] = reason
            continue
        if hosts is not None and (reason := hosts.why_not(definition)):
            not_on_hosts[definition.name] = f"it {reason}"
            continue
        watch = None if progress is None else partial(_named, progress, definition.name)
        try:
            results.append(run_probe(definition, finder, n, seed, path_within(folder, definition.name), options, watch))
        except ChangesNothing as nothing:
            # For instance bands swapped that this finder does not look at; the other probes have their say.
            refused[definition.name] = str(nothing)
    if not results:
        reason = next(iter((refused | not_on_hosts).values()))
        raise UsageError(f"no probe applies to finder '{finder.name}'{' on these hosts' if hosts else ''}: {reason}")
    audit = audited(results, refused, not_on_hosts)
    audit.write(folder)
    return audit


def _named(progress: StageProgress, name: str, what: str, done: int, total: int) -> None:
    progress(f"{name}: {what}", done, total)
