"""What a comparison will take, from one batch and one map of each finder and one scene, timed before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lensaudit.comparing.entrants import Entrant
from lensaudit.comparing.explaining import fraction_left, methods_for
from lensaudit.comparing.options import CompareOptions
from lensaudit.comparing.probing import probe_folder
from lensaudit.comparing.scoring import FirstImages, kept_of
from lensaudit.errors import DataError
from lensaudit.explain.judging.sample import kinds_of
from lensaudit.lensset import LensSet
from lensaudit.probes.audit import audited_probes
from lensaudit.report.estimate import PAGE_BYTES, SCORE_BYTES, Asked, Estimate, measured, peak_memory, work_of_probes
from lensaudit.scenes.scene import LENS_KINDS

SPEED = 2.0
"""Seconds that the measurement of images per second takes for a finder."""


def estimate_of_comparison(
    entrants: Sequence[Entrant], sets: Sequence[LensSet], options: CompareOptions, out: Path
) -> Estimate:
    """What :func:`lensaudit.comparing.compare` will take, less what an earlier run into `out` has finished.

    A finder that cannot take a set as input costs nothing on it.
    """
    parts, disk = {"scoring": 0.0, "explanations": 0.0, "probes": 0.0, "speed": 0.0}, PAGE_BYTES
    probes = audited_probes(options.probes) if options.probes else []
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
            if kept_of(reader, images, out) is None:
                parts["scoring"] += len(images) * speeds.forward
                disk += len(images) * SCORE_BYTES
            if methods and lens_set.has_truth:
                lenses = _lenses(lens_set, options.explanations)
                parts["explanations"] += fraction_left(reader, lens_set, out, options) * lenses * speeds.maps(methods)
        if speeds is not None:
            asked = Asked(options.probe_n, options.seed, options.workers, probe_folder(out, entrant))
            work = work_of_probes(entrant.finder, probes, asked)
            parts["probes"] += work.images * speeds.forward + work.rendering
            parts["speed"] += SPEED if options.speed else 0.0
            disk += work.disk_bytes
    return Estimate(parts, disk, peak_memory())


def _lenses(lens_set: LensSet, most: int) -> int:
    """How many lenses are explained: up to `most` of each kind."""
    counted = Counter(kinds_of(lens_set))
    return sum(min(most, counted[kind]) for kind in (*LENS_KINDS, "lens"))
