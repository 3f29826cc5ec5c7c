"""Thresholds at a false-positive rate, and probabilities under another fraction of lenses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import roc_curve

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import calling_at, trained_fraction, with_prior
from lensaudit.finders.facts import TrainingFacts


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.5])
def test_the_threshold_lets_through_the_share_it_says(fpr, make_finder):
    rng = np.random.default_rng(1)
    logits = np.r_[rng.normal(size=1000), rng.normal(2, 1, 500)]
    labels = np.r_[np.zeros(1000), np.ones(500)]
    finder = calling_at(make_finder("ou-h"), labels, logits, fpr)
    called = expit(logits) >= finder.recipe.threshold
    assert called[labels == 0].sum() == round(fpr * 1000), "all scores differ, so that the rate is met exactly"
    # oracle: scikit-learn's curve at the last point within the rate
    rates, recalls, _ = roc_curve(labels, logits, drop_intermediate=False)
    assert called[labels == 1].mean() == recalls[rates <= fpr + 1e-12][-1]


def test_too_few_non_lenses_for_a_rate_are_named(make_finder):
    with pytest.raises(DataError, match="needs at least 100 non-lenses to be set on, there are 99"):
        calling_at(make_finder("ou-h"), np.zeros(99), np.arange(99.0), 0.01)


def test_images_without_score_or_label_do_not_count(make_finder):
    labels, logits = np.r_[np.zeros(100), -1, 0], np.r_[np.arange(100.0) / 100, 50.0, np.nan]
    assert calling_at(make_finder("ou-h"), labels, logits, 0.01).recipe.threshold < expit(1.0)


@given(st.floats(1e-9, 1 - 1e-9), st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 1 - 1e-6))
def test_the_prior_shift_is_the_papers_formula(q, prior, trained):
    lam, mu = prior / trained, (1 - prior) / (1 - trained)
    # float64 through a logarithm and back: a few units in the twelfth place
    assert with_prior(q, prior, trained) == pytest.approx(lam * q / (lam * q + mu * (1 - q)), rel=1e-8)


def test_the_prior_leaves_the_roc_untouched():
    rng = np.random.default_rng(2)
    p, labels = rng.random(500), rng.integers(2, size=500)
    before, after = roc_curve(labels, p)[:2], roc_curve(labels, with_prior(p, 1e-4))[:2]
    np.testing.assert_array_equal(before, after)
    assert np.isnan(with_prior(np.array([np.nan]), 0.1)).all()


def test_bayes_is_recovered_from_two_gaussians():
    """Scores of a finder trained on equal classes, used where one in a hundred is a lens: the posterior is Bayes'."""
    x = np.linspace(-3, 3, 7)
    likelihood = np.exp(-0.5 * (x - 1) ** 2), np.exp(-0.5 * (x + 1) ** 2)
    balanced = likelihood[0] / (likelihood[0] + likelihood[1])
    rare = 0.01 * likelihood[0] / (0.01 * likelihood[0] + 0.99 * likelihood[1])
    np.testing.assert_allclose(with_prior(balanced, 0.01), rare, rtol=1e-12)


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.1, 7.0])
def test_what_is_no_share_is_refused(prior):
    with pytest.raises(UsageError, match="is not a fraction of lenses"):
        with_prior([0.5], prior)


def test_the_share_a_training_expects():
    facts = TrainingFacts(training_lens_fraction=0.2)
    assert trained_fraction(facts, "inverse-frequency", False) == 0.5
    assert trained_fraction(facts, "none", True) == 0.5
    assert trained_fraction(facts, "none", False) == 0.2
    assert trained_fraction(TrainingFacts(), "none", False) == 0.5
