"""Cross-validation as Akhazhanov 2018, Section 5.2: every image is scored by a finder that never saw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.errors import DataError, UsageError
from lensaudit.evaluation import Evaluation
from lensaudit.finders import Scores
from lensaudit.training.ablation import Spread

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
    found
        Metrics on them, with β = 1.
    epochs, parameters
        Of that finder.
    """

    number: int
    rows: NDArray[np.intp]
    scores: Scores
    found: Evaluation
    epochs: int
    parameters: int

    def as_json(self) -> dict[str, Any]:
        """Counts, epochs, and both metrics with their intervals."""
        return {
            "fold": self.number,
            "n_lenses": self.found.n_lenses,
            "n_non_lenses": self.found.n_others,
            "n_unscored": self.found.n_unscored,
            "threshold": self.found.threshold,
            "epochs": self.epochs,
            "auroc": self.found.metric("auroc").as_json(),
            "f1": self.found.metric("fbeta").as_json(),
        }


@dataclass(frozen=True)
class CrossValidation:
    """All folds of one recipe on one set."""

    folds: tuple[Fold, ...]

    def spread(self, name: str) -> Spread:
        """Mean and standard deviation over folds of ``auroc`` or ``f1``."""
        return Spread(tuple(fold.found.metric("fbeta" if name == "f1" else name).value for fold in self.folds))

    def as_json(self) -> dict[str, Any]:
        """Folds, and mean and standard deviation over them."""
        spreads = {name: self.spread(name) for name in ("auroc", "f1")}
        return {
            "parameters": self.folds[0].parameters,
            "folds": [fold.as_json() for fold in self.folds],
            **{
                name: {"mean": _or_none(spread.mean), "deviation_over_folds": _or_none(spread.deviation)}
                for name, spread in spreads.items()
            },
        }


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
            mend = f"--folds {count} or fewer, or more {name}" if count > 1 else f"more {name}"
            raise DataError(f"a fold would have one class: the set has {count} {name} for {folds} folds; give {mend}")
    found = np.full(len(labels), UNUSED, np.intp)
    rows = np.flatnonzero((labels == 0) | (labels == 1))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)  # the most it takes
    for number, (_, members) in enumerate(splitter.split(rows, labels[rows]), start=1):
        found[rows[members]] = number
    return found


def table(result: dict[str, Any]) -> str:
    """The result, as ``cross-validation.json`` has it, in Markdown."""
    n = sum(fold["n_lenses"] + fold["n_non_lenses"] for fold in result["folds"])
    lines = [
        f"Recipe `{result['recipe']['name']}`, {result['parameters']} parameters: {len(result['folds'])} folds of {n} "
        f"images, each scored by a finder trained on the others.",
        *([f"Body {result['body']}."] if "body" in result else []),
        "",
        "| fold | lenses + non-lenses | epochs | ROC AUC | F1 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for fold in result["folds"]:
        counted = f"{fold['n_lenses']} + {fold['n_non_lenses']}"
        cells = [str(fold["fold"]), counted, str(fold["epochs"]), _interval(fold["auroc"]), _interval(fold["f1"])]
        lines.append(f"| {' | '.join(cells)} |")
    means = [_level(result[name]) for name in ("auroc", "f1")]
    left_out = sum(fold["n_unscored"] for fold in result["folds"])
    return "\n".join(
        [
            *lines,
            f"| mean ± standard deviation over folds | | | {' | '.join(means)} |",
            "",
            f"In brackets 95 % intervals of one fold's images. F1 at p ≥ {result['folds'][0]['threshold']:g}"
            + (" and the thresholds of the other folds' finders" if _differ(result["folds"]) else "")
            + ". Any two folds' finders share most of their training images, so the deviation over folds understates "
            "what another training set would change (Bengio & Grandvalet 2004)."
            + (f" {left_out} images could not be scored and are left out." if left_out else ""),
            "",
        ]
    )


def _differ(folds: list[dict[str, Any]]) -> bool:
    return len({fold["threshold"] for fold in folds}) > 1


def _interval(metric: dict[str, Any]) -> str:
    if metric["value"] is None:
        return f"– ({metric['status']})"
    interval = "" if metric["low"] is None else f" [{metric['low']:.4f}, {metric['high']:.4f}]"
    return f"{metric['value']:.4f}{interval}"


def _level(words: dict[str, Any]) -> str:
    return "–" if words["mean"] is None else f"{words['mean']:.4f} ± {words['deviation_over_folds']:.4f}"


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
