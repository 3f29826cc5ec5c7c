"""Run a probe: render the pairs, score both arms, measure, judge, draw and write."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.files import writable_folder, write_json, write_text
from lensaudit.finders import Finder
from lensaudit.probes.columns import Sample, check_columns, fulfilling, pair_columns
from lensaudit.probes.curve import Curve, recall_curve
from lensaudit.probes.definition import ProbeDefinition, load_definition
from lensaudit.probes.examples import choose_examples
from lensaudit.probes.figures import draw_figures, figure_files
from lensaudit.probes.finding import ALL_PAIRS, Finding, concluded, measure
from lensaudit.probes.footprint import VISIBLE_PIXELS, changed_pixels
from lensaudit.probes.options import ProbeOptions, settled
from lensaudit.probes.page import page
from lensaudit.probes.pairs import PairPlan, render_pairs
from lensaudit.probes.result import JSON_FILE, PAGE_FILE, AuditedFinder, ProbeResult, ProbeSettings
from lensaudit.probes.score import score_pairs, why_not_applicable
from lensaudit.provenance import provenance

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many images are done and of how many."""


def run_probe(
    probe: str | Path | ProbeDefinition,
    finder: Finder,
    n: int,
    seed: int,
    out: Path,
    options: ProbeOptions | None = None,
    progress: Progress | None = None,
) -> ProbeResult:
    """Ask `finder` about `n` pairs of each population of `probe`; write the result into the folder `out`.

    Rendered pairs stay in ``out/pairs``: an interrupted run goes on from there, and another finder reuses them.

    Returns
    -------
    ProbeResult
        What was also written as ``probe.json``, ``pairs.parquet``, ``probe.md`` and figures.

    Raises
    ------
    UsageError
        An option is out of range, the probe is not applicable to this finder, or `out` holds pairs of another run.
    DataError
        The finder's answer is not finite.
    """
    definition = probe if isinstance(probe, ProbeDefinition) else load_definition(probe)
    options = options or ProbeOptions()
    settings, mode = settled(definition, n, seed, options)
    check_columns(definition)
    if reason := why_not_applicable(definition.instrument, finder):
        raise UsageError(f"probe '{definition.name}' is not applicable: {reason}")
    finder = _with_stretch(finder, options.stretch or mode.stretch)
    folder = writable_folder(Path(out))
    samples = [
        _sample(definition, finder, label, _plan(definition, population, settings), folder, options.workers, progress)
        for label, population in mode.populations.items()
    ]
    result = _conclude(definition, settings, finder, samples)
    _write(result, samples, folder)
    return result


def _with_stretch(finder: Finder, stretch: str | None) -> Finder:
    if stretch is None or stretch == finder.recipe.stretch:
        return finder
    return replace(finder, recipe=finder.recipe.model_copy(update={"stretch": stretch}))


def _plan(definition: ProbeDefinition, population: str, settings: ProbeSettings) -> PairPlan:
    edits = definition.edits
    return PairPlan(population, settings.seed, settings.n, edits.control, edits.treated, definition.instrument)


def _sample(
    definition: ProbeDefinition,
    finder: Finder,
    label: str,
    plan: PairPlan,
    folder: Path,
    workers: int,
    progress: Progress | None,
) -> Sample:
    def told(what: str) -> Callable[[int, int], None] | None:
        return None if progress is None else partial(progress, f"{what} {label}")

    pairs = render_pairs(plan, folder / "pairs" / plan.population, workers, told("rendering"))
    scores = score_pairs(finder, pairs, told("scoring"))
    return Sample(label, pairs, scores, fulfilling(definition.lens_rule, pairs), changed_pixels(pairs))


def _conclude(
    definition: ProbeDefinition, settings: ProbeSettings, finder: Finder, samples: list[Sample]
) -> ProbeResult:
    recipe = finder.recipe
    measured = [finding for sample in samples for finding in _measured(definition, settings.seed, sample)]
    return ProbeResult(
        definition=definition,
        settings=settings,
        finder=AuditedFinder(
            finder.name, str(finder.origin), finder.weights_hash, recipe.bands, recipe.stretch, recipe.threshold
        ),
        findings=concluded(measured, settings.tolerance, definition.nature),
        curves=tuple(curve for sample in samples for curve in _curves(definition, sample)),
        examples=tuple(
            example
            for sample in samples
            for example in choose_examples(sample.label, sample.pairs.plan, sample.scores, _worth_showing(sample))
        ),
        columns=pair_columns(samples),
        figures=figure_files(definition),
        provenance=provenance(seed=settings.seed, inputs={"finder": finder.weights_hash}),
    )


def _measured(definition: ProbeDefinition, seed: int, sample: Sample) -> list[Finding]:
    """All pairs, and those with a visible lens in both arms; each draws its own resamples."""
    subsets = [(ALL_PAIRS, np.ones(len(sample.scores), dtype=bool))]
    if definition.lens_rule is not None:
        subsets.append((definition.lens_rule.name, sample.visible))
    return [
        measure(sample.label, subset, sample.scores.where(keep), _generator(seed, sample.label, subset))
        for subset, keep in subsets
    ]


def _worth_showing(sample: Sample) -> NDArray[np.bool_]:
    """Pairs with a visible lens in both arms, else those in which the edit is to be seen."""
    return sample.visible if sample.visible.any() else sample.changed > VISIBLE_PIXELS


def _generator(seed: int, *words: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


def _curves(definition: ProbeDefinition, sample: Sample) -> list[Curve]:
    return [
        recall_curve(
            sample.label,
            (name, axis.label),
            sample.pairs.truth("treated", name).astype(float),
            sample.scores,
            axis.edges,
        )
        for name, axis in definition.curves.items()
    ]


def _write(result: ProbeResult, samples: list[Sample], folder: Path) -> None:
    """The JSON last, and an older one first away: where it lies, everything it names lies too."""
    (folder / JSON_FILE).unlink(missing_ok=True)
    result.write_pairs(folder)
    draw_figures(result, {sample.label: sample.pairs for sample in samples}, folder)
    write_text(folder / PAGE_FILE, page(result))
    write_json(folder / JSON_FILE, result.to_json())
