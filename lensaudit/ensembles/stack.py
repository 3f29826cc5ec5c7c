"""A stack: log-odds of several finders weighed by a logistic regression, and what it says of images it did not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, xlog1py, xlogy

Floats = NDArray[np.float64]

FOLDS = 5
"""Parts of the set: each is scored by a stack fitted to the others."""

RIDGE = 1.0
"""Strength of the stack's penalty, ½ RIDGE w² of log-odds in units of their standard deviation: members that part the
classes perfectly have no finite weights without one."""


@dataclass(frozen=True, eq=False)
class Stacked:
    """A logistic regression on log-odds: weights (members,) and bias, and what it says out of fold (n,)."""

    weights: Floats
    bias: float
    out_of_fold: Floats


def stacked(logits: Floats, labels: NDArray[np.int64], seed: int) -> Stacked:
    """Fit log-odds of "lens" = weights · `logits` + bias, ridge-penalised, and cross-fit it over five folds.

    Parameters
    ----------
    logits
        Of the members (n, members).
    labels
        1 or 0 (n,).
    """
    fold = np.empty(len(labels), np.intp)
    rng = np.random.default_rng([seed, 29])
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(labels == label))
        fold[rows] = np.arange(len(rows)) % FOLDS
    told = np.empty(len(labels))
    for part in range(FOLDS):
        weights, bias = regression(logits[fold != part], labels[fold != part])
        told[fold == part] = logits[fold == part] @ weights + bias
    weights, bias = regression(logits, labels)
    return Stacked(weights, bias, told)


def regression(logits: Floats, labels: NDArray[np.int64]) -> tuple[Floats, float]:
    """Ridge-penalised logistic regression of labels on numbers (n, k): weights (k,) and bias.

    Newton's steps to the minimum, in standardised numbers, of which the penalty is; the weights are of the raw ones.
    """
    middle, spread = logits.mean(axis=0), np.where(logits.std(axis=0) > 0, logits.std(axis=0), 1.0)
    design = np.column_stack([(logits - middle) / spread, np.ones(len(logits))])
    penalty = np.diag([*np.full(logits.shape[1], RIDGE), 0.0])
    found = np.zeros(design.shape[1])
    for _ in range(100):
        p = expit(design @ found)
        slope = design.T @ (p - labels) + penalty @ found
        curve = (design * np.maximum(p * (1 - p), 1e-12)[:, None]).T @ design + penalty
        step = np.linalg.solve(curve, slope)
        found = found - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < 1e-10:
            break
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ middle)


def log_loss(labels: NDArray[np.int64], logits: Floats) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    p = np.clip(expit(logits), 1e-15, 1 - 1e-15)
    return float(-np.mean(xlogy(labels, p) + xlog1py(1 - labels, -p)))
