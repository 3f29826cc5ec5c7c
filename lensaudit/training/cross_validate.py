"""Running a cross-validation: every fold a training of its own, which can be stopped and goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.evaluation import evaluate
from lensaudit.files import write_json, write_text
from lensaudit.finders import Recipe, body_facts
from lensaudit.lensset import LensSet
from lensaudit.lensset.part import Part
from lensaudit.provenance import provenance
from lensaudit.training.ablate import SCORES_FILE, kept_scores
from lensaudit.training.cross_validation import F1, FOLDS, UNUSED, CrossValidation, Fold, folds_of, table
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.run import Place, Watch, train
from lensaudit.training.sets import TrainingData

RESULT_FILE, TABLE_FILE, PICTURE_FILE = "cross-validation.json", "cross-validation.md", "cross-validation.png"
OUT_OF_FOLD_FILE = "out-of-fold-scores.csv"

Began = Callable[[int], Watch]
"""Called with the fold's number before each training; gives what is told of its progress."""


def cross_validate(
    recipe: Recipe,
    lens_set: LensSet,
    place: Place,
    options: TrainingOptions | None = None,
    folds: int = FOLDS,
    machine: Machine | None = None,
    began: Began | None = None,
) -> CrossValidation:
    """Train `recipe` once for each fold on all others, and measure it on the fold.

    Each training is that of `lensaudit.training.train`, in ``fold-N`` below ``place.out``: it takes its validation
    images from the other folds, and what a stretch fits it fits there. Stopped at any moment, the same call goes on.
    Writes ``cross-validation.json``, ``.md`` and ``.png``, and the score of every image by the finder that never saw
    it to ``out-of-fold-scores.csv``.

    Raises
    ------
    LensauditError
        As `folds_of` and `train`.
    """
    options = options or TrainingOptions.of(recipe.training)
    number_of = folds_of(lens_set.labels, folds, options.seed)
    measured = []
    for number in range(1, folds + 1):
        held, others = np.flatnonzero(number_of == number), (number_of != number) & (number_of != UNUSED)
        test, training = Part(lens_set, held), Part(lens_set, np.flatnonzero(others))
        out = place.out / f"fold-{number}"
        watch = began(number) if began is not None else None
        trained = train(recipe, TrainingData(training), Place(out, place.cache, place.restart), options, machine, watch)
        scores = kept_scores(trained, test, out / SCORES_FILE)
        threshold = trained.finder.recipe.threshold
        found = evaluate(test.labels, scores.p_lens, scores.logit, threshold=threshold, beta=F1, seed=options.seed)
        measured.append(Fold(number, held, scores, found, len(trained.history), trained.finder.parameters))
    result = CrossValidation(tuple(measured))
    _write(result, recipe, lens_set, options, place.out)
    return result


def _write(result: CrossValidation, recipe: Recipe, lens_set: LensSet, options: TrainingOptions, out: Path) -> None:
    from lensaudit.training.cross_validation_plot import plot_cross_validation

    words: dict[str, Any] = {
        **result.as_json(),
        **body_facts(recipe, options.pretrained),
        "recipe": recipe.model_dump(mode="json"),
        "options": options.model_dump(mode="json", exclude={"pretrained"}),
        "provenance": provenance(seed=options.seed, inputs={"set": lens_set.content_hash}),
    }
    write_json(out / RESULT_FILE, words)
    write_text(out / TABLE_FILE, table(words))
    write_text(out / OUT_OF_FOLD_FILE, _out_of_fold(result, lens_set))
    plot_cross_validation(out / PICTURE_FILE, result, lens_set.labels, f"{recipe.name}, {len(result.folds)} folds")


def _out_of_fold(result: CrossValidation, lens_set: LensSet) -> str:
    """One line per labelled image, in the order of the set; what could not be scored is empty."""
    labels = lens_set.labels
    lines: dict[int, tuple[Any, ...]] = {}
    for fold in result.folds:
        for row, name, p, z in zip(fold.rows, fold.scores.ids, fold.scores.p_lens, fold.scores.logit, strict=True):
            there = np.isfinite(z)
            lines[int(row)] = (name, fold.number, labels[row], *((f"{p:.9g}", f"{z:.9g}") if there else ("", "")))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "fold", "label", "p_lens", "logit"))
    writer.writerows(lines[row] for row in sorted(lines))
    return text.getvalue()
