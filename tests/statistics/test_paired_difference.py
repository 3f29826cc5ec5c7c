"""The paired interval against closed forms, a numerical maximisation, and its own coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from lensaudit.statistics.paired import _lost_rate, paired_difference_interval

Z = norm.ppf(0.975)


@pytest.mark.parametrize("n", [1, 10, 73, 500])
def test_without_discordant_pairs_the_interval_has_a_closed_form(n):
    low, high = paired_difference_interval(0, 0, n)
    assert high == pytest.approx(Z**2 / (n + Z**2), abs=1e-9)  # 1e-9: brentq stops at 2e-12
    assert low == pytest.approx(-(Z**2) / (n + Z**2), abs=1e-9)


@pytest.mark.parametrize(("gained", "lost", "n"), [(40, 20, 160), (3, 12, 100), (1, 0, 20), (30, 30, 60)])
def test_swapping_the_arms_mirrors_the_interval(gained, lost, n):
    low, high = paired_difference_interval(gained, lost, n)
    assert paired_difference_interval(lost, gained, n) == pytest.approx((-high, -low), abs=1e-9)
    assert low < (gained - lost) / n < high


@pytest.mark.parametrize("n", [1, 7, 100])
def test_all_pairs_discordant_ends_at_one(n):
    low, high = paired_difference_interval(n, 0, n)
    assert high == 1.0
    assert 0 <= low < 1 or n < 4  # with one to three pairs nothing can be excluded


@pytest.mark.parametrize("difference", [-0.3, -0.05, 0.1, 0.4])
def test_constrained_likelihood_is_maximal(difference):
    """The closed form against a numerical maximum of the multinomial likelihood."""
    gained, lost, n = 12, 7, 60

    def minus_log_likelihood(q):
        return -(
            gained * math.log(q + difference)
            + lost * math.log(q)
            + (n - gained - lost) * math.log(1 - 2 * q - difference)
        )

    smallest = max(0.0, -difference) + 1e-9
    best = minimize_scalar(
        minus_log_likelihood, bounds=(smallest, (1 - difference) / 2 - 1e-9), method="bounded", options={"xatol": 1e-10}
    )
    assert _lost_rate(difference, gained, lost, n) == pytest.approx(best.x, abs=1e-6)  # 1e-6: flat maximum


def test_limits_solve_the_score_equation_by_brute_force():
    """Among 20 001 trial differences, those not rejected are exactly those inside the interval."""
    gained, lost, n = 3, 12, 100
    trials = np.linspace(-0.999, 0.999, 20_001)
    rates = np.array([_lost_rate(d, gained, lost, n) for d in trials])
    statistic = (gained - lost - n * trials) / np.sqrt(n * (2 * rates + trials * (1 - trials)))
    kept = trials[np.abs(statistic) <= Z]
    assert (kept[0], kept[-1]) == pytest.approx(paired_difference_interval(gained, lost, n), abs=1.1e-4)  # grid step


@pytest.mark.parametrize(("p_gained", "p_lost"), [(0.0, 0.03), (0.05, 0.05), (0.02, 0.3)])
def test_coverage_is_near_nominal(p_gained, p_lost):
    rng = np.random.default_rng(11)
    draws = rng.multinomial(100, [p_gained, p_lost, 1 - p_gained - p_lost], size=600)
    cache = {}
    for gained, lost, _ in {tuple(row) for row in draws.tolist()}:
        cache[gained, lost] = paired_difference_interval(gained, lost, 100)
    truth = p_gained - p_lost
    covered = np.mean([cache[g, lo][0] <= truth <= cache[g, lo][1] for g, lo, _ in draws.tolist()])
    assert 0.92 <= covered <= 0.99  # 95 % ± 3 standard errors of 600 draws, and discreteness


def test_impossible_counts_are_our_own_mistake():
    with pytest.raises(ValueError, match="do not fit"):
        paired_difference_interval(5, 6, 10)


def test_no_pairs_gives_nan():
    assert all(math.isnan(x) for x in paired_difference_interval(0, 0, 0))
