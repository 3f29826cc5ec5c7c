"""The performance block: metrics with intervals, ROC curve, score histogram, confusion."""

from __future__ import annotations

from typing import Any

import numpy as np

from lensaudit.report.options import AuditOptions
from lensaudit.report.roc_curve import roc_block
from lensaudit.report.selection import rate

BINS = 25

LABELS = {
    "recall": "Recall (completeness)",
    "precision": "Precision (purity in this set)",
    "accuracy": "Accuracy",
    "fbeta": "Fβ",
    "auroc": "AUROC",
    "tpr0": "TPR0",
    "tpr10": "TPR10",
    "tpr_at_fpr": "Recall at 1\u202f% false positives",
}
"""Readable names; a metric that is not here goes by its own."""

_STREAM = 0x20C


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
    rng = np.random.default_rng([options.seed, _STREAM])
    return {
        "threshold": threshold,
        "n": len(p),
        "n_above": int(np.sum(p >= threshold)),
        "n_lenses": int(lens.sum()),
        "n_nonlenses": int(other.sum()),
        "unscored": [{"id": name, "why": why} for name, why in scores.failed.items()],
        "metrics": metrics(labels, p, logit, threshold, options),
        "roc": roc_block(logit[lens], logit[other], rng),
        "scores": histogram(labels, p),
        "confusion": confusion(p >= threshold, lens, other),
        "false_positive_rate": rate(p[other] >= threshold),
    }


def metrics(
    labels: np.ndarray, p: np.ndarray, logit: np.ndarray, threshold: float, options: AuditOptions
) -> list[dict[str, Any]]:
    """Rows of the metrics table; empty without any label."""
    from lensaudit.evaluation import evaluate

    known = labels >= 0
    if not known.any():
        return []
    result = evaluate(labels[known], p[known], logit[known], threshold=threshold, beta=options.beta, seed=options.seed)
    return [_row(metric) for metric in result.metrics]


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


def _row(metric: Any) -> dict[str, Any]:
    """One metric of :mod:`lensaudit.evaluation` with its readable name and, where undefined, the reason."""
    undefined = not np.isfinite(metric.value)
    return {
        "name": metric.name,
        "label": LABELS.get(metric.name, metric.name),
        "value": metric.value,
        "low": metric.low,
        "high": metric.high,
        "n": int(metric.n),
        "method": metric.method,
        "status": getattr(metric, "status", None) or ("not defined on this set" if undefined else ""),
    }
