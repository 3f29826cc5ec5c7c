"""Paired areas against the single ones, and against resampling by hand."""

import numpy as np
import pytest

from lensaudit.statistics import auroc, auroc_variance, bootstrap_interval, paired_auroc


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    """Two related finders and one with ties on 80 lenses and 90 non-lenses."""
    rng = np.random.default_rng(5)
    lenses, others = rng.normal(1, 1, (80, 1)), rng.normal(0, 1, (90, 1))
    lenses = np.hstack([lenses, lenses + rng.normal(0, 0.5, (80, 1)), np.round(lenses)])
    others = np.hstack([others, others + rng.normal(0, 0.5, (90, 1)), np.round(others)])
    return lenses, others


def test_values_and_variances_are_those_of_each_alone(scores):
    found = paired_auroc(*scores, np.random.default_rng(0), resamples=10)
    for k in range(3):
        one = scores[0][:, k], scores[1][:, k]
        assert found.value[k] == pytest.approx(auroc(*one))
        assert found.covariance[k, k] == pytest.approx(auroc_variance(*one))


def test_resamples_are_those_of_a_slow_reference(scores):
    """The same counts, repeated image by image and measured by `auroc`."""
    lenses, others = scores
    found = paired_auroc(lenses, others, np.random.default_rng(7), resamples=20)
    rng = np.random.default_rng(7)
    of_lenses = rng.multinomial(80, np.full(80, 1 / 80), size=20)
    of_others = rng.multinomial(90, np.full(90, 1 / 90), size=20)
    for row in range(20):
        for k in range(3):
            slow = auroc(np.repeat(lenses[:, k], of_lenses[row]), np.repeat(others[:, k], of_others[row]))
            assert found.drawn[row, k] == pytest.approx(slow, abs=1e-6)  # counts are float32


def test_difference_and_its_interval(scores):
    lenses, others = scores
    found = paired_auroc(lenses, others, np.random.default_rng(1))
    value, low, high = found.difference(0, 1)
    assert value == pytest.approx(auroc(lenses[:, 0], others[:, 0]) - auroc(lenses[:, 1], others[:, 1]))
    slow = bootstrap_interval(
        [lenses, others],
        lambda a, b: auroc(a[:, 0], b[:, 0]) - auroc(a[:, 1], b[:, 1]),
        np.random.default_rng(2),
    )
    assert (low, high) == pytest.approx(slow, abs=0.006)  # two sets of 2 000 resamples: a tenth of the width
    assert found.difference(1, 0) == pytest.approx((-value, -high, -low))


def test_p_value_is_uniform_where_finders_are_equally_good():
    """Fraction below 0.05 among 200 pairs of equal finders: 5 % with three standard deviations of 1.5 %."""
    rng, small = np.random.default_rng(3), 0
    for _ in range(200):
        shared1, shared0 = rng.normal(1, 1, (60, 1)), rng.normal(0, 1, (60, 1))
        lenses, others = shared1 + rng.normal(0, 1, (60, 2)), shared0 + rng.normal(0, 1, (60, 2))
        small += paired_auroc(lenses, others, rng, resamples=1).p_value(0, 1) < 0.05
    assert 1 <= small <= 20


def test_equal_rankings_do_not_differ(scores):
    lenses, others = (np.stack([one[:, 0], np.exp(one[:, 0])], axis=1) for one in scores)
    found = paired_auroc(lenses, others, np.random.default_rng(0), resamples=50)
    assert found.difference(0, 1) == (0, 0, 0)
    assert found.p_value(0, 1) == 1


def test_one_finder_is_no_special_case(scores):
    found = paired_auroc(scores[0][:, :1], scores[1][:, :1], np.random.default_rng(0), resamples=3)
    assert found.covariance.shape == (1, 1)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="equal columns"):
        paired_auroc(np.zeros((3, 2)), np.zeros((3, 1)), np.random.default_rng(0))
