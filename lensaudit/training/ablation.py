"""Ablations: the same recipe with one of its ingredients changed, trained several times over, on the same images.

Those of Forero Sanchez et al. 2019: the clip, the augmentation, the near-infrared bands, the kind of dropout.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from lensaudit.display.colour import FAINT, SERIES
from lensaudit.display.figures import legend_below, new_figure, save_figure, styled
from lensaudit.display.numbers import MISSING, plus_minus, with_interval
from lensaudit.display.page import markdown_table
from lensaudit.errors import UsageError
from lensaudit.evaluation import evaluate
from lensaudit.files import write_text
from lensaudit.finders import Recipe, Scores, score_set
from lensaudit.finders.scores_file import ScoresForm
from lensaudit.kept import Piece
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance
from lensaudit.records import Json, Record
from lensaudit.statistics import roc_curve
from lensaudit.training.group import together
from lensaudit.training.options import Machine, TrainingOptions
from lensaudit.training.run import Place, Trained, Watch, train
from lensaudit.training.sets import TrainingData

BASELINE = "as-the-recipe"
NIR_BANDS = ("J", "Y", "H")
_CLIPPED, _UNCLIPPED = "clip-log", "log-minmax"
_FLIPPED, _PLAIN = "flips", "none"


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes
    ----------
    name
        Of its folder and in tables, such as ``without-clip``.
    recipe, options
        What is trained, and how.
    """

    name: str
    recipe: Recipe
    options: TrainingOptions


def _clip(arm: Arm) -> Arm:
    clipped = arm.recipe.stretch == _CLIPPED
    stretch = _UNCLIPPED if clipped else _CLIPPED
    recipe = arm.recipe.model_copy(update={"stretch": stretch})
    return Arm("without-clip" if clipped else "with-clip", recipe, arm.options)


def _augmentation(arm: Arm) -> Arm:
    augmented = arm.options.augment != _PLAIN
    options = arm.options.model_copy(update={"augment": _PLAIN if augmented else _FLIPPED})
    return Arm("without-augmentation" if augmented else "with-flips", arm.recipe, options)


def _nir(arm: Arm) -> Arm:
    bands = tuple(band for band in arm.recipe.bands if band not in NIR_BANDS)
    if not bands:
        raise UsageError(f"--ablate nir: {arm.recipe.name} has no band but {', '.join(arm.recipe.bands)}; leave it out")
    if bands == arm.recipe.bands:
        return Arm("with-nir", arm.recipe.model_copy(update={"bands": (*bands, *NIR_BANDS)}), arm.options)
    return Arm("without-nir", arm.recipe.model_copy(update={"bands": bands}), arm.options)


def _dropout(arm: Arm) -> Arm:
    chosen = arm.recipe.architecture_options.get("spatial_dropout")
    if chosen is None:
        raise UsageError(
            f"--ablate dropout: {arm.recipe.name} names no spatial_dropout among its architecture_options; take lastro"
        )
    changed = {**arm.recipe.architecture_options, "spatial_dropout": not chosen}
    recipe = arm.recipe.model_copy(update={"architecture_options": changed})
    return Arm("plain-dropout" if chosen else "spatial-dropout", recipe, arm.options)


ABLATIONS: dict[str, Callable[[Arm], Arm]] = {
    "clip": _clip,
    "augmentation": _augmentation,
    "nir": _nir,
    "dropout": _dropout,
}
"""Name → what it makes of the recipe's own arm: the ingredient taken away, or put in where the recipe has it not."""


def arms_of(recipe: Recipe, options: TrainingOptions, ablations: Sequence[str]) -> list[Arm]:
    """The recipe's own arm, then one for each of `ablations`.

    Raises
    ------
    UsageError
        An ablation is not known, named twice, or has nothing to change in this recipe.
    """
    first = Arm(BASELINE, recipe, options)
    if recipe.preprocessing and (wrong := next((name for name in ablations if name in ("clip", "nir")), None)):
        raise UsageError(f"--ablate {wrong}: {recipe.name} declares its preprocessing step by step; leave it out")
    for name in ablations:
        if name not in ABLATIONS:
            raise UsageError(f"--ablate {name} is not known; allowed: {', '.join(ABLATIONS)}")
        if list(ablations).count(name) > 1:
            raise UsageError(f"--ablate {name} is named twice; once is enough")
    return [first, *(ABLATIONS[name](first) for name in ablations)]


@dataclass(frozen=True)
class Run:
    """One trained repeat of an arm: log-odds of the test images (n,), AUROC and accuracy there, epochs it took."""

    arm: str
    seed: int
    logit: NDArray[np.float64]
    auroc: float
    accuracy: float
    epochs: int


@dataclass(frozen=True)
class Spread(Record):
    """Mean over repeats, their standard deviation, and the 95 % interval of the mean (Student's t).

    With one repeat there is neither deviation nor interval: NaN. A file has six decimals.
    """

    ALSO = ("mean", "deviation", "low", "high")
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the repeats."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation from repeat to repeat (n − 1)."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean."""
        if len(self.values) < 2:
            return float("nan"), float("nan")
        half = float(stdtrit(len(self.values) - 1, 0.975)) * self.deviation / len(self.values) ** 0.5
        return self.mean - half, self.mean + half

    @property
    def low(self) -> float:
        """Of the interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Of the interval."""
        return self.interval[1]

    def to_json(self) -> Json:
        """Values and what comes of them, rounded."""
        words = super().to_json()
        values = words.pop("values")
        rounded = {name: None if value is None else round(value, 6) for name, value in words.items()}
        return {**rounded, "values": [round(value, 6) for value in values]}


@dataclass(frozen=True)
class ArmResult(Record):
    """What became of one arm: seeds and epochs of its repeats, metrics over them, and what they gain seed by seed.

    The baseline has no gains.
    """

    arm: str
    seeds: tuple[int, ...]
    epochs: tuple[int, ...]
    auroc: Spread
    accuracy: Spread
    auroc_gain: Spread | None = None
    accuracy_gain: Spread | None = None

    def to_json(self) -> Json:
        """Without the gains that there are not."""
        return {name: value for name, value in super().to_json().items() if value is not None}


@dataclass(frozen=True)
class AblationResult(Record):
    """``ablation.json``: every arm on the same test images, and what was trained."""

    ALSO = ("counted",)
    arms: tuple[ArmResult, ...]
    n_lenses: int
    n_non_lenses: int
    recipe: Json
    options: Json
    provenance: Json

    @property
    def counted(self) -> str:
        """How many images were measured on."""
        return f"{self.n_lenses} + {self.n_non_lenses} test images"


def differences(arm: Sequence[float], baseline: Sequence[float]) -> Spread:
    """What an arm gains over the baseline, repeat by repeat: both begin from one seed, and split the images alike."""
    return Spread(tuple(float(a - b) for a, b in zip(arm, baseline, strict=True)))


GRID = np.linspace(0, 1, 401)


@styled
def plot_ablation(path: Path, runs: Sequence[Run], labels: NDArray[np.integer[Any]], title: str) -> None:
    """Write `path` as PNG: the mean curve of every arm's repeats, and the band between their lowest and highest."""
    figure = new_figure(6.4, 5.6)
    axes = figure.subplots()
    for colour, arm in zip(SERIES, dict.fromkeys(run.arm for run in runs), strict=False):
        members = [run for run in runs if run.arm == arm]
        curves = np.array([recall_on_grid(run.logit, labels) for run in members])
        areas = np.array([run.auroc for run in members])
        spread = plus_minus(areas.mean(), areas.std(ddof=1) if len(areas) > 1 else np.nan, 3)
        axes.fill_between(GRID, curves.min(0), curves.max(0), color=colour, alpha=0.2, linewidth=0)
        label = f"{arm}: AUROC {spread} (n = {len(areas)})"
        axes.plot(GRID, curves.mean(0), color=colour, label=label)
    axes.plot(GRID, GRID, color=FAINT, linewidth=1, linestyle=":", label="chance")
    axes.set_xlabel("false-positive rate")
    axes.set_ylabel("recall (true-positive rate)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    legend_below(figure, axes, 2, title="band: lowest to highest repeat")
    axes.set_title(title, fontsize="medium")
    save_figure(path, figure)


def recall_on_grid(logit: NDArray[np.float64], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Recall at each false-positive rate of `GRID`."""
    scored = np.isfinite(logit)
    roc = roc_curve(logit[scored & (labels == 1)], logit[scored & (labels == 0)])
    return np.asarray(np.interp(GRID, roc.fpr, roc.tpr))


RESULT_FILE, TABLE_FILE, PICTURE_FILE = "ablation.json", "ablation.md", "ablation.png"
SCORES_FILE = "test-scores.parquet"

Began = Callable[[str, int], Watch]
"""Called with (arm, repeat) before each training; gives what its progress is reported to."""


def ablate(
    arms: Sequence[Arm],
    data: TrainingData,
    place: Place,
    repeats: int,
    machine: Machine | None = None,
    began: Began | None = None,
) -> list[Run]:
    """Train every arm `repeats` times, with the seeds from the options' on, and measure each on ``data.test``.

    Writes ``ablation.json``, ``ablation.md`` and ``ablation.png`` (overlaid ROC curves) below ``place.out``, and each
    training to ``ARM/seed-N`` there.

    Raises
    ------
    UsageError
        There is no test set, or less than one repeat.
    """
    if data.test is None:
        raise UsageError("--ablate compares on a test set; give one with --test")
    if repeats < 1:
        raise UsageError(f"--repeats {repeats}: at least 1 is needed")
    cache, machine = place.cache or place.out / "prepared", machine or Machine()
    runs = []
    with together(machine.processes, machine.device):
        for arm in arms:
            for seed in range(arm.options.seed, arm.options.seed + repeats):
                out = place.out / arm.name / f"seed-{seed}"
                options = arm.options.model_copy(update={"seed": seed})
                watch = began(arm.name, seed) if began is not None else None
                trained = train(arm.recipe, data, Place(out, cache, place.restart), options, machine, watch)
                runs.append(_measured(arm.name, seed, trained, data.test, out))
    _write(runs, arms, data, place.out)
    if place.cache is None and cache.exists():
        shutil.rmtree(cache)
    return runs


def _measured(arm: str, seed: int, trained: Trained, test: LensSet, out: Path) -> Run:
    scores = kept_scores(trained, test, out / SCORES_FILE)
    found = evaluate(test.labels, scores.p_lens, scores.logit, threshold=0.5)
    value = {metric.name: metric.value for metric in found.metrics}
    return Run(arm, seed, scores.logit, value["auroc"], value["accuracy"], len(trained.history))


def kept_scores(trained: Trained, test: LensSet, path: Path) -> Scores:
    """Scores of the test set, kept beside the weights they are of."""
    wanted = {"finder": trained.finder.weights_hash, "set": test.content_hash}
    record = {"finder": trained.finder.name, "provenance": provenance(inputs=wanted)}
    form = ScoresForm(record, lambda earlier: earlier.provenance.inputs)
    return Piece(path, form, wanted).or_made(lambda: score_set(trained.finder, test))


def _write(runs: Sequence[Run], arms: Sequence[Arm], data: TrainingData, out: Path) -> None:
    assert data.test is not None
    labels, first = data.test.labels, arms[0]
    inputs = {"training": data.content_hash, "test": data.test.content_hash}
    result = AblationResult(
        arms=arm_results(runs, [arm.name for arm in arms]),
        n_lenses=int((labels == 1).sum()),
        n_non_lenses=int((labels == 0).sum()),
        recipe=first.recipe.model_dump(mode="json"),
        options=first.options.model_dump(mode="json"),
        provenance=provenance(seed=first.options.seed, inputs=inputs),
    )
    result.write(out / RESULT_FILE)
    write_text(out / TABLE_FILE, table(result))
    plot_ablation(out / PICTURE_FILE, runs, labels, f"{first.recipe.name}: {result.counted}")


def arm_results(runs: Sequence[Run], arms: Sequence[str]) -> tuple[ArmResult, ...]:
    """AUROC and accuracy of every arm over its repeats, and what it gains over the baseline repeat by repeat."""
    by_arm = {arm: [run for run in runs if run.arm == arm] for arm in arms}

    def values(arm: str, name: str) -> tuple[float, ...]:
        return tuple(getattr(run, name) for run in by_arm[arm])

    def gain(arm: str, name: str) -> Spread | None:
        return None if arm == BASELINE else differences(values(arm, name), values(BASELINE, name))

    return tuple(
        ArmResult(
            arm,
            tuple(run.seed for run in members),
            tuple(run.epochs for run in members),
            Spread(values(arm, "auroc")),
            Spread(values(arm, "accuracy")),
            gain(arm, "auroc"),
            gain(arm, "accuracy"),
        )
        for arm, members in by_arm.items()
    )


def table(result: AblationResult) -> str:
    """The result as Markdown."""
    rows = []
    for row in result.arms:
        cells = [row.arm, str(len(row.seeds)), ", ".join(map(str, row.epochs))]
        for level, gain in ((row.auroc, row.auroc_gain), (row.accuracy, row.accuracy_gain)):
            cells += [plus_minus(level.mean, level.deviation), _gain(gain)]
        rows.append(cells)
    head = ("arm", "repeats", "epochs", "AUROC", "gain in AUROC", "accuracy", "gain in accuracy")
    return "\n".join(
        [
            f"Recipe `{result.recipe['name']}`; AUROC and accuracy (at p = 0.5) on {result.counted}.",
            "",
            markdown_table(head, rows),
            "",
            "Mean over repeats ± their standard deviation; gains over the first row, seed by seed, with the 95 % "
            "interval of their mean (Student's t). One repeat has neither. Repeats differ in initial weights, order, "
            "split and augmentation; all see the same test images, whose own sampling these intervals leave out.",
            "",
        ]
    )


def _gain(spread: Spread | None) -> str:
    return MISSING if spread is None else with_interval(spread.mean, spread.low, spread.high, 4, sign=True)
