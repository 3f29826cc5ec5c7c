"""Scores of the explanations themselves, and what the finder's kernels answer to."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.errors import UsageError
from lensaudit.probes import load_definition
from lensaudit.probes.elsewhere import seen_by
from lensaudit.report.chapters import (
    Judged,
    JudgedCheck,
    JudgedFraction,
    JudgedRow,
    Kernels,
    KernelStatement,
)
from lensaudit.report.options import AuditOptions
from lensaudit.report.probes import COMPOUND
from lensaudit.spread import StageProgress
from lensaudit.untrusted import file_stem

if TYPE_CHECKING:
    from lensaudit.explaining.judging.judgement import Judgement
    from lensaudit.explaining.judging.records import JudgeSettings
    from lensaudit.explaining.kernels.sheet import Statement
    from lensaudit.finders import Finder
    from lensaudit.imaging import Instrument
    from lensaudit.lensset import LensSet

FRACTION = "positive-share"
LENSES = ("single", "compound-arcs", "compound-rings", "lens")

CHECKED = ("saliency", "input-x-gradient", "guided-backprop", "deeplift", "gradcam", "guided-gradcam")
"""Methods whose randomisation check takes seconds; ``lensaudit judge`` checks all."""

CHECK_IMAGES = 6
DRAWN_PER_JUDGED = 4
COMPOUNDS = ("compound-arcs", "compound-rings")


def judged_block(
    finder: Finder, lens_set: LensSet, compound: bool, out: Path, options: AuditOptions, progress: StageProgress
) -> Judged | None:
    """Judge the explanations on ``options.judge_n`` lenses of each kind; keeps its parts under ``judged/``.

    Parameters
    ----------
    compound
        Whether compound lenses, drawn as the compound probe draws them, are judged too.

    Returns
    -------
    Judged or None
        None where none was asked for, or the set has no truth to judge by.
    """
    if options.judge_n == 0 or not lens_set.has_truth or not (lens_set.labels == 1).any():
        return None
    from lensaudit.explaining.judging.judge import Watcher, judge

    watcher = Watcher(progress=lambda done, total: progress("judging explanations", 100 * done // max(total, 1), 100))
    sets = [lens_set, *(_compound_sets(finder, Path(out), options) if compound else [])]
    asked = judge_settings(finder, options)
    scores = judge(finder, sets, Path(out) / "judged" / "scores", asked["scores"], watcher)
    checks = None
    if "checks" in asked:
        checks = judge(finder, sets[:1], Path(out) / "judged" / "checks", asked["checks"], watcher)
    return laid_out(scores, checks)


def judge_settings(finder: Finder, options: AuditOptions) -> dict[str, JudgeSettings]:
    """Folder under ``judged/`` → settings of its judgement; no ``checks`` where none applies to the finder."""
    from lensaudit.explaining import applicable_methods
    from lensaudit.explaining.judging.records import JudgeSettings

    settings = partial(JudgeSettings, kinds=LENSES, seed=options.seed)
    apply = applicable_methods(finder)
    asked = {"scores": settings(methods=apply, parts=("localisation", "compound"), per_kind=options.judge_n)}
    if quick := tuple(name for name in CHECKED if name in apply):
        asked["checks"] = settings(
            methods=quick, parts=("randomisation",), per_kind=CHECK_IMAGES, check_images=CHECK_IMAGES
        )
    return asked


def laid_out(scores: Judgement, checks: Judgement | None) -> Judged:
    """What the page shows of two judgements."""
    from lensaudit.explaining.judging.attributor import attributor

    kinds = tuple(kind for kind in LENSES if kind in scores.images)
    fractions: dict[str, dict[str, JudgedFraction]] = {}
    for row in scores.rows:
        if row.score == FRACTION and row.kind in kinds:
            fraction = JudgedFraction(row.value, row.low, row.high, row.chance, row.n, row.gain_low, row.gain_high)
            fractions.setdefault(row.method, {})[row.kind] = fraction
    made = () if checks is None else checks.checks
    verdicts = {check.method: check.verdict for check in made}
    return Judged(
        kinds=kinds,
        rows=tuple(
            JudgedRow(
                method=name,
                title=attributor(name).title,
                shares=found,
                check=verdicts.get(name, ""),
                baseline=name not in scores.settings.methods,
            )
            for name, found in fractions.items()
        ),
        checks=tuple(JudgedCheck(one.method, one.title, one.verdict, one.sentence, one.label) for one in made),
        views=scores.views,
        failed={**({} if checks is None else checks.failed), **scores.failed},
        n_per_kind=scores.settings.per_kind,
    )


def _compound_sets(finder: Finder, out: Path, options: AuditOptions) -> list[LensSet]:
    """A few compound arcs and double rings, the first ones of the compound probe."""
    from lensaudit.lensset import simulate

    instrument, n = _compounds_seen_by(finder, options), DRAWN_PER_JUDGED * options.judge_n
    folders = _compound_folders(out, instrument, options)
    return [
        simulate(instrument, name, n, options.seed, folder, options.workers, _unseen)
        for name, folder in zip(COMPOUNDS, folders, strict=True)
    ]


def judged_folders(finder: Finder, out: Path, options: AuditOptions) -> list[Path]:
    """Folders of the compound lenses that an earlier run simulated for the same judgement."""
    folders = _compound_folders(out, _compounds_seen_by(finder, options), options)
    return folders if all(folder.is_dir() for folder in folders) else []


def _compounds_seen_by(finder: Finder, options: AuditOptions) -> Instrument:
    """The instrument that the compound probe is asked on."""
    return seen_by(load_definition(COMPOUND), finder, options.instrument).seen_by


def _compound_folders(out: Path, instrument: Instrument, options: AuditOptions) -> list[Path]:
    n = DRAWN_PER_JUDGED * options.judge_n  # some show no lensed light and cannot judge a map
    of = "" if instrument.name == "euclid" else f"{file_stem(instrument.name)}-"
    return [out / "judged" / "sets" / f"{of}{name}-n{n}-seed{options.seed}" for name in COMPOUNDS]


def _unseen(done: int, total: int) -> None:
    """A few seconds of rendering tell nobody anything."""


EACH = 3
"""Kernels shown for each property of a lens."""


def kernels_block(
    finder: Finder, lens_set: LensSet, out: Path, options: AuditOptions, progress: StageProgress
) -> Kernels | None:
    """Kernel activation values of the whole set (kept as ``kav.parquet``) and what they go with.

    Returns
    -------
    Kernels or None
        None where it was switched off or the finder has no convolution.
    """
    if not options.kernels:
        return None
    from lensaudit.explaining import kernel_activations, study_kernels
    from lensaudit.explaining.kernels.sheet import strongest_statements
    from lensaudit.explaining.kernels.study import LIVE

    try:
        table = kernel_activations(
            finder,
            lens_set,
            Path(out) / "kav.parquet",
            batch_size=options.batch,
            progress=lambda done, total: progress("kernel activations", done, total),
        )
    except UsageError:  # no convolution: nothing to tell
        return None
    study = study_kernels(table, lens_set)
    found = study.correlations
    return Kernels(
        kernels=len(study.kernels),
        live=len(study.in_state(LIVE)),
        n=study.n,
        significant=0 if found is None else int(found.significant.sum()),
        pairs=0 if found is None else int(found.rho.size),
        statements=tuple(_statement(one) for one in strongest_statements(study, EACH)),
        note=study.note,
    )


def _statement(one: Statement) -> KernelStatement:
    return KernelStatement(
        layer=one.kernel.layer,
        kernel=one.kernel.number,
        column=one.column,
        measure=one.measure,
        words=one.words,
        rho=one.value,
        low=one.low,
        high=one.high,
        p_holm=one.p_holm,
        n=one.n,
        n_top=one.n_top,
        silent=one.silent,
    )
