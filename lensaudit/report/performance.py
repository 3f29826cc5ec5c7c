"""The performance block: metrics with intervals, ROC curve, score histogram, confusion."""

from __future__ import annotations

from typing import Any

import numpy as np

from lensaudit.report.numbers import percent
from lensaudit.report.options import AuditOptions
from lensaudit.report.selection import rate

BINS = 25

LABELS = {
    "accuracy": "Accuracy",
    "precision": "Precision (purity in this set)",
    "recall": "Recall (completeness)",
    "auroc": "AUROC",
    "tpr0": "TPR0",
    "tpr10": "TPR10",
}
"""Readable names; a metric that is not here goes by its own."""


def performance_block(labels: np.ndarray, scores: Any, threshold: float, options: AuditOptions) -> dict[str, Any]:
    """Everything about scores and labels; blocks that need a class the set does not have are ``None``.

    Parameters
    ----------
    labels
        1 lens, 0 non-lens, −1 unknown; int (n,).
    scores
        :class:`lensaudit.finders.Scores`; images without a score are listed and enter no number.
    """
    known = np.isfinite(scores.p_lens)
    p, logit, labels = scores.p_lens[known], scores.logit[known], labels[known]
    lens, other = labels == 1, labels == 0
    metrics, roc = measured(labels, p, logit, threshold, options)
    return {
        "threshold": threshold,
        "n": len(p),
        "n_above": int(np.sum(p >= threshold)),
        "n_lenses": int(lens.sum()),
        "n_nonlenses": int(other.sum()),
        "unscored": [{"id": name, "why": why} for name, why in scores.failed.items()],
        "metrics": metrics,
        "roc": roc,
        "scores": histogram(labels, p),
        "confusion": confusion(p >= threshold, lens, other),
        "false_positive_rate": rate(p[other] >= threshold),
    }


def measured(
    labels: np.ndarray, p: np.ndarray, logit: np.ndarray, threshold: float, options: AuditOptions
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Rows of the metrics table and the ROC curve; empty and ``None`` without any label."""
    from lensaudit.evaluation import evaluate

    if not (labels >= 0).any():
        return [], None
    result = evaluate(labels, p, logit, threshold=threshold, beta=options.beta, seed=options.seed)
    names = {
        **LABELS,
        "fbeta": f"Fβ, β = {result.beta:g}",
        "tpr_at_fpr": f"Recall at {percent(result.fpr)} false positives",
    }
    rows = [{**metric.as_json(), "label": names.get(metric.name, metric.name)} for metric in result.metrics]
    if result.roc is None:
        return rows, None
    return rows, {**result.roc.as_json(), "n_lenses": result.n_lenses, "n_nonlenses": result.n_others}


def confusion(called: np.ndarray, lens: np.ndarray, other: np.ndarray) -> dict[str, int] | None:
    """Counts of found, lost, false alarms and rejected; ``None`` without any label."""
    if not (lens | other).any():
        return None
    cells = {"tp": called & lens, "fn": ~called & lens, "fp": called & other, "tn": ~called & other}
    return {name: int(cell.sum()) for name, cell in cells.items()}


def histogram(labels: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Counts per bin of 0.04 in p for lenses, non-lenses and cutouts without label."""
    edges = np.linspace(0, 1, BINS + 1)
    groups = {"lenses": labels == 1, "non-lenses": labels == 0, "unlabelled": labels < 0}
    counts = {name: np.histogram(p[members], edges)[0].tolist() for name, members in groups.items()}
    return {"edges": np.round(edges, 2).tolist(), **counts}
