"""Measure finders on the same sets and write ``compare.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.comparing.comparison_file import COMPARISON_NAME, SCHEMA, write_comparison
from lensaudit.comparing.entrants import Entrant
from lensaudit.comparing.explaining import judged, main_kind
from lensaudit.comparing.measures import row_of
from lensaudit.comparing.options import CompareOptions
from lensaudit.comparing.pairs import Told, pairs_of, ranking_of
from lensaudit.comparing.probing import check_probes, probes_block
from lensaudit.comparing.scoring import FirstImages, scored
from lensaudit.comparing.speed import speeds_of
from lensaudit.errors import DataError, UsageError
from lensaudit.explain.judging.explainer import chosen_methods
from lensaudit.files import writable_folder
from lensaudit.finders import Scores, takes_statistics
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance, refuse_other
from lensaudit.report.describe import set_block
from lensaudit.report.pieces import Progress, quiet


def compare(
    entrants: Sequence[Entrant],
    sets: Sequence[LensSet],
    out: Path,
    options: CompareOptions | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Compare finders on lens sets; write ``compare.json`` and, where speed is measured, ``speed.json``.

    A finder that cannot eat a set is listed with the reason, and compared on the others. Scores, probes and
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
    dict
        As written; see :mod:`lensaudit.comparing.comparison_file`.

    Raises
    ------
    UsageError
        No set is given or one is given twice, `out` cannot be written, or there is no such probe or method.
    DataError
        No finder can eat any of the sets.
    """
    options = CompareOptions() if options is None else options
    check_comparison(entrants, sets, options)
    eaters = [_eaters(entrants, lens_set, refit=options.refit) for lens_set in sets]
    if not any(able for able, _ in eaters):
        first = eaters[0][1][0]
        raise DataError(f"no finder can be compared on any set; {sets[0].path}, first: {first['why']}")
    out = writable_folder(Path(out))
    refuse_other(out / COMPARISON_NAME, _inputs(entrants, sets), "comparison")
    blocks = [
        _set_block(able, refused, lens_set, out, (options, progress))
        for lens_set, (able, refused) in zip(sets, eaters, strict=True)
    ]
    comparison = {
        "schema": SCHEMA,
        "finders": [entrant.facts() for entrant in entrants],
        "sets": blocks,
        "probes": probes_block(entrants, out, options, progress),
        "options": options.to_json(),
        "provenance": provenance(seed=options.seed, inputs=_inputs(entrants, sets)),
    }
    write_comparison(out, comparison, _speeds(sets, [able for able, _ in eaters], options))
    return comparison


def check_comparison(entrants: Sequence[Entrant], sets: Sequence[LensSet], options: CompareOptions) -> None:
    """Raise UsageError for what is wrong with the sets or what is asked for, before the work starts."""
    if options.refit and not any(takes_statistics(entrant.finder) for entrant in entrants):
        raise UsageError("--refit: no finder's stretch takes statistics of a training set; leave it out")
    _check_sets(sets)
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


def _eaters(
    entrants: Sequence[Entrant], lens_set: LensSet, *, refit: bool
) -> tuple[list[Entrant], list[dict[str, str]]]:
    """Finders that can take the set as input, and why the others cannot."""
    able, refused = [], []
    for entrant in entrants:
        try:
            reader = entrant.refitted_to(lens_set) if refit else entrant
            reader.finder.for_units(lens_set).check(lens_set)
            able.append(reader)
        except DataError as error:
            refused.append({"finder": entrant.label, "why": str(error)})
    return able, refused


def _set_block(
    able: Sequence[Entrant],
    refused: Sequence[dict[str, str]],
    lens_set: LensSet,
    out: Path,
    how: tuple[CompareOptions, Progress],
) -> dict[str, Any]:
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
    described = set_block(lens_set)
    del described["made_by"]  # may hold paths of the machine it was made on
    return {
        "set": described,
        "n": len(images),
        "rows": rows,
        "refused": list(refused),
        "n_compared": len(labels),
        "pairs": pairs,
        "ranking": ranking_of(rows, pairs),
        "explanations": explained,
        "main_kind": main_kind(lens_set),
    }


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


def _speeds(
    sets: Sequence[LensSet], eaters: Sequence[Sequence[Entrant]], options: CompareOptions
) -> list[dict[str, Any]] | None:
    """Each finder on the first set it can eat."""
    if not options.speed:
        return None
    speeds: list[dict[str, Any]] = []
    for lens_set, able in zip(sets, eaters, strict=True):
        known = {one["finder"] for one in speeds}
        speeds += speeds_of([entrant for entrant in able if entrant.label not in known], lens_set, options.batch)
    return speeds


def _inputs(entrants: Sequence[Entrant], sets: Sequence[LensSet]) -> dict[str, str]:
    finders = {f"finder {entrant.label}": entrant.finder.weights_hash for entrant in entrants}
    return finders | {f"set {one.path.name}": one.content_hash for one in sets}
