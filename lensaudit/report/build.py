"""Measure a finder on a lens set and write ``audit.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensaudit.files import writable_folder
from lensaudit.provenance import provenance, refuse_other
from lensaudit.report.audit_file import AUDIT_NAME, SCHEMA, write_audit
from lensaudit.report.certificate import certificate_block
from lensaudit.report.describe import finder_block, set_block
from lensaudit.report.dreams import dreams_block
from lensaudit.report.findings import find
from lensaudit.report.gallery import gallery_block
from lensaudit.report.judged import judged_block
from lensaudit.report.kernels import kernels_block
from lensaudit.report.limits import limits, not_measured
from lensaudit.report.maps import maps_block
from lensaudit.report.numbers import jsonable
from lensaudit.report.options import AuditOptions
from lensaudit.report.performance import performance_block
from lensaudit.report.pieces import Progress, quiet
from lensaudit.report.probes import check_probes, has_compound, probes_block
from lensaudit.report.score_piece import scored
from lensaudit.report.selection_block import selection_block
from lensaudit.report.selection_function import selection_function_block
from lensaudit.report.verdict import verdict


def build_audit(
    finder: Any, lens_set: Any, out: Path, options: AuditOptions | None = None, progress: Progress = quiet
) -> dict[str, Any]:
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
    dict
        The audit as written; its blocks are listed in :mod:`lensaudit.report.audit_file`.

    Raises
    ------
    UsageError
        `out` cannot be written, or there is no such probe or certificate.
    DataError
        The set lacks a band or the field of view the finder needs.
    """
    options = AuditOptions() if options is None else options
    finder.check(lens_set)
    check_probes(options)
    out = writable_folder(Path(out))
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    refuse_other(out / AUDIT_NAME, inputs, "audit")
    certificate = certificate_block(options.certificate)  # a wrong path is told before the work starts
    scores = scored(finder, lens_set, out, options, progress)
    threshold = finder.recipe.threshold
    audit: dict[str, Any] = {
        "schema": SCHEMA,
        "finder": finder_block(finder),
        "set": set_block(lens_set),
        "options": _options(options, finder),
        "provenance": _provenance(finder, lens_set, options),
        "performance": performance_block(lens_set.labels, scores, threshold, options),
        "pixels": _pixels(finder, lens_set, scores),
        "selection": selection_block(lens_set, scores.p_lens, threshold, options.seed),
        "selection_function": selection_function_block(lens_set, scores, threshold, options.seed),
        "gallery": gallery_block(finder, lens_set, scores.p_lens, out, options, progress),
        "maps": maps_block(finder, lens_set, scores.p_lens, out, options, progress),
        "kernels": kernels_block(finder, lens_set, out, options, progress),
        "dreams": dreams_block(finder, lens_set, scores.p_lens, out, options, progress),
        "probes": probes_block(finder, out, options, progress),
        "certificate": certificate,
    }
    audit["judged"] = judged_block(finder, lens_set, has_compound(audit["probes"]), out, options, progress)
    write_audit(out, concluded(audit, options.tolerance))
    return audit


def concluded(audit: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Add findings, verdict, limits and what was not measured to the measured blocks."""
    audit.update(jsonable(audit))
    audit["findings"] = find(audit, tolerance)
    audit["findings_note"] = findings_note(tolerance, audit["probes"])
    audit["verdict"] = verdict(audit)
    audit["limits"] = limits(audit)
    audit["not_measured"] = not_measured(audit)
    return audit


def findings_note(tolerance: float, probes: dict[str, Any] | None) -> str:
    """How verdict and order of the findings come about."""
    own = " Probes change one thing of the same lenses, and have tolerances of their own." if probes else ""
    return (
        "Loss of recall, whatever the verdict (†: fraction of non-lenses called a lens): biases and false positives "
        "first, what is natural to lose last. Rows from the set compare the group treated worst with all "
        f"others, which may differ from it in more than the one property named; their tolerance is {tolerance:g}.{own}"
    )


def _options(options: AuditOptions, finder: Any) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "tolerance": options.tolerance,
        "beta": options.beta,
        "occlusion_n": options.occlusion_n,
        "maps_n": options.maps_n,
        "judge_n": options.judge_n,
        "kernels": options.kernels,
        "dream_steps": options.dream_steps,
        "probe_n": options.probe_n,
        "probes": list(options.probes),
        "device": str(finder.device),
    }


def _pixels(finder: Any, lens_set: Any, scores: Any) -> dict[str, Any]:
    from lensaudit.finders import pixel_record

    return pixel_record(finder, lens_set, scores.clipping)


def _provenance(finder: Any, lens_set: Any, options: AuditOptions) -> dict[str, Any]:
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return provenance(seed=options.seed, inputs=inputs)
