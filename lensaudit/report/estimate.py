"""How long an audit or a comparison will take, from one batch, one map and one scene timed before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lensaudit.durations import duration
from lensaudit.report.options import AuditOptions

GRADIENTS = {
    "saliency": 1.0,
    "input-x-gradient": 1.0,
    "integrated-gradients": 50.0,
    "smoothgrad": 25.0,
    "guided-backprop": 1.5,
    "deeplift": 2.5,
    "gradcam": 1.0,
    "guided-gradcam": 2.5,
}
"""Method of explanation → its cost in gradients of one image."""

GROUPS = 3
"""Groups of a gallery: hits, worst misses, worst false alarms."""

KERNELS = 1.3
"""Cost of looking at all kernels of an image, in forward passes."""

DRAWS_AND_LAYERS = 12
"""Networks of a randomisation check: draws, and one per layer with weights of a common finder."""


@dataclass(frozen=True)
class Speeds:
    """Seconds of the units that work is made of, on this machine.

    Attributes
    ----------
    forward
        To prepare and score one image of a batch.
    gradient
        Of the gradient of one image; 0 for a finder without.
    occlusion
        Of one occlusion map.
    """

    forward: float
    gradient: float
    occlusion: float

    def maps(self, methods: Iterable[str]) -> float:
        """Seconds of the maps of one image by these methods of explanation."""
        return sum(self.occlusion if name == "occlusion" else GRADIENTS[name] * self.gradient for name in methods)


Parts = dict[str, float]
"""Part of the work → seconds."""


def parts_of_audit(finder: Any, lens_set: Any, options: AuditOptions) -> Parts:
    """Seconds of each part of `lensaudit.report.build.build_audit`, as if no earlier run had left any."""
    from lensaudit.explain import applicable_methods
    from lensaudit.probes.audit import audited_probes
    from lensaudit.report.judged import CHECK_IMAGES, CHECKED

    n, methods = len(lens_set), applicable_methods(finder)
    mapped = bool(options.occlusion_n or options.maps_n or options.judge_n)
    speeds = measured(finder, lens_set, options.batch, occlusion=mapped)
    judged = 0.0
    if options.judge_n and lens_set.has_truth:
        checks = DRAWS_AND_LAYERS * CHECK_IMAGES * speeds.maps(name for name in CHECKED if name in methods)
        judged = GROUPS * options.judge_n * speeds.maps(methods) + checks
    probes = audited_probes(options.probes) if options.probe_n else []
    return {
        "scoring": n * speeds.forward,
        "maps": GROUPS * (options.occlusion_n * speeds.occlusion + options.maps_n * speeds.maps(methods)),
        "kernels": n * KERNELS * speeds.forward if options.kernels else 0.0,
        "dreams": options.dream_steps * 4 * speeds.gradient,
        "probes": seconds_of_probes(finder, probes, options.probe_n, speeds, options.workers),
        "judging maps": judged,
    }


def seconds_of_probes(finder: Any, probes: Sequence[Any], n: int, speeds: Speeds, workers: int) -> float:
    """Seconds of `n` pairs of each population of the probes that apply: every arm is rendered and scored."""
    from lensaudit.probes import why_not_applicable
    from lensaudit.probes.elsewhere import seen_by, why_no_scene

    total, scenes = 0.0, {}
    for one in (seen_by(probe, finder) for probe in probes):
        if why_not_applicable(one, finder) or why_no_scene(one):
            continue
        if one.instrument not in scenes:
            population = next(iter(one.mode(None)[1].populations.values()))
            scenes[one.instrument] = _of_scene(population, one.instrument)
        images = n * len(one.mode(None)[1].populations) * len(one.arms())
        total += images * (scenes[one.instrument] / workers + speeds.forward)
    return total


def measured(finder: Any, lens_set: Any, batch: int | None = None, *, occlusion: bool = True) -> Speeds:
    """Time one batch through the finder and, where its work needs them, a gradient and an occlusion map."""
    import torch

    from lensaudit.explain import METHODS
    from lensaudit.explain.attribution.methods import Target
    from lensaudit.explain.occluding.occluder import Occluder
    from lensaudit.finders.score import default_batch_size

    size = batch or default_batch_size(finder)
    rows = np.arange(size) % len(lens_set)
    columns = {name: np.asarray(lens_set.column(name), np.float64)[rows] for name in finder.extra_columns}
    cutouts = {band: lens_set.images(band, rows) for band in finder.recipe.bands} | columns
    images, good = finder.prepare(cutouts)
    images[~good.all(dim=1)] = 0.0

    def score() -> None:
        with torch.inference_mode():
            finder.logit(finder.prepare(cutouts)[0].nan_to_num()).cpu()

    def gradient() -> None:
        METHODS["saliency"].run(Target(finder), images[:1].clone(), torch.Generator())

    one = images[:1].clone()
    return Speeds(
        forward=_seconds(score) / size,
        gradient=_seconds(gradient) if finder.differentiable else 0.0,
        occlusion=_seconds(lambda: Occluder(finder).map_prepared(one)) if occlusion else 0.0,
    )


def told(parts: Parts, shorter: str) -> str:
    """One line: the whole, its largest parts, and the options that shorten it."""
    total = sum(parts.values())
    largest = sorted((part for part in parts.items() if part[1] > 0.05 * total), key=lambda part: -part[1])
    named = ", ".join(f"{name} {duration(seconds)}" for name, seconds in largest)
    return f"about {duration(total)} of work ({named}); {shorter}"


def _seconds(work: Callable[[], object]) -> float:
    """Of one go; where the first was quick it only warmed up, and a second is timed."""
    for _ in range(2):
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        if seconds > 1.0:
            break
    return seconds


def _of_scene(population: str, instrument: str) -> float:
    """Of drawing and rendering one scene; the first compiles what is not compiled yet."""
    from lensaudit.imaging import INSTRUMENTS, render
    from lensaudit.scenes import draw_scene

    render(draw_scene(population, 0, 0), INSTRUMENTS[instrument])
    return _seconds(lambda: render(draw_scene(population, 0, 1), INSTRUMENTS[instrument]))
