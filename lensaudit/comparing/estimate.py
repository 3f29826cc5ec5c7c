"""How long a comparison will take, from one batch and one map of each finder and one scene, timed before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lensaudit.comparing.entrants import Entrant
from lensaudit.comparing.explaining import methods_for
from lensaudit.comparing.options import CompareOptions
from lensaudit.errors import DataError
from lensaudit.explain.judging.sample import kinds_of
from lensaudit.lensset import LensSet
from lensaudit.probes.audit import audited_probes
from lensaudit.report.estimate import Parts, measured, seconds_of_probes
from lensaudit.scenes.scene import LENS_KINDS

SPEED = 2.0
"""Seconds that the measurement of images per second takes for a finder."""


def parts_of_comparison(entrants: Sequence[Entrant], sets: Sequence[LensSet], options: CompareOptions) -> Parts:
    """Seconds of each part of :func:`lensaudit.comparing.compare`, as if no earlier run had left any.

    A finder that cannot take a set as input costs nothing on it.
    """
    parts = {"scoring": 0.0, "explanations": 0.0, "probes": 0.0, "speed": 0.0}
    probes = audited_probes(options.probes) if options.probes else []
    for entrant in entrants:
        methods = methods_for(entrant.finder, options.methods) if options.explanations else ()
        speeds = None
        for lens_set in sets:
            try:
                entrant.finder.check(lens_set)
            except DataError:
                continue
            if speeds is None:
                speeds = measured(entrant.finder, lens_set, options.batch, occlusion="occlusion" in methods)
            n = len(lens_set) if options.n is None else min(options.n, len(lens_set))
            parts["scoring"] += n * speeds.forward
            if lens_set.has_truth:
                parts["explanations"] += _lenses(lens_set, options.explanations) * speeds.maps(methods)
        if speeds is not None:
            finder = entrant.finder.for_field(None)
            parts["probes"] += seconds_of_probes(finder, probes, options.probe_n, speeds, options.workers)
            parts["speed"] += SPEED if options.speed else 0.0
    return parts


def _lenses(lens_set: LensSet, most: int) -> int:
    """How many lenses are explained: up to `most` of each kind."""
    counted = Counter(kinds_of(lens_set))
    return sum(min(most, counted[kind]) for kind in (*LENS_KINDS, "lens"))
