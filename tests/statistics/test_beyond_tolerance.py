"""More than is tolerated, of pairs: against closed forms, the interval, and the exact chance of a false accusation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from lensaudit.statistics import beyond_tolerance_p, paired_difference_interval, student_beyond_p
from lensaudit.statistics.paired import _score, _scores


@pytest.mark.parametrize(("lost", "n", "tolerance"), [(33, 200, 0.1), (6, 60, 0.07), (3, 20, 0.1)])
def test_where_none_is_gained_it_is_a_binomial_tail(lost, n, tolerance):
    """With a loss not far beyond, the likeliest rate of gains is 0, and a low score is a high number of lost pairs."""
    found = beyond_tolerance_p(0, lost, n, tolerance)
    assert found == pytest.approx(2 * binom.sf(lost - 1, n, tolerance), rel=1e-9)
    assert beyond_tolerance_p(lost, 0, n, tolerance) == 1  # a gain is no loss
    assert beyond_tolerance_p(lost, 0, n, tolerance, either=True) == pytest.approx(found)


def test_of_no_pair_and_of_no_more_than_is_tolerated():
    assert math.isnan(beyond_tolerance_p(0, 0, 0, 0.1))
    assert beyond_tolerance_p(0, 20, 200, 0.1) == 1
    assert beyond_tolerance_p(0, 0, 10, 0.0) == 1
    # all of ten lost: under the hypothesis likeliest where as many change as can, 0.525 lost and 0.475 gained
    assert beyond_tolerance_p(0, 10, 10, 0.05) == pytest.approx(2 * 0.525**10)


def tables(n):
    """All (gained, lost) of n pairs, (m, 2)."""
    return np.array([(gained, lost) for gained in range(n + 1) for lost in range(n - gained + 1)])


def test_every_table_by_a_slow_sum():
    """The chance of a score as low, summed table by table at the likeliest rates, found by a search along them."""
    n, tolerance = 12, 0.1
    every = tables(n)
    rates = np.linspace(tolerance + 1e-9, (1 + tolerance) / 2 - 1e-9, 4001)  # of a lost pair
    scores = np.array([_score(-tolerance, int(gained), int(lost), n) for gained, lost in every])
    for place in range(0, len(every), 3):
        gained, lost = (int(one) for one in every[place])
        if lost - gained <= n * tolerance:
            continue
        chances = np.stack([rates - tolerance, rates, 1 + tolerance - 2 * rates], axis=1)
        likeliest = chances[np.argmax(multinomial.logpmf([gained, lost, n - gained - lost], n, chances))]
        counts = np.column_stack([every, n - every.sum(axis=1)])
        slow = multinomial.pmf(counts[scores <= scores[place] + 1e-9], n, likeliest).sum()
        assert beyond_tolerance_p(gained, lost, n, tolerance) == pytest.approx(min(1, 2 * slow), rel=5e-3)


def test_the_score_falls_with_every_lost_pair():
    """So that the tables of lower score are those with more lost pairs, which the sum relies on."""
    for tolerance in (0.0, 0.05, 0.1, 0.3):
        for gained in range(31):
            lost = np.arange(31 - gained)
            scores = _scores(np.full_like(lost, gained), lost, 30, tolerance)
            assert (np.diff(scores) <= 1e-12).all()


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.03, 0.08])
def test_an_innocent_is_accused_as_seldom_as_it_says(rate):
    """Exact chance over all tables of 100 pairs that lose just the tolerance, where Holm's correction looks too.

    With the normal distribution in place of the exact one it is up to 1.9 times α there; the 1.1 is what plugging in
    the likeliest rates costs at most.
    """
    n, tolerance = 100, 0.1
    every = tables(n)
    every = every[(every[:, 0] <= 0.35 * n) & (every[:, 1] <= 0.5 * n)]
    chance = multinomial.pmf(
        np.column_stack([every, n - every.sum(axis=1)]), n, [rate, rate + tolerance, 0.9 - 2 * rate]
    )
    likely = every[chance > 1e-9], chance[chance > 1e-9]
    assert likely[1].sum() > 1 - 1e-4
    p = np.array([beyond_tolerance_p(int(gained), int(lost), n, tolerance) for gained, lost in likely[0]])
    for alpha in (0.05, 0.05 / 15, 0.05 / 60):
        assert likely[1][p <= alpha].sum() <= 1.1 * alpha / 2  # one of two sides


def test_it_agrees_with_the_interval():
    """p < 0.05 where the interval lies beyond, but where whole pairs and the normal distribution disagree."""
    rng, apart = np.random.default_rng(4), 0
    for _ in range(300):
        n = int(rng.choice([100, 300, 1000]))
        gained, lost = (int(one) for one in rng.multinomial(n, [0.03, rng.uniform(0.08, 0.25), 0.0])[:2])
        beyond = paired_difference_interval(gained, lost, n)[1] < -0.1
        apart += beyond != (beyond_tolerance_p(gained, lost, n, 0.1) < 0.05)
    assert apart <= 0.05 * 300


def test_of_student():
    assert student_beyond_p(-0.1, 0.05, 7.0, 0.1) == 1
    assert student_beyond_p(-0.25, 0.05, 1e9, 0.1) == pytest.approx(0.0026998, rel=1e-4)  # 3 σ of a normal
    assert student_beyond_p(-0.2, 0.0, 5.0, 0.1) == 0
    assert student_beyond_p(0.0, 0.0, 5.0, 0.1) == 1
    assert math.isnan(student_beyond_p(-0.2, math.nan, 5.0, 0.1))
