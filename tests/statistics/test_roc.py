"""ROC, its points and its area against scikit-learn, brute force and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm
from sklearn import metrics as sklearn_metrics

from lensaudit.statistics import (
    auroc,
    auroc_interval,
    auroc_variance,
    confusion,
    roc_curve,
    tpr0,
    tpr10,
    tpr_at_fpr,
    tpr_with_false_positives,
)

few_values = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)
"""Scores with many ties."""


def labelled(lenses, others):
    return np.r_[np.ones(len(lenses)), np.zeros(len(others))], np.r_[lenses, others]


def brute_force(lenses, others, allowed):
    """Highest recall over every threshold with at most `allowed` false positives."""
    best = 0.0
    for threshold in {*lenses, *others, math.inf}:
        if sum(score >= threshold for score in others) <= allowed:
            best = max(best, sum(score >= threshold for score in lenses) / len(lenses))
    return best


@given(few_values, few_values, st.integers(0, 12))
def test_points_of_the_curve_are_those_of_every_threshold(lenses, others, allowed):
    assert tpr_with_false_positives(lenses, others, allowed) == pytest.approx(brute_force(lenses, others, allowed))


@given(few_values, few_values)
def test_curve_and_area_are_scikit_learns(lenses, others):
    label, score = labelled(lenses, others)
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(label, score, drop_intermediate=False)
    ours = roc_curve(lenses, others)
    assert ours.fpr == pytest.approx(fpr)
    assert ours.tpr == pytest.approx(tpr)
    assert ours.thresholds == pytest.approx(thresholds)
    assert auroc(lenses, others) == pytest.approx(sklearn_metrics.roc_auc_score(label, score), abs=1e-12)


def test_tpr10_has_fewer_than_ten_false_positives():
    others = np.arange(20.0)
    assert tpr10([10.5, 9.5, 10.0], others) == pytest.approx(1 / 3)  # 10.5 leaves 11…19, nine of them
    assert tpr0([19.5, 19.0, 3.0], others) == pytest.approx(1 / 3)


def test_tpr_at_fpr_rounds_the_allowance_down():
    others = np.arange(250.0)
    assert tpr_at_fpr([247.5, 246.5], others, 0.01) == 0.5  # two of 250 are allowed, not three
    assert tpr_at_fpr([71.5, 70.5], np.arange(100.0), 0.29) == tpr_with_false_positives(
        [71.5, 70.5], np.arange(100.0), 29
    )


def test_one_class_only_has_no_point_and_no_area():
    for metric in (tpr0, tpr10, tpr_at_fpr, auroc):
        assert math.isnan(metric([1.0], []))
        assert math.isnan(metric([], [1.0]))
    with pytest.raises(ValueError, match="needs lenses and non-lenses"):
        roc_curve([1.0], [])


def test_nan_scores_are_refused():
    for metric in (tpr0, auroc):
        with pytest.raises(ValueError, match="NaN"):
            metric([math.nan], [1.0])


def test_variance_is_delongs_by_its_double_sum():
    """The definition with the kernel ψ = 1, ½, 0 over every pair, in O(n1 n0)."""
    rng = np.random.default_rng(3)
    lenses, others = rng.integers(0, 9, 40).astype(float) + 2, rng.integers(0, 9, 60).astype(float)
    kernel = np.heaviside(lenses[:, None] - others[None, :], 0.5)
    expected = kernel.mean(axis=1).var(ddof=1) / 40 + kernel.mean(axis=0).var(ddof=1) / 60
    assert auroc_variance(lenses, others) == pytest.approx(expected, rel=1e-12)
    assert auroc(lenses, others) == pytest.approx(mannwhitneyu(lenses, others).statistic / 2400, rel=1e-12)


def test_the_interval_covers_the_area_of_two_normals():
    """AUROC of N(1, 1) against N(0, 1) is Φ(1/√2); 95 % of 400 intervals contain it."""
    rng, truth = np.random.default_rng(4), norm.cdf(1 / math.sqrt(2))
    covered = 0
    for _ in range(400):
        low, high = auroc_interval(rng.normal(1, 1, 60), rng.normal(0, 1, 80))
        covered += low < truth < high
    assert 0.915 < covered / 400 < 0.983  # 3 σ of 400 trials is 0.033


def test_a_perfect_finder_is_not_certain():
    low, high = auroc_interval(np.arange(20.0) + 100, np.arange(30.0))
    assert 0.8 < low < 0.9  # Wilson's lower limit of 20 of 20 is 0.839
    assert high == 1.0
    assert auroc_interval(np.arange(20.0), np.arange(30.0) + 100)[0] == 0.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.sampled_from([0.03, 0.5, 1, 2]))
def test_calls_are_scikit_learns(pairs, beta):
    label, called = (np.array(column) for column in zip(*pairs, strict=True))
    counts = confusion(label.astype(int), called)
    assert counts.accuracy == pytest.approx(sklearn_metrics.accuracy_score(label, called))
    expected = {
        "precision": sklearn_metrics.precision_score(label, called, zero_division=np.nan),
        "recall": sklearn_metrics.recall_score(label, called, zero_division=np.nan),
    }
    for name, value in expected.items():
        assert getattr(counts, name) == pytest.approx(value, nan_ok=True)
    ours = counts.fbeta(beta)
    if counts.tp + counts.fp + counts.fn:
        assert ours == pytest.approx(sklearn_metrics.fbeta_score(label, called, beta=beta, zero_division=0.0))
    else:
        assert math.isnan(ours)
