"""From nothing to a page: how long it will take, the set, the audit, and what its end means to a script."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lensaudit.display.numbers import duration
from lensaudit.errors import AuditFailed, LensauditError, UsageError
from lensaudit.records import Json, plain
from lensaudit.report.audit_file import AUDIT_NAME
from lensaudit.report.build import build_audit, left_of_audit
from lensaudit.report.one_scene import OneScene
from lensaudit.report.options import AuditOptions, on_instrument_of, quiet
from lensaudit.report.render import render_report
from lensaudit.report.schema import Audit
from lensaudit.report.verdict import INVERTED
from lensaudit.spread import StageProgress
from lensaudit.untrusted import path_within
from lensaudit.verdicts import CHANCE, failing

if TYPE_CHECKING:
    from lensaudit.finders import Finder
    from lensaudit.imaging import Instrument
    from lensaudit.probes import ProbeDefinition

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
"""Groups of a gallery: hits, worst misses, worst false positives."""

KERNELS = 1.3
"""Cost of looking at all kernels of an image, in forward passes."""

DRAWS_AND_LAYERS = 12
"""Networks of a randomisation check: draws, and one per layer with weights of a common finder."""


SCORE_BYTES, PAIR_BYTES = 100, 200
"""On disk: a row of a file of scores, an arm of a pair with its truth, measured."""

PROBE_BYTES, PAGE_BYTES = 1.2e6, 5e6
"""Figures and words of a probe, measured; a page with its data, at most."""

SET_BYTES_PER_PIXEL = 5
"""Of a simulated set, measured: noisy images are 4 and do not compress, lensed light and masks nearly vanish."""


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


@dataclass(frozen=True)
class Estimate:
    """What is left to do.

    Attributes
    ----------
    parts
        Part of the work → seconds.
    disk_bytes
        Written at most, about.
    memory_bytes
        Held at most by this process until now, when it has done a batch, a map and a scene; it does not grow with
        the set.
    """

    parts: Parts
    disk_bytes: float
    memory_bytes: float


def estimate_of_audit(finder: Finder, lens_set: Any, options: AuditOptions, out: Path) -> Estimate:
    """What `lensaudit.report.build.build_audit` will take, less what an earlier run into `out` has finished."""
    from lensaudit.explaining import applicable_methods
    from lensaudit.explaining.layers import convolutions
    from lensaudit.probes.audit import audited_probes
    from lensaudit.report.judged import CHECK_IMAGES, CHECKED, COMPOUNDS, DRAWN_PER_JUDGED

    n, methods, options = len(lens_set), applicable_methods(finder), on_instrument_of(lens_set, options)
    left = left_of_audit(finder, lens_set, options, out)
    mapped = bool(options.occlusion_n or options.maps_n or options.judge_n)
    speeds = measured(finder, lens_set, options.batch, occlusion=mapped)
    judges = bool(options.judge_n and lens_set.has_truth)
    checks = DRAWS_AND_LAYERS * CHECK_IMAGES * speeds.maps(name for name in CHECKED if name in methods)
    probes = audited_probes(options.probes, options.sources) if options.probe_n else []
    asked = Asked(options.probe_n, options.seed, options.workers, out / "probes", options.instrument)
    of_probes = work_of_probes(finder, probes, asked)
    drawn = len(COMPOUNDS) * DRAWN_PER_JUDGED * options.judge_n if judges and probes else 0
    shown, explained = GROUPS * options.occlusion_n * left["gallery"], GROUPS * options.maps_n * left["maps"]
    layer = 4.0 * finder.recipe.size**2
    kernels = 0
    with suppress(UsageError):  # of a finder without a convolution
        kernels = sum(one.kernels for one in convolutions(finder.module)) if options.kernels else 0
    return Estimate(
        {
            "scoring": n * speeds.forward * left["scoring"],
            "maps": shown * speeds.occlusion + explained * speeds.maps(methods),
            "kernels": n * KERNELS * speeds.forward * left["kernels"] if kernels else 0.0,
            "dreams": options.dream_steps * 4 * speeds.gradient * left["dreams"],
            # On hosts they take about as long again.
            "probes": (1 + bool(options.hosts)) * (of_probes.images * speeds.forward + of_probes.rendering),
            "judging maps": left["judging maps"] * (GROUPS * options.judge_n * speeds.maps(methods) + checks) * judges,
        },
        n * SCORE_BYTES * left["scoring"]
        + shown * (2 * layer + 4 * pixels_of(lens_set))
        + explained * (2 * len(methods) * layer + 4 * pixels_of(lens_set))
        + 4 * n * kernels * left["kernels"]
        + of_probes.disk_bytes
        + drawn * left["judging maps"] * SET_BYTES_PER_PIXEL * pixels_of(lens_set)
        + PAGE_BYTES,
        peak_memory(),
    )


def pixels_of(lens_set: Any) -> int:
    """Native pixels of one system in all bands of the set."""
    return sum(rows * columns for rows, columns in lens_set.shape.values())


@dataclass(frozen=True)
class Asked:
    """Of probes: pairs of each population, their seed, processes that render, folder of the answers, instrument."""

    n: int
    seed: int
    workers: int
    folder: Path
    instrument: Instrument | None = None


@dataclass(frozen=True)
class ProbeWork:
    """Images that are rendered and scored, seconds of rendering them, and bytes that are written."""

    images: int
    rendering: float
    disk_bytes: float


def work_of_probes(finder: Finder, probes: Sequence[ProbeDefinition], asked: Asked) -> ProbeWork:
    """What the probes that apply have still to do: every arm of a pair is rendered and scored."""
    from lensaudit.probes import why_not_applicable
    from lensaudit.probes.elsewhere import reading_drawn, seen_by, why_no_scene
    from lensaudit.probes.run import pairs_left

    finder = reading_drawn(finder, asked.instrument)
    images, rendering, disk = 0, 0.0, 0.0
    scenes: dict[Instrument, float] = {}
    for one in (seen_by(probe, finder, asked.instrument) for probe in probes):
        if why_not_applicable(one, finder) or why_no_scene(one):
            continue
        left = pairs_left(one, finder, asked.n, asked.seed, path_within(asked.folder, one.name))
        if left and one.seen_by not in scenes:
            scenes[one.seen_by] = _of_scene(one)
        images += left * len(one.arms())
        rendering += left * len(one.arms()) * scenes.get(one.seen_by, 0.0) / asked.workers
        disk += left * len(one.arms()) * PAIR_BYTES + (PROBE_BYTES if left else 0)
    return ProbeWork(images, rendering, disk)


def peak_memory() -> float:
    """Bytes that this process has held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def measured(finder: Finder, lens_set: Any, batch: int | None = None, *, occlusion: bool = True) -> Speeds:
    """Time one batch through the finder and, where its work needs them, a gradient and an occlusion map."""
    import torch

    from lensaudit.explaining import METHODS, Occluder
    from lensaudit.explaining.attribution.methods import Target
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
        METHODS["saliency"].run(Target(finder), images[:1].clone().requires_grad_(), torch.Generator())

    one = images[:1].clone()
    return Speeds(
        forward=_seconds(score) / size,
        gradient=_seconds(gradient) if finder.differentiable else 0.0,
        occlusion=_seconds(lambda: Occluder(finder).map(one)) if occlusion else 0.0,
    )


def told(estimate: Estimate, shorter: str) -> str:
    """One line: the whole, its largest parts, disk and memory, and the options that shorten it."""
    total = sum(estimate.parts.values())
    largest = sorted((part for part in estimate.parts.items() if part[1] > 0.05 * total), key=lambda part: -part[1])
    named = ", ".join(f"{name} {duration(seconds)}" for name, seconds in largest)
    return (
        f"about {duration(total)} of work{f' ({named})' if named else ''}, {gigabytes(estimate.disk_bytes)} of disk, "
        f"{gigabytes(estimate.memory_bytes)} of memory; {shorter}"
    )


def gigabytes(size: float) -> str:
    """Bytes as people read them: ``0.12 GB``, and no less than ``0.01 GB``."""
    return f"{max(0.01, size / 1e9):.2g} GB"


def _seconds(work: Callable[[], object]) -> float:
    """Of one go; where the first was quick it only warmed up, and a second is timed."""
    for _ in range(2):
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        if seconds > 1.0:
            break
    return seconds


def _of_scene(probe: ProbeDefinition) -> float:
    """Of drawing and rendering one scene; the first compiles what is not compiled yet."""
    drawn = probe.drawn(next(iter(probe.mode(None)[1].populations.values())), 0, 2)
    drawn.rendered(0, probe.arms()[:1])
    return _seconds(lambda: drawn.rendered(1, probe.arms()[:1]))


SMALLEST = 20

SHORTER = "--n, --probe none and --probe-n make it shorter"


def quick_audit(
    finder_name: str,
    n: int,
    out: Path,
    options: AuditOptions,
    device: str = "auto",
    progress: StageProgress = quiet,
    tell: Callable[[str], object] | None = None,
) -> tuple[Path, Audit]:
    """Simulate `n` cutouts of Euclid, or of ``options.instrument``, in ``out/set-…``, audit the finder, draw the page.

    Every stage goes on where an interrupted run stopped. `tell` is given one line on what is left to do, before the
    first stage of work.

    Returns
    -------
    page, audit
        Path of ``index.html``, and what it shows.

    Raises
    ------
    UsageError
        `n` is too small, there is no such finder, or `out` cannot be written.
    DataError
        The finder does not take the instrument's cutouts.
    """
    if n < SMALLEST:
        raise UsageError(f"--n {n}: an audit needs {SMALLEST} cutouts or more; the default is 400")
    from lensaudit.finders import load_finder
    from lensaudit.lensset import simulate

    progress("loading the finder", 0, 1)
    finder = load_finder(finder_name, device)
    progress("loading the finder", 1, 1)
    made = OneScene(n, options)
    finder.for_units(made).check(made)
    folder = set_folder(out, n, options)
    if tell is not None and not (Path(out) / AUDIT_NAME).exists():
        tell(told(estimate_of_quickstart(finder, n, Path(out), options), SHORTER))

    def simulated(done: int, total: int) -> None:
        progress("simulating the set", done, total)

    lens_set = simulate(made.seen_by, made.population, n, options.seed, folder, options.workers, simulated)
    audit = build_audit(finder, lens_set, out, options, progress)
    progress("drawing the page", 0, 1)
    page = render_report(out)
    progress("drawing the page", 1, 1)
    return page, audit


def set_folder(out: Path, n: int, options: AuditOptions) -> Path:
    """Where the simulated set lies in the folder of the audit."""
    of = "" if options.instrument is None else f"-{options.instrument.name}"
    return path_within(Path(out), f"set{of}-n{n}-seed{options.seed}")


def estimate_of_quickstart(finder: Finder, n: int, out: Path, options: AuditOptions) -> Estimate:
    """What `quick_audit` will take, less what an earlier run into `out` has finished."""
    from lensaudit.lensset import LensSet

    folder = set_folder(out, n, options)
    try:
        return estimate_of_audit(finder, LensSet.open(folder), options, out)
    except LensauditError:  # not simulated yet, or not to its end
        pass
    made = OneScene(n, options)
    audit = estimate_of_audit(finder, made, options, out)
    disk = audit.disk_bytes + n * SET_BYTES_PER_PIXEL * pixels_of(made)
    return replace(audit, parts={"simulating": made.seconds() * n / options.workers, **audit.parts}, disk_bytes=disk)


def summary(audit: Audit, page: Path) -> Json:
    """Verdict, findings and metrics, for ``--json``."""
    said = {"page": str(page), "finder": audit.finder.name, "set": audit.set.name, "verdict": audit.verdict}
    said |= {"findings": audit.findings, "metrics": audit.performance.metrics}
    return dict(plain({**said, "probes": audit.probes and audit.probes.rows, "realism": audit.realism}))


def fail_where(audit: Audit, fail_on: str) -> None:
    """Raise AuditFailed where the audit holds what the user chose to fail on.

    Parameters
    ----------
    fail_on
        A verdict of `lensaudit.verdicts.fail_words` (any finding is one, or a graver one), ``chance`` (AUROC may be a
        guess's, or is worse), or empty.
    """
    if not fail_on:
        return
    if fail_on == CHANCE:
        if audit.verdict.level in (CHANCE, INVERTED):
            raise AuditFailed(f"--fail-on {CHANCE}: {audit.verdict.headline}")
        return
    found = [finding for finding in audit.findings if failing([finding.verdict], fail_on)]
    if found:
        raise AuditFailed(f"--fail-on {fail_on}: {len(found)} found, first: {found[0].title}: {found[0].text}")
