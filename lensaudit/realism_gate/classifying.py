"""A two-sample classifier test: how well real and simulated cutouts are told apart, cross-validated by system.

Lopez-Paz & Oquab 2017 (ICLR): where a classifier cannot tell two samples apart on what it was not fitted to, they are
alike as far as that classifier can see.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensaudit.statistics import cross_validated_auroc

Floats = NDArray[np.float64]

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Told:
    """What a cross-validated classifier says of each cutout, and how well it does.

    Attributes
    ----------
    score
        Out-of-fold probability of "real" with equal priors, float64 (n,).
    auroc, low, high
        See `lensaudit.statistics.cross_validated_auroc`.
    """

    score: Floats
    auroc: float
    low: float
    high: float


def folds_of(groups: Sequence[str], real: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.intp]:
    """Number of the fold of each cutout (n,): all of one group in one fold, real and simulated evenly over all.

    Groups are dealt out in random order, those with equally many real and simulated cutouts one after the other.

    Parameters
    ----------
    groups
        System of each cutout (n,), in both sets alike.
    real
        Which cutouts are real (n,).
    """
    _, system = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    of_real, of_all = np.bincount(system, weights=real), np.bincount(system)
    number = min(FOLDS, int((of_real > 0).sum()), int((of_all > of_real).sum()))
    order = np.lexsort((generator.random(len(of_all)), of_all, of_real))
    fold = np.empty(len(order), np.intp)
    fold[order] = np.arange(len(order)) % max(number, 1)
    dealt: NDArray[np.intp] = fold[system]
    return dealt


def told_apart(
    values: NDArray[np.floating[Any]], real: NDArray[np.bool_], fold: NDArray[np.intp], *, linear: bool
) -> Told:
    """Fit a classifier on all folds but one, score that one, and so on.

    Parameters
    ----------
    values
        Features (n, d); NaN only where not `linear`.
    real
        Which rows are real (n,).
    fold
        Of each row (n,), see `folds_of`.
    linear
        Logistic regression on standardised features; else gradient-boosted trees.
    """
    score = np.full(len(real), 0.5)
    for one in np.unique(fold):
        test = fold == one
        if len(np.unique(real[~test])) == 2:
            score[test] = _fitted(values[~test], real[~test], linear).predict_proba(values[test])[:, 1]
    return Told(score, *cross_validated_auroc(score, real, fold))


def _fitted(values: NDArray[np.floating[Any]], real: NDArray[np.bool_], linear: bool) -> Any:
    """The classifier; classes count alike, however many there are of each, and nothing in it is random."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fewer = int(min(real.sum(), (~real).sum()))
    if linear:
        model: Any = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=200, tol=1e-3)
        )
    else:
        model = HistGradientBoostingClassifier(  # of 255 bins and 15 leaves as good, at seven times the time
            max_iter=30,
            learning_rate=0.2,
            max_leaf_nodes=8,
            max_bins=31,
            min_samples_leaf=max(1, min(20, fewer // 4)),
            class_weight="balanced",
            early_stopping=False,
            random_state=0,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few more steps would not change the ranking
        return model.fit(values, real)
