"""Two-sample statistics against slow loops, closed forms and repetitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, kstest, norm
from sklearn.metrics import roc_auc_score

from lensaudit.statistics import cross_validated_auroc, mean_discrepancy, normal_scores
from lensaudit.statistics.two_samples import FEW


def slow_mmd(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    """Gretton et al. 2012, Eq. 3, pair by pair."""

    def mean_kernel(one: np.ndarray, other: np.ndarray, *, same: bool) -> float:
        values = [
            math.exp(-sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / (2 * bandwidth**2))
            for i, p in enumerate(one)
            for j, q in enumerate(other)
            if not (same and i == j)
        ]
        return sum(values) / len(values)

    return mean_kernel(x, x, same=True) + mean_kernel(y, y, same=True) - 2 * mean_kernel(x, y, same=False)


def test_mmd_is_that_of_a_slow_loop():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(17, 3)), rng.normal(0.7, 1.4, size=(23, 3))
    found = mean_discrepancy(x, y, np.random.default_rng(0), 9)
    assert found.squared == pytest.approx(slow_mmd(x, y, found.bandwidth), abs=2e-6)  # kernels are float32
    together = np.concatenate([x, y])
    distances = [math.dist(p, q) for i, p in enumerate(together) for q in together[:i]]
    assert found.bandwidth == pytest.approx(np.median(distances), rel=1e-5)  # float32


def test_mmd_p_is_uniform_where_both_are_alike():
    found = []
    for seed in range(300):
        rng = np.random.default_rng([7, seed])
        found.append(mean_discrepancy(rng.normal(size=(15, 2)), rng.normal(size=(20, 2)), rng, 99).p)
    assert kstest(found, "uniform").pvalue > 1e-3
    low, high = binom.ppf([1e-4, 1 - 1e-4], 300, 0.05)  # p ≤ 0.05 has a chance of 5 in 100 permutations
    assert low <= np.sum(np.array(found) <= 0.05) <= high


def test_mmd_tells_shifted_samples_apart():
    rng = np.random.default_rng(2)
    assert mean_discrepancy(rng.normal(size=(80, 2)), rng.normal(1.0, 1, size=(80, 2)), rng, 199).p == 1 / 200


def test_mmd_of_one_point_repeated_says_nothing():
    found = mean_discrepancy(np.ones((5, 2)), np.ones((6, 2)), np.random.default_rng(0), 19)
    assert (found.squared, found.p) == (pytest.approx(0, abs=1e-6), 1.0)  # float32 sums


def test_mmd_refuses_what_is_too_small():
    with pytest.raises(ValueError, match="two or more rows"):
        mean_discrepancy(np.ones((1, 2)), np.ones((6, 2)), np.random.default_rng(0))


def test_auroc_of_one_fold_is_sklearn_s():
    rng = np.random.default_rng(5)
    real, score = rng.random(300) < 0.4, np.round(rng.normal(size=300) + 1, 1)
    score[real] += 0.5
    value, low, high = cross_validated_auroc(score, real, np.zeros(300))
    assert value == pytest.approx(roc_auc_score(real, score), abs=1e-12)
    assert low < value < high


def test_folds_are_ranked_apart():
    """Scores of another classifier may lie anywhere: here one fold's lie all above the other's."""
    score, real = np.array([1, 2, 3, 4, 101, 102, 103, 104.0]), np.array([0, 0, 1, 1, 0, 0, 1, 1], bool)
    assert cross_validated_auroc(score, real, np.repeat([0, 1], 4))[0] == 1.0
    assert cross_validated_auroc(score, real, np.zeros(8))[0] == 0.75


def by_mean_difference(x: np.ndarray, real: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Out-of-fold scores of the simplest linear classifier."""
    score = np.empty(len(x))
    for one in np.unique(fold):
        out = fold == one
        direction = x[~out & real].mean(axis=0) - x[~out & ~real].mean(axis=0)
        score[out] = x[out] @ direction
    return score


def covered(shift: float, repetitions: int, n: int, d: int) -> int:
    """How often the interval holds the AUROC that the best classifier of two Gaussians `shift` apart has."""
    real, fold = np.repeat([True, False], n), np.tile(np.arange(n) % 5, 2)
    inside = 0
    for seed in range(repetitions):
        x = np.random.default_rng([3, seed]).normal(size=(2 * n, d))
        x[real, 0] += shift
        _, low, high = cross_validated_auroc(by_mean_difference(x, real, fold), real, fold)
        inside += low <= norm.cdf(shift / math.sqrt(2)) <= high
    return inside


def test_the_interval_holds_one_half_where_both_are_alike():
    """The folds' classifiers share data: DeLong's variance alone would cover 83 times of 100."""
    assert covered(0.0, 400, n=40, d=10) >= binom.ppf(1e-4, 400, 0.95)


def test_the_interval_holds_the_closed_form_of_shifted_gaussians():
    assert covered(1.0, 200, n=300, d=2) >= binom.ppf(1e-4, 200, 0.95)


def test_few_cutouts_and_perfect_ranks_claim_no_certainty():
    real, fold = np.arange(63) < 3, np.arange(63) % 3
    value, low, high = cross_validated_auroc(real.astype(float), real, fold)
    assert (value, high) == (1.0, 1.0)
    assert low < 0.5
    nearly = np.where(real, 0.9, np.arange(63) / 63)  # three real ones above most of the others, all alike
    value, low, high = cross_validated_auroc(nearly, real, fold)
    assert low < 0.5 < value < high < 1.0
    many = np.arange(200) < 100
    value, low, high = cross_validated_auroc(many.astype(float), many, np.arange(200) % 5)
    assert (value, high) == (1.0, 1.0)
    assert 0.95 < low < 1  # Wilson's of 100 of 100
    assert FEW <= 100


def test_without_both_classes_there_is_nothing():
    assert all(math.isnan(one) for one in cross_validated_auroc([1.0, 2.0], [True, True], [0, 0]))


def test_normal_scores_know_ranks_alone():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 2))
    x[3, 1] = np.nan
    scores = normal_scores(np.stack([np.exp(x[:, 0]), x[:, 1]], axis=1))
    assert np.allclose(scores, normal_scores(x), atol=1e-12)  # monotone: the same ranks
    assert scores[3, 1] == 0
    assert scores[:, 0].std() == pytest.approx(1, abs=0.02)  # tails of 500 quantiles are cut
