"""Cross-validation as Akhazhanov 2018, Section 5.2: every image is scored by a finder that never saw it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.display.colour import FAINT, SERIES
from lensaudit.display.figures import new_figure, save_figure, styled
from lensaudit.display.numbers import measured, plus_minus, shortest
from lensaudit.display.page import markdown_table
from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import Evaluation, Metric, evaluate
from lensaudit.files import write_text
from lensaudit.finders import Recipe, Scores, body_facts
from lensaudit.lensset import LensSet
from lensaudit.lensset.part import Part
from lensaudit.provenance import provenance
from lensaudit.records import Json, Number, Record
from lensaudit.training.ablation import GRID, SCORES_FILE, Spread, kept_scores, recall_on_grid
from lensaudit.training.group import together
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.prepared import Rows
from lensaudit.training.run import Place, Trained, Watch, train
from lensaudit.training.sets import TrainingData

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDS = 7
"""Of the paper."""

F1 = 1.0
"""The β of Fβ that makes it F1."""

UNUSED = -1
"""Fold of an image without a label."""


@dataclass(frozen=True)
class Fold:
    """One fold, measured.

    Attributes
    ----------
    number
        From 1 on.
    rows, scores
        Its images: positions in the set (m,), and their scores by the finder that was trained on the other folds.
    evaluation
        Metrics on them, with β = 1.
    epochs, parameters
        Of that finder.
    """

    number: int
    rows: NDArray[np.intp]
    scores: Scores
    evaluation: Evaluation
    epochs: int
    parameters: int

    @property
    def result(self) -> FoldResult:
        """Counts, epochs, and both metrics with their intervals."""
        found = self.evaluation
        return FoldResult(
            self.number, found.n_lenses, found.n_non_lenses, found.n_unscored, found.threshold, self.epochs,
            found.metric("auroc"), found.metric("fbeta"),
        )  # fmt: skip


@dataclass(frozen=True)
class CrossValidation:
    """All folds of one recipe on one set."""

    folds: tuple[Fold, ...]

    def spread(self, name: str) -> Spread:
        """Mean and standard deviation over folds of ``auroc`` or ``f1``."""
        return Spread(tuple(fold.evaluation.metric("fbeta" if name == "f1" else name).value for fold in self.folds))

    def over_folds(self, name: str) -> OverFolds:
        """The same as a record."""
        return OverFolds(self.spread(name).mean, self.spread(name).deviation)


@dataclass(frozen=True)
class FoldResult(Record):
    """One fold in ``cross-validation.json``."""

    fold: int
    n_lenses: int
    n_non_lenses: int
    n_unscored: int
    threshold: float
    epochs: int
    auroc: Metric
    f1: Metric


@dataclass(frozen=True)
class OverFolds(Record):
    """Mean of a metric over folds, and its standard deviation from fold to fold."""

    mean: Number
    deviation_over_folds: Number


@dataclass(frozen=True)
class CrossValidationResult(Record):
    """``cross-validation.json``; `parameters` counts those of one finder, `body` is there for a transfer finder."""

    parameters: int
    folds: tuple[FoldResult, ...]
    auroc: OverFolds
    f1: OverFolds
    recipe: Json
    options: Json
    provenance: Json
    body: str | None = None

    def to_json(self) -> Json:
        """Without a body where there is none."""
        words = super().to_json()
        return words if self.body is not None else {name: words[name] for name in words if name != "body"}


def folds_of(labels: NDArray[np.integer[Any]], folds: int, seed: int) -> NDArray[np.intp]:
    """Fold of each image, from 1 on, classes split alike by scikit-learn; `UNUSED` without a label.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown (n,).

    Raises
    ------
    UsageError
        Fewer than two folds.
    DataError
        A class has fewer images than there are folds, so that a fold would have one class.
    """
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise UsageError(f"--folds {folds}: at least 2 are needed; the paper has {FOLDS}")
    for value, name in ((1, "lenses"), (0, "non-lenses")):
        count = int((labels == value).sum())
        if count < folds:
            fix = f"--folds {count} or fewer, or more {name}" if count > 1 else f"more {name}"
            raise DataError(f"a fold would have one class: the set has {count} {name} for {folds} folds; give {fix}")
    found = np.full(len(labels), UNUSED, np.intp)
    rows = np.flatnonzero((labels == 0) | (labels == 1))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)  # the most it takes
    for number, (_, members) in enumerate(splitter.split(rows, labels[rows]), start=1):
        found[rows[members]] = number
    return found


def table(result: CrossValidationResult) -> str:
    """The result in Markdown."""
    folds = result.folds
    lines = [
        f"Recipe `{result.recipe['name']}`, {result.parameters} parameters: {len(folds)} folds of "
        f"{sum(fold.n_lenses + fold.n_non_lenses for fold in folds)} images, each scored by a finder trained on the "
        f"others.",
        *([] if result.body is None else [f"Body {result.body}."]),
        "",
    ]
    rows = []
    for fold in folds:
        counted = f"{fold.n_lenses} + {fold.n_non_lenses}"
        rows.append([str(fold.fold), counted, str(fold.epochs), measured(fold.auroc), measured(fold.f1)])
    rows.append(
        [
            "mean ± standard deviation over folds",
            "",
            "",
            *(plus_minus(one.mean, one.deviation_over_folds) for one in (result.auroc, result.f1)),
        ]
    )
    left_out = sum(fold.n_unscored for fold in folds)
    differ = len({fold.threshold for fold in folds}) > 1
    return "\n".join(
        [
            *lines,
            markdown_table(("fold", "lenses + non-lenses", "epochs", "ROC AUC", "F1"), rows),
            "",
            f"In brackets 95 % intervals of one fold's images. F1 at p ≥ {shortest(folds[0].threshold)}"
            + (" and the thresholds of the other folds' finders" if differ else "")
            + ". Any two folds' finders have most of their training images in common, so the deviation over folds "
            "understates what another training set would change (Bengio & Grandvalet 2004)."
            + (f" {left_out} images could not be scored and are left out." if left_out else ""),
            "",
        ]
    )


_ONE, _ALL = SERIES[:2]


@styled
def plot_cross_validation(path: Path, result: CrossValidation, labels: NDArray[np.integer[Any]], title: str) -> None:
    """Write `path` as PNG.

    Parameters
    ----------
    labels
        Of the whole set (n,).
    """
    figure = new_figure(10, 4.4)
    curves, dots = figure.subplots(1, 2)
    _draw_curves(curves, result, labels)
    _draw_metrics(dots, result)
    for axes in (curves, dots):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    counted = sum(fold.evaluation.counts.n for fold in result.folds)
    figure.suptitle(f"{title} of {counted} images")
    save_figure(path, figure)


def _draw_curves(axes: Axes, result: CrossValidation, labels: NDArray[np.integer[Any]]) -> None:
    curves = np.array([recall_on_grid(fold.scores.logit, labels[fold.rows]) for fold in result.folds])
    for number, curve in enumerate(curves):
        axes.plot(GRID, curve, color=_ONE, linewidth=0.8, alpha=0.6, label="one fold" if number == 0 else None)
    axes.plot(GRID, curves.mean(0), color=_ALL, linewidth=2, label="mean over folds")
    axes.plot(GRID, GRID, color=FAINT, linewidth=1, linestyle=":", label="chance")
    axes.set_xlabel("false-positive rate")
    axes.set_ylabel("recall (true-positive rate)")


def _draw_metrics(axes: Axes, result: CrossValidation) -> None:
    numbers = np.array([fold.number for fold in result.folds])
    for shift, (name, label, marker) in zip((-0.1, 0.1), (("auroc", "ROC AUC", "o"), ("f1", "F1", "s")), strict=True):
        metrics = [fold.evaluation.metric("fbeta" if name == "f1" else name) for fold in result.folds]
        values = np.array([metric.value for metric in metrics])
        reach = np.array([[metric.value - metric.low, metric.high - metric.value] for metric in metrics]).T
        colour, spread = (_ONE if name == "auroc" else _ALL), result.spread(name)
        words = f"{label}: {plus_minus(spread.mean, spread.deviation, 3)}"
        axes.errorbar(numbers + shift, values, np.nan_to_num(reach), fmt=marker, color=colour, capsize=2, label=words)
        axes.axhline(spread.mean, color=colour, linewidth=1)
        axes.axhspan(spread.mean - spread.deviation, spread.mean + spread.deviation, color=colour, alpha=0.12)
    axes.set_xticks(numbers)
    axes.set_xlabel("fold (bars: 95 % interval of its images; band: standard deviation over folds)")
    axes.set_ylabel("ROC AUC, F1")


RESULT_FILE, TABLE_FILE, PICTURE_FILE = "cross-validation.json", "cross-validation.md", "cross-validation.png"
OUT_OF_FOLD_FILE = "out-of-fold-scores.csv"

Began = Callable[[int], Watch]
"""Called with the fold's number before each training; gives what its progress is reported to."""


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
    machine, measured = machine or Machine(), []
    number_of = folds_of(lens_set.labels, folds, options.seed)
    with together(machine.processes, machine.device):
        for number in range(1, folds + 1):
            held, others = np.flatnonzero(number_of == number), (number_of != number) & (number_of != UNUSED)
            training, out = Part(lens_set, np.flatnonzero(others)), place.out / f"fold-{number}"
            watch = began(number) if began is not None else None
            where = Place(out, place.cache, place.restart)
            trained = train(recipe, TrainingData(training), where, options, machine, watch)
            measured.append(_fold(number, held, trained, lens_set, out, options.seed))
    result = CrossValidation(tuple(measured))
    _write(result, recipe, lens_set, options, place.out)
    return result


def _fold(number: int, held: Rows, trained: Trained, lens_set: LensSet, out: Path, seed: int) -> Fold:
    """What the finder makes of the images that were held back."""
    test, threshold = Part(lens_set, held), trained.finder.recipe.threshold
    scores = kept_scores(trained, test, out / SCORES_FILE)
    found = evaluate(test.labels, scores.p_lens, scores.logit, threshold=threshold, beta=F1, seed=seed)
    return Fold(number, held, scores, found, len(trained.history), trained.finder.parameters)


def _write(result: CrossValidation, recipe: Recipe, lens_set: LensSet, options: TrainingOptions, out: Path) -> None:
    written = CrossValidationResult(
        parameters=result.folds[0].parameters,
        folds=tuple(fold.result for fold in result.folds),
        auroc=result.over_folds("auroc"),
        f1=result.over_folds("f1"),
        recipe=recipe.model_dump(mode="json"),
        options=options.model_dump(mode="json", exclude={"pretrained"}),
        provenance=provenance(seed=options.seed, inputs={"set": lens_set.content_hash}),
        body=body_facts(recipe, options.pretrained).get("body"),
    )
    written.write(out / RESULT_FILE)
    write_text(out / TABLE_FILE, table(written))
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
