"""Running an ablation: every arm, every repeat, each a training of its own that can be stopped and goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import UsageError
from lensaudit.evaluation import evaluate
from lensaudit.files import write_json, write_text
from lensaudit.finders import Scores, read_scores, score_set, write_scores
from lensaudit.lensset import LensSet
from lensaudit.provenance import provenance
from lensaudit.training.ablation import BASELINE, Arm, Run, Spread, differences
from lensaudit.training.options import Machine
from lensaudit.training.run import Place, Trained, Watch, train
from lensaudit.training.sets import TrainingData

RESULT_FILE, TABLE_FILE, PICTURE_FILE = "ablation.json", "ablation.md", "ablation.png"
SCORES_FILE = "test-scores.parquet"

Began = Callable[[str, int], Watch]
"""Called with (arm, repeat) before each training; gives what is told of its progress."""


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
    cache = place.cache or place.out / "prepared"
    runs = []
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
    if path.is_file():
        scores, record = read_scores(path)
        if record["provenance"]["inputs"] == wanted:
            return scores
    scores = score_set(trained.finder, test)
    write_scores(scores, path, {"finder": trained.finder.name, "provenance": provenance(inputs=wanted)})
    return scores


def _write(runs: Sequence[Run], arms: Sequence[Arm], data: TrainingData, out: Path) -> None:
    from lensaudit.training.ablation_plot import plot_ablation

    assert data.test is not None
    labels = data.test.labels
    result = summary(runs, [arm.name for arm in arms], labels) | {
        "recipe": arms[0].recipe.model_dump(mode="json"),
        "options": arms[0].options.model_dump(mode="json"),
        "provenance": provenance(
            seed=arms[0].options.seed,
            inputs={"training": data.training.content_hash, "test": data.test.content_hash},
        ),
    }
    write_json(out / RESULT_FILE, result)
    write_text(out / TABLE_FILE, table(result))
    plot_ablation(out / PICTURE_FILE, runs, labels, f"{arms[0].recipe.name}: {result['counted']}")


def summary(runs: Sequence[Run], arms: Sequence[str], labels: NDArray[np.integer[Any]]) -> dict[str, Any]:
    """AUROC and accuracy of every arm over its repeats, and what it gains over the baseline repeat by repeat."""
    lenses, others = int((labels == 1).sum()), int((labels == 0).sum())
    by_arm = {arm: [run for run in runs if run.arm == arm] for arm in arms}
    rows = []
    for arm, members in by_arm.items():
        row: dict[str, Any] = {
            "arm": arm,
            "seeds": [run.seed for run in members],
            "epochs": [run.epochs for run in members],
        }
        for name in ("auroc", "accuracy"):
            values = [getattr(run, name) for run in members]
            row[name] = _spread_json(Spread(tuple(values)))
            if arm != BASELINE:
                row[f"{name}_gain"] = _spread_json(
                    differences(values, [getattr(run, name) for run in by_arm[BASELINE]])
                )
        rows.append(row)
    return {"arms": rows, "n_lenses": lenses, "n_non_lenses": others, "counted": f"{lenses} + {others} test images"}


def _spread_json(spread: Spread) -> dict[str, Any]:
    low, high = spread.interval
    words = {"mean": spread.mean, "deviation": spread.deviation, "low": low, "high": high}
    return {
        **{name: None if np.isnan(value) else round(value, 6) for name, value in words.items()},
        "values": [round(value, 6) for value in spread.values],
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"Recipe `{result['recipe']['name']}`; AUROC and accuracy (at p = 0.5) on {result['counted']}.",
        "",
        "| arm | repeats | epochs | AUROC | gain in AUROC | accuracy | gain in accuracy |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["arms"]:
        cells = [row["arm"], str(len(row["seeds"])), ", ".join(map(str, row["epochs"]))]
        for name in ("auroc", "accuracy"):
            cells += [_level(row[name]), _gain(row.get(f"{name}_gain"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [
            *lines,
            "",
            "Mean over repeats ± their standard deviation; gains over the first row, seed by seed, with the 95 % "
            "interval of their mean (Student's t). One repeat has neither. Repeats differ in initial weights, order, "
            "split and augmentation; all see the same test images, whose own sampling these intervals leave out.",
            "",
        ]
    )


def _level(words: dict[str, Any]) -> str:
    return f"{words['mean']:.4f}" + ("" if words["deviation"] is None else f" ± {words['deviation']:.4f}")


def _gain(words: dict[str, Any] | None) -> str:
    if words is None:
        return "–"
    interval = "" if words["low"] is None else f" [{words['low']:+.4f}, {words['high']:+.4f}]"
    return f"{words['mean']:+.4f}{interval}"
