"""Measure finders on the same sets and write ``compare.json``."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lensaudit.comparing.against import baseline_of, check_baseline, checks_on, refuse_never_together, with_verdicts
from lensaudit.comparing.comparison import (
    COMPARISON_NAME,
    SCHEMA,
    ComparedSet,
    Comparison,
    FinderOnSet,
    Refused,
    SetComparison,
    Speed,
)
from lensaudit.comparing.entrants import CompareOptions, Entrant
from lensaudit.comparing.measuring import (
    FirstImages,
    check_probes,
    compared_probes,
    fraction_left,
    judged,
    main_kind,
    methods_for,
    probe_folder,
    scored,
    scores_of,
)
from lensaudit.comparing.pairs import Told, pairs_of, ranking_of
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import calibrate, evaluate
from lensaudit.explaining.judging.attributor import chosen_methods
from lensaudit.explaining.judging.sample import kinds_of
from lensaudit.files import writable_folder
from lensaudit.finders import Finder, Scores, pixel_record, takes_statistics
from lensaudit.finders.finder import Cutouts
from lensaudit.finders.score import default_batch_size
from lensaudit.lensset import LensSet
from lensaudit.probes.audit import audited_probes
from lensaudit.provenance import Provenance, refuse_other
from lensaudit.report.build import set_block
from lensaudit.report.options import quiet
from lensaudit.report.quickstart import PAGE_BYTES, SCORE_BYTES, Asked, Estimate, measured, peak_memory, work_of_probes
from lensaudit.scenes.scene import LENS_KINDS
from lensaudit.spread import StageProgress

SPEED = 2.0
"""Seconds that the measurement of images per second takes for a finder."""


def estimate_of_comparison(
    entrants: Sequence[Entrant], sets: Sequence[LensSet], options: CompareOptions, out: Path
) -> Estimate:
    """What :func:`lensaudit.comparing.compare` will take, less what an earlier run into `out` has finished.

    A finder that cannot take a set as input costs nothing on it.
    """
    parts, disk = {"scoring": 0.0, "explanations": 0.0, "probes": 0.0, "speed": 0.0}, PAGE_BYTES
    probes = audited_probes(options.probes, options.sources) if options.probes else []
    for entrant in entrants:
        methods = methods_for(entrant.finder, options.methods) if options.explanations else ()
        speeds = None
        for lens_set in sets:
            try:
                reader = entrant.refitted_to(lens_set) if options.refit else entrant
                reader.finder.for_units(lens_set).check(lens_set)
            except DataError:
                continue
            if speeds is None:
                finder = reader.finder.for_units(lens_set)
                speeds = measured(finder, lens_set, options.batch, occlusion="occlusion" in methods)
            images = FirstImages(lens_set, options.n)
            if scores_of(reader, images, out).load() is None:
                parts["scoring"] += len(images) * speeds.forward
                disk += len(images) * SCORE_BYTES
            if methods and lens_set.has_truth:
                lenses = _lenses(lens_set, options.explanations)
                parts["explanations"] += fraction_left(reader, lens_set, out, options) * lenses * speeds.maps(methods)
        if speeds is not None:
            asked = Asked(options.probe_n, options.seed, options.workers, probe_folder(out, entrant), options.seen_by)
            work = work_of_probes(entrant.finder, probes, asked)
            parts["probes"] += work.images * speeds.forward + work.rendering
            parts["speed"] += SPEED if options.speed else 0.0
            disk += work.disk_bytes
    return Estimate(parts, disk, peak_memory())


def _lenses(lens_set: LensSet, most: int) -> int:
    """How many lenses are explained: up to `most` of each kind."""
    counted = Counter(kinds_of(lens_set))
    return sum(min(most, counted[kind]) for kind in (*LENS_KINDS, "lens"))


REPEATS = 5
SECONDS = 0.3
"""Least time of one repeat."""


def speeds_of(entrants: Sequence[Entrant], lens_set: LensSet, batch: int | None = None) -> list[Speed]:
    """Images per second of preparing and scoring cutouts that lie in memory, for each finder.

    Repeats of the finders alternate, so that a busy minute of the machine does not fall on one of them alone.
    """
    runs = [_Run(entrant, lens_set, batch) for entrant in entrants]
    for _ in range(REPEATS):
        for run in runs:
            run.repeat()
    return [run.told() for run in runs]


class _Run:
    """One finder with a batch of cutouts in memory, warmed up."""

    def __init__(self, entrant: Entrant, lens_set: LensSet, batch: int | None) -> None:
        self.entrant, self.batch = entrant, batch or default_batch_size(entrant.finder)
        self.cutouts = _cutouts(entrant.finder, lens_set, self.batch)
        self.found: list[float] = []
        self._score()
        self.rounds = max(1, round(SECONDS / max(self._score(), 1e-6)))

    def repeat(self) -> None:
        """Time one more repeat."""
        seconds = sum(self._score() for _ in range(self.rounds))
        self.found.append(self.rounds * self.batch / seconds)

    def told(self) -> Speed:
        """Median and range."""
        device = self.entrant.finder.device
        return Speed(
            finder=self.entrant.label,
            images_per_s=statistics.median(self.found),
            lowest=min(self.found),
            highest=max(self.found),
            repeats=len(self.found),
            images=self.rounds * self.batch,
            batch=self.batch,
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
            threads=torch.get_num_threads(),
        )

    @torch.inference_mode()
    def _score(self) -> float:
        """Seconds of one batch; back on the CPU, so that a GPU has really finished."""
        began = time.perf_counter()
        images, _ = self.entrant.finder.prepare(self.cutouts)
        self.entrant.finder.logit(images).cpu()
        return time.perf_counter() - began


def _cutouts(finder: Finder, lens_set: LensSet, batch: int) -> Cutouts:
    """`batch` images of the set, from its first ones over and over where it has fewer."""
    rows = np.arange(batch) % len(lens_set)
    columns = {name: np.asarray(lens_set.column(name), np.float64)[rows] for name in finder.extra_columns}
    return {band: lens_set.images(band, rows) for band in finder.recipe.bands} | columns


def row_of(entrant: Entrant, images: FirstImages, scores: Scores, seed: int) -> FinderOnSet:
    """Metrics, ROC curve and calibration of a finder at its own threshold, with their intervals."""
    labels, recipe = images.labels, entrant.finder.recipe
    result = evaluate(labels, scores.p_lens, scores.logit, threshold=recipe.threshold, seed=seed)
    return FinderOnSet(
        finder=entrant.label,
        n=result.n,
        n_lenses=result.n_lenses,
        n_non_lenses=result.n_non_lenses,
        n_unlabelled=result.n_unlabelled,
        n_unscored=result.n_unscored,
        threshold=result.threshold,
        counts=result.counts,
        roc=result.roc,
        metrics={metric.name: metric for metric in result.metrics},
        calibration=calibrate(labels, scores.p_lens, seed),
        seen=entrant.has_seen(images.lens_set.content_hash),
        unused_bands=tuple(entrant.finder.unused_bands(images.lens_set)),
        other_pixels=entrant.finder.other_pixels(images.lens_set),
        pixels=pixel_record(entrant.finder, images.lens_set, scores.clipping),
    )


def compare(
    entrants: Sequence[Entrant],
    sets: Sequence[LensSet],
    out: Path,
    options: CompareOptions | None = None,
    progress: StageProgress = quiet,
) -> Comparison:
    """Compare finders on lens sets; write ``compare.json`` and, where speed is measured, ``speed.json``.

    A finder that cannot take a set as input is listed with the reason, and compared on the others. Scores, probes and
    explanations of an earlier run in `out` are taken up where they rest on the same weights, recipe, set and settings.

    Parameters
    ----------
    entrants
        Of :func:`entrants_of`.
    sets
        One or more, each compared on its own.
    out
        Folder; made if need be.
    options
        What is measured.
    progress
        Called with the name of a stage, its steps done and its steps in all.

    Returns
    -------
    Comparison
        As written.

    Raises
    ------
    UsageError
        No set is given or one is given twice, `out` cannot be written, or there is no such probe or method.
    DataError
        No finder can take any of the sets as input.
    """
    options = CompareOptions() if options is None else options
    check_comparison(entrants, sets, options)
    taking = [_taking(entrants, lens_set, refit=options.refit) for lens_set in sets]
    if not any(able for able, _ in taking):
        raise DataError(f"no finder can be compared on any set; {sets[0].path}, first: {taking[0][1][0].why}")
    labels = [entrant.label for entrant in entrants]
    refuse_never_together([able for able, _ in taking], labels, options.baseline)
    out = writable_folder(Path(out))
    refuse_other(out / COMPARISON_NAME, _inputs(entrants, sets), "comparison")
    blocks = [
        _set_block(able, refused, lens_set, out, (options, progress))
        for lens_set, (able, refused) in zip(sets, taking, strict=True)
    ]
    probes = compared_probes(entrants, out, options, progress)
    comparison = Comparison(
        schema=SCHEMA,
        finders=tuple(entrant.facts() for entrant in entrants),
        sets=tuple(with_verdicts(blocks, options)),
        probes=probes,
        options=options,
        provenance=Provenance.here(seed=options.seed, inputs=_inputs(entrants, sets)),
        speed=_speeds(sets, [able for able, _ in taking], options),
        baseline=baseline_of(probes, options),
    )
    comparison.write(out)
    return comparison


def check_comparison(entrants: Sequence[Entrant], sets: Sequence[LensSet], options: CompareOptions) -> None:
    """Raise UsageError for what is wrong with the sets or what is asked for, before the work starts."""
    if options.refit and not any(takes_statistics(entrant.finder) for entrant in entrants):
        raise UsageError("--refit: no finder's stretch takes statistics of a training set; leave it out")
    _check_sets(sets)
    check_baseline([entrant.label for entrant in entrants], sets, options)
    check_probes(options)
    chosen_methods(options.methods)


def _check_sets(sets: Sequence[LensSet]) -> None:
    if not sets:
        raise UsageError("no set is given; name one or more with --set")
    known: dict[str, Path] = {}
    for lens_set in sets:
        if lens_set.content_hash in known:
            raise UsageError(f"--set {lens_set.path}: is the same set as {known[lens_set.content_hash]}; give it once")
        known[lens_set.content_hash] = lens_set.path


def _taking(entrants: Sequence[Entrant], lens_set: LensSet, *, refit: bool) -> tuple[list[Entrant], list[Refused]]:
    """Finders that can take the set as input, and why the others cannot."""
    able, refused = [], []
    for entrant in entrants:
        try:
            reader = entrant.refitted_to(lens_set) if refit else entrant
            reader.finder.for_units(lens_set).check(lens_set)
            able.append(reader)
        except DataError as error:
            refused.append(Refused(entrant.label, str(error)))
    return able, refused


def _set_block(
    able: Sequence[Entrant],
    refused: Sequence[Refused],
    lens_set: LensSet,
    out: Path,
    how: tuple[CompareOptions, StageProgress],
) -> SetComparison:
    options, progress = how
    images = FirstImages(lens_set, options.n)
    scores = [scored(entrant, images, out, options, progress) for entrant in able]
    rows = []
    for entrant, found in zip(able, scores, strict=True):
        rows.append(row_of(entrant, images, found, options.seed))
        progress(f"measuring on {lens_set.path.name}", len(rows), len(able))
    labels, told = _common(able, images, scores)
    pairs = pairs_of(labels, told, options.seed)
    explained = [judged(entrant, lens_set, out, options, progress) for entrant in able if options.explanations]
    return SetComparison(
        set=ComparedSet.from_json(set_block(lens_set).to_json()),
        n=len(images),
        rows=tuple(rows),
        refused=tuple(refused),
        n_compared=len(labels),
        pairs=pairs,
        ranking=ranking_of({row.finder: row.metrics["auroc"].value for row in rows}, pairs),
        explanations=tuple(explained),
        main_kind=main_kind(lens_set),
        checks=checks_on(able, images, scores, options),
    )


def _common(able: Sequence[Entrant], images: FirstImages, scores: Sequence[Scores]) -> tuple[np.ndarray, list[Told]]:
    """Labelled images that every finder could score: their labels, and what each finder says of them."""
    labels = images.labels
    kept = (labels == 0) | (labels == 1)
    for found in scores:
        kept &= np.isfinite(found.p_lens)
    told = [
        Told(entrant.label, found.p_lens[kept], found.logit[kept], entrant.finder.recipe.threshold)
        for entrant, found in zip(able, scores, strict=True)
    ]
    return labels[kept], told


def _speeds(sets: Sequence[LensSet], taking: Sequence[Sequence[Entrant]], options: CompareOptions) -> tuple[Speed, ...]:
    """Each finder on the first set it can take as input; nothing where speed is not asked for."""
    speeds: list[Speed] = []
    for lens_set, able in zip(sets, taking, strict=True) if options.speed else ():
        known = {one.finder for one in speeds}
        speeds += speeds_of([entrant for entrant in able if entrant.label not in known], lens_set, options.batch)
    return tuple(speeds)


def _inputs(entrants: Sequence[Entrant], sets: Sequence[LensSet]) -> dict[str, str]:
    finders = {f"finder {entrant.label}": entrant.finder.weights_hash for entrant in entrants}
    return finders | {f"set {one.path.name}": one.content_hash for one in sets}
