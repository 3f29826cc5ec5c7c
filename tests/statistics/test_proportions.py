"""Wilson's interval and shares in bins, against scipy and the defining equation."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from lensaudit.statistics import Proportion, wilson_interval


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


def test_a_proportion_knows_its_fraction_and_interval():
    one = Proportion.among([True, False, True, True])
    assert (one.k, one.n, one.value) == (3, 4, 0.75)
    assert one.interval == wilson_interval(3, 4)


def test_nothing_of_nothing_is_nan():
    empty = Proportion.of(0, 0)
    assert math.isnan(empty.value)
    assert math.isnan(empty.low)
    assert empty.to_json() == {"k": 0, "n": 0, "low": None, "high": None, "confidence": 0.95, "value": None}
