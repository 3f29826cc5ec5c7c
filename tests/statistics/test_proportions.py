"""Wilson's interval and shares in bins, against scipy and the defining equation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from lensaudit.statistics import binned_shares, wilson_interval


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (3, 10), (50, 50), (431, 1000), (1, 10_000)])
@pytest.mark.parametrize("confidence", [0.68, 0.95, 0.99])
def test_wilson_is_scipys(k, n, confidence):
    theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(k, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)  # rounding only


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_limits_solve_the_score_equation(n, share):
    """|k/n − p| = z √(p (1 − p) / n) at both limits; at 0 and n one limit is the end itself."""
    k = round(share * n)
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    for limit in (low, high):
        if 0 < limit < 1:
            distance = norm.ppf(0.975) * math.sqrt(limit * (1 - limit) / n)
            assert abs(k / n - limit) == pytest.approx(distance, rel=1e-9)


def test_without_trials_there_is_no_interval():
    assert all(math.isnan(limit) for limit in wilson_interval(0, 0))


@pytest.mark.parametrize(("k", "n", "confidence"), [(2, 1, 0.95), (-1, 3, 0.95), (1, 3, 1.0), (1, 3, 0.0)])
def test_what_cannot_be_is_refused(k, n, confidence):
    with pytest.raises(ValueError, match=r"do not fit|confidence"):
        wilson_interval(k, n, confidence)


def test_bins_hold_left_edge_and_the_last_holds_both():
    values = [0.0, 0.5, 1.0, 1.5, 2.0, 2.1, math.nan]
    found = [True, False, True, True, False, True, True]
    first, second = binned_shares(values, found, [0, 1, 2])
    assert (first.k, first.n) == (1, 2)
    assert (second.k, second.n) == (2, 3)
    assert (second.low, second.high) == wilson_interval(2, 3)


def test_an_empty_bin_is_nan_with_n_zero():
    empty = binned_shares([5.0], [True], [0, 1, 10])[0]
    assert empty.n == 0
    assert math.isnan(empty.value)
    assert math.isnan(empty.low)


def test_bins_add_up():
    rng = np.random.default_rng(1)
    values, found = rng.uniform(0, 3, 500), rng.random(500) < 0.4
    bins = binned_shares(values, found, np.linspace(0, 3, 7))
    assert sum(b.n for b in bins) == 500
    assert sum(b.k for b in bins) == found.sum()


@pytest.mark.parametrize("edges", [[1], [0, 0], [2, 1], [0, math.nan]])
def test_edges_that_do_not_rise_are_refused(edges):
    with pytest.raises(ValueError, match="rising"):
        binned_shares([1.0], [True], edges)
