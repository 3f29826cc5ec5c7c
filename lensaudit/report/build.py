"""Measure a finder on a lens set and write ``audit.json``; what an earlier run left of that to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lensaudit.errors import LensauditError
from lensaudit.files import writable_folder
from lensaudit.provenance import Provenance, refuse_other
from lensaudit.report.audit_file import AUDIT_NAME, SCHEMA, certificate_block, read_history, write_audit
from lensaudit.report.embedded import embedding_block
from lensaudit.report.explained import (
    choose,
    dreams_block,
    dreams_piece,
    gallery_block,
    gallery_piece,
    maps_block,
    maps_piece,
    own_verdicts,
)
from lensaudit.report.findings import find, limits, not_measured
from lensaudit.report.judged import judge_settings, judged_block, judged_folders, kernels_block
from lensaudit.report.known import check_known, known_block
from lensaudit.report.options import AuditOptions, arrays_piece, key_of, on_instrument_of, quiet, scores_piece
from lensaudit.report.performance import performance_block, selection_block, selection_function_block
from lensaudit.report.probed import check_probes, probes_block
from lensaudit.report.probes import has_compound
from lensaudit.report.realism import check_realism, realism_block
from lensaudit.report.schema import Audit, AuditedFinder, AuditedSet, Measured, Settings, Training
from lensaudit.report.verdict import verdict
from lensaudit.spread import StageProgress

if TYPE_CHECKING:
    from lensaudit.finders import Finder, Scores
    from lensaudit.lensset import LensSet


SCORES_NAME = "scores.parquet"


def scored(finder: Finder, lens_set: LensSet, out: Path, options: AuditOptions, progress: StageProgress) -> Scores:
    """Return the scores of the set, from ``scores.parquet`` when it rests on the same inputs.

    A file that does not say what the stretch clipped, as earlier versions wrote it, is written again.
    """
    from lensaudit.finders import score_set

    piece = scores_piece(finder, lens_set, Path(out) / SCORES_NAME, key_of(finder, lens_set), seed=options.seed)
    kept = piece.load()
    if kept is None:
        told = partial(progress, "scoring")
        return piece.or_made(lambda: score_set(finder, lens_set, batch_size=options.batch, progress=told))
    progress("scoring", len(lens_set), len(lens_set))
    return kept


def finder_block(finder: Finder) -> AuditedFinder:
    """Name, origin, hash of the weights, recipe and, where it is stored with the weights, the training history."""
    recipe = finder.recipe
    return AuditedFinder(
        name=finder.name,
        origin=str(finder.origin),
        weights_hash=finder.weights_hash,
        architecture=recipe.architecture,
        parameters=int(finder.parameters),
        bands=tuple(recipe.bands),
        size=recipe.size,
        stretch=recipe.scaling,
        field_of_view_arcsec=recipe.field_of_view_arcsec,
        threshold=recipe.threshold,
        given_field_arcsec=finder.given_field_arcsec,
        recipe=recipe.model_dump(mode="json"),
        training=training_of(finder),
        differentiable=finder.differentiable,
    )


def set_block(lens_set: LensSet) -> AuditedSet:
    """Name, content hash, numbers per label, bands, seed, and whether it was simulated."""
    labels = lens_set.labels
    return AuditedSet(
        name=Path(lens_set.path).name,
        content_hash=lens_set.content_hash,
        instrument=lens_set.instrument,
        n=len(lens_set),
        n_lenses=int(np.sum(labels == 1)),
        n_non_lenses=int(np.sum(labels == 0)),
        n_unlabelled=int(np.sum(labels < 0)),
        bands=tuple(_band(lens_set, band) for band in lens_set.bands),
        population=lens_set.population,
        seed=lens_set.seed,
        simulated=lens_set.population is not None,
        has_truth=bool(lens_set.has_truth),
        made_by=lens_set.command,
    )


def training_of(finder: Finder) -> Training | None:
    """History, data (hash, numbers of images) and origin of the weights; ``None`` where the folder records none."""
    from lensaudit.finders import read_record
    from lensaudit.finders.load import stored_in

    if (folder := stored_in(finder)) is None:
        return None
    record = read_record(folder)
    history = read_history(folder)
    if not record.training_data and not history:
        return None
    return Training(None if history is None else tuple(history), record.training_data.to_json(), record.origin)


def _band(lens_set: LensSet, band: str) -> str:
    h, w = lens_set.shape[band]
    return f"{band} {h}×{w} at {lens_set.pixel_scale_arcsec[band]:g}″"


def build_audit(
    finder: Finder, lens_set: LensSet, out: Path, options: AuditOptions | None = None, progress: StageProgress = quiet
) -> Audit:
    """Audit `finder` on `lens_set` and write ``audit.json``, ``scores.parquet`` and ``arrays/`` into `out`.

    Scores, occlusion maps and the probe of an earlier run in `out` are used again when they rest on the same
    weights, recipe, set and settings; so an interrupted audit goes on where it stopped.

    Parameters
    ----------
    finder
        A :class:`lensaudit.finders.Finder`.
    lens_set
        A :class:`lensaudit.lensset.LensSet`; labels and truth may be missing, the audit then says so.
    out
        Folder of the audit; created.
    options
        What to measure.
    progress
        Called with the name of a stage, its steps done and its steps in all.

    Returns
    -------
    Audit
        As it is written.

    Raises
    ------
    UsageError
        `out` cannot be written, or there is no such probe or certificate.
    DataError
        The set lacks a band or the field of view the finder needs.
    """
    from lensaudit.finders import pixel_record

    options = on_instrument_of(lens_set, AuditOptions() if options is None else options)
    finder.check(lens_set)
    check_probes(options, finder)
    check_realism(finder, lens_set, options)
    check_known(finder, lens_set, options)
    own_verdicts(finder, options)
    out = writable_folder(Path(out))
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    refuse_other(out / AUDIT_NAME, inputs, "audit")
    certificate = certificate_block(options.certificate)  # a wrong path is told before the work starts
    realism = realism_block(finder, lens_set, out, options, progress)
    scores = scored(finder, lens_set, out, options, progress)
    p, threshold = scores.p_lens, finder.recipe.threshold
    gallery = gallery_block(finder, lens_set, p, out, options, progress)
    maps = maps_block(finder, lens_set, p, out, options, progress)
    kernels = kernels_block(finder, lens_set, out, options, progress)
    dreams = dreams_block(finder, lens_set, p, out, options, progress)
    embedding = embedding_block(finder, lens_set, out, options, progress)
    probes = probes_block(finder, out, options, progress)
    measured = Measured(
        schema=SCHEMA,
        finder=finder_block(finder),
        set=set_block(lens_set),
        options=Settings.asked(options, str(finder.device)),
        provenance=Provenance.here(seed=options.seed, inputs=inputs),
        performance=performance_block(lens_set.labels, scores, threshold, options),
        pixels=pixel_record(finder, lens_set, scores.clipping),
        selection=selection_block(lens_set, p, threshold, options.seed),
        selection_function=selection_function_block(lens_set, scores, threshold, options.seed),
        gallery=gallery,
        maps=maps,
        kernels=kernels,
        dreams=dreams,
        probes=probes,
        certificate=certificate,
        judged=judged_block(finder, lens_set, has_compound(probes), out, options, progress),
        realism=realism,
        embedding=embedding,
        known=known_block(finder, lens_set, out, options, progress),
    )
    audit = concluded(measured, options.tolerance)
    write_audit(out, audit)
    return audit


def concluded(measured: Measured, tolerance: float) -> Audit:
    """The audit: what was measured with findings, verdict, limits and what was not measured."""
    findings = find(measured, tolerance)
    return Audit(
        **{field.name: getattr(measured, field.name) for field in fields(Measured)},
        findings=findings,
        findings_note=findings_note(tolerance, measured.probes is not None),
        verdict=verdict(measured, findings),
        limits=limits(measured),
        not_measured=not_measured(measured),
    )


def findings_note(tolerance: float, probes: bool) -> str:
    """How verdict and order of the findings come about."""
    own = " Probes change one thing of the same lenses, and have tolerances of their own." if probes else ""
    return (
        "Loss of recall, whatever the verdict (†: fraction of non-lenses called a lens): biases and false positives "
        "first, what is natural to lose last. Rows from the set compare the group treated worst with all "
        f"others, which may differ from it in more than the one property named; their tolerance is {tolerance:g}.{own}"
    )


PARTS = ("scoring", "gallery", "maps", "kernels", "dreams", "judging maps")


def left_of_audit(finder: Finder, lens_set: LensSet, options: AuditOptions, out: Path) -> dict[str, float]:
    """Part of an audit → its fraction in [0, 1] that no earlier run into `out` has finished; probes count their own.

    Scores come first, and which images are shown follows from them: without them nothing is taken as done.
    """
    left = dict.fromkeys(PARTS, 1.0)
    scores = scores_piece(finder, lens_set, out / SCORES_NAME, key_of(finder, lens_set)).load()
    if scores is None:
        return left
    p, threshold = scores.p_lens, finder.recipe.threshold
    left["scoring"] = 0.0
    left["kernels"] = 0.0 if _kernels_kept(finder, lens_set, out) else 1.0
    left["judging maps"] = _judging_left(finder, lens_set, options, out)
    if options.occlusion_n:
        from lensaudit.explaining import Occluder

        grid = Occluder(finder).grid
        shown = _chosen(lens_set, p, threshold, options.occlusion_n)
        left["gallery"] = _missing(out, [gallery_piece(finder, grid, lens_set, index) for index in shown])
    if options.maps_n:
        shown = _chosen(lens_set, p, threshold, options.maps_n)
        left["maps"] = _missing(out, [maps_piece(finder, lens_set, index) for index in shown])
    left["dreams"] = _missing(out, [dreams_piece(finder, lens_set, p, options)[1:]])
    return left


def _chosen(lens_set: LensSet, p: np.ndarray, threshold: float, n: int) -> list[int]:
    return [index for group in choose(lens_set.labels, p, threshold, n) for index in group.indices]


def _missing(out: Path, pieces: Sequence[tuple[str, str]]) -> float:
    """Fraction of the pieces (path in `out`, key) that are not there whole."""
    if not pieces:
        return 0.0
    return sum(arrays_piece(out, path, key).load() is None for path, key in pieces) / len(pieces)


def _kernels_kept(finder: Finder, lens_set: LensSet, out: Path) -> bool:
    from lensaudit.explaining.kernels.activations import kept_activations

    return kept_activations(out / "kav.parquet", finder, lens_set) is not None


def _judging_left(finder: Finder, lens_set: LensSet, options: AuditOptions, out: Path) -> float:
    """Of the tasks of both judgements; all where one cannot be said without simulating or rendering anything."""
    from lensaudit.explaining.judging.judge import tasks_left
    from lensaudit.lensset import LensSet

    if not options.judge_n or not (out / "judged" / "scores").is_dir():
        return 1.0
    try:
        sets = [lens_set, *(LensSet.open(folder) for folder in judged_folders(finder, out, options))]
        asked = judge_settings(finder, options)
        counted = [
            tasks_left(finder, sets if place == "scores" else sets[:1], out / "judged" / place, settings)
            for place, settings in asked.items()
        ]
    except LensauditError:  # a set that is not finished: the work itself says what is wrong
        return 1.0
    return sum(left for left, _ in counted) / max(1, sum(of for _, of in counted))
