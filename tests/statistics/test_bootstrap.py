"""Bootstrap intervals against scipy, against theory, and by how often they cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from lensaudit.statistics import bootstrap_interval, paired_bootstrap_interval


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("method", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
def test_a_skewed_mean_is_scipys(method, theirs):
    values = rng(2).exponential(size=60)
    ours = bootstrap_interval([values], np.mean, rng(), resamples=15_000, method=method)
    reference = bootstrap((values,), np.mean, n_resamples=50_000, method=theirs, rng=rng(3)).confidence_interval
    scatter = values.std() / math.sqrt(60)
    assert ours == pytest.approx((reference.low, reference.high), abs=0.12 * scatter)  # 4 σ of a tail's noise


def test_bca_of_two_groups_is_scipys():
    groups = (rng(4).exponential(size=40), rng(5).exponential(size=25) + 0.5)

    def ratio(first, second, axis=-1):
        return np.mean(first, axis=axis) / np.mean(second, axis=axis)

    ours = bootstrap_interval(groups, ratio, rng(), resamples=4000, method="bca")
    reference = bootstrap(groups, ratio, n_resamples=20_000, method="BCa", rng=rng(6)).confidence_interval
    assert ours == pytest.approx((reference.low, reference.high), abs=0.03)  # noise of a tail, at a width of 0.5


def test_the_mean_of_many_values_has_the_normal_interval():
    values = rng(7).normal(size=4000)
    half = norm.ppf(0.975) * values.std() / math.sqrt(4000)
    ours = bootstrap_interval([values], np.mean, rng())
    assert ours == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_pairs_are_resampled_whole():
    """The spread between systems is large, the change small and steady: pairing must keep it apart."""
    control = rng(8).normal(scale=100, size=200)
    treated = control + 1 + rng(9).normal(scale=0.1, size=200)
    low, high = paired_bootstrap_interval(control, treated, rng())
    assert 0.95 < low < 1 < high < 1.05


def test_the_same_seed_gives_the_same_interval():
    values = rng(1).normal(size=30)
    assert bootstrap_interval([values], np.mean, rng(5)) == bootstrap_interval([values], np.mean, rng(5))
    assert bootstrap_interval([values], np.mean, rng(5)) != bootstrap_interval([values], np.mean, rng(6))


def test_values_that_agree_give_a_point():
    assert bootstrap_interval([[2.0, 2.0, 2.0]], np.mean, rng(), method="bca") == (2.0, 2.0)


def test_what_does_not_exist_is_nan():
    assert all(map(math.isnan, bootstrap_interval([[]], np.mean, rng())))
    assert all(map(math.isnan, bootstrap_interval([[1.0], []], lambda a, b: 1.0, rng())))
    assert all(map(math.isnan, bootstrap_interval([[1.0, 2.0]], lambda a: math.nan, rng())))


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="no pairs"):
        paired_bootstrap_interval([1.0, 2.0], [1.0], rng())


def test_it_covers_as_often_as_it_says():
    """Mean of 40 normal values, 300 times: the percentile interval covers a little less than 95 %."""
    draws, source = rng(10), rng(11)
    covered = 0
    for _ in range(300):
        low, high = bootstrap_interval([source.normal(size=40)], np.mean, draws, resamples=300)
        covered += low < 0 < high
    assert 0.89 < covered / 300 < 0.98  # 0.94 expected, 3 σ of 300 trials is 0.041


@pytest.mark.parametrize(("n", "at_once"), [(1, 2_000_000), (7, 20), (300, 1000), (300, 2_000_000)])
def test_a_mean_is_drawn_at_once_as_it_is_one_by_one(n, at_once, monkeypatch):
    monkeypatch.setattr("lensaudit.statistics.bootstrap._DRAWN_AT_ONCE", at_once)
    values = np.random.default_rng(n).lognormal(size=n)
    ends = [
        bootstrap_interval([values], statistic, np.random.default_rng(3), resamples=53)
        for statistic in (np.mean, lambda drawn: np.mean(drawn))  # only the first is known to be a mean
    ]
    assert ends[0] == ends[1]
