"""Exact McNemar and Holm against scipy, enumeration and worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from lensaudit.statistics import holm, mcnemar_exact


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_binomial_test(b, c):
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b)


def test_mcnemar_counts_coins():
    """One head or none in five tosses, or one tail or none: 2 (1 + 5) / 32."""
    assert mcnemar_exact(1, 4) == pytest.approx(2 * (1 + 5) / 32, rel=1e-12)
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(7, 7) == 1.0


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="no counts"):
        mcnemar_exact(-1, 2)


def test_holm_of_a_worked_example():
    """Sorted .01 .03 .04 times 3, 2, 1 gives .03 .06 .04; rising: .03 .06 .06."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_largest_level_that_the_step_down_accepts(p_values):
    """Against the definition: rank k is rejected at α if every smaller p(j) ≤ α / (m − j + 1), for j ≤ k."""
    m, order = len(p_values), np.argsort(p_values, kind="stable")
    expected = np.empty(m)
    for rank, index in enumerate(order):
        expected[index] = min(1.0, max((m - j) * p_values[order[j]] for j in range(rank + 1)))
    assert holm(p_values) == pytest.approx(expected, abs=1e-15)


def test_holm_of_nothing_is_nothing():
    assert len(holm([])) == 0


@pytest.mark.parametrize("p_values", [[math.nan], [1.2], [-0.1], [[0.1]]])
def test_holm_refuses_what_is_no_p_value(p_values):
    with pytest.raises(ValueError, match="p-values"):
        holm(p_values)
