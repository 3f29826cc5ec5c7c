"""Two scores of the same images, against slow sums over pairs, images and swaps."""

import numpy as np
import pytest
from scipy.stats import t as student

from lensaudit.statistics import area_change, fraction_change, paired_difference_interval, rate_changes_at_fpr
from tests.reference.plain_regression import (
    plain_area,
    plain_area_error,
    plain_found,
    plain_mcnemar,
    plain_resampled_changes,
)


def two_scores(n1: int, n0: int, seed: int, loss: float = 0.0):
    """((lenses, others) of the old, the same of the new), rounded so that some tie."""
    rng = np.random.default_rng(seed)
    shared = [rng.normal(shift, 1, n) for shift, n in ((1.5, n1), (0.0, n0))]
    return [
        tuple(np.round(part + rng.normal(-less, 0.7, len(part)), 1) for part, less in zip(shared, (by, 0), strict=True))
        for by in (0.0, loss)
    ]


def test_a_fraction_is_mcnemar_and_tango():
    old, new = np.array([1, 1, 1, 0, 0, 1, 1], bool), np.array([1, 0, 0, 0, 1, 0, 0], bool)
    found = fraction_change(old, new)
    assert (found.gained, found.lost, found.n) == (1, 4, 7)
    assert found.change == pytest.approx(-3 / 7)
    assert found.p == pytest.approx(plain_mcnemar(1, 4))
    assert (found.low, found.high) == paired_difference_interval(1, 4, 7)
    assert np.isnan(fraction_change(old[:0], new[:0]).p)


def test_an_area_is_delong_with_students_t():
    old, new = two_scores(25, 30, 3, loss=0.6)
    found = area_change(old, new)
    assert found.old == pytest.approx(plain_area(*old))
    assert found.new == pytest.approx(plain_area(*new))
    error, freedom = plain_area_error(*(tuple(list(part) for part in one) for one in (old, new)))
    assert found.p == pytest.approx(2 * student.sf(abs(found.change) / error, freedom))
    assert found.high - found.low == pytest.approx(2 * student.ppf(0.975, freedom) * error)


def test_areas_of_few_are_not_tested_and_equal_rankings_do_not_differ():
    old, new = two_scores(19, 30, 3)
    assert np.isnan(area_change(old, new).p)
    same = two_scores(30, 30, 1)[0]
    twice = area_change(same, tuple(2 * part for part in same))
    assert (twice.p, twice.change, twice.low, twice.high) == (1.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("seed", "loss"), [(0, 0.0), (1, 1.0), (4, 0.5)])
def test_rates_at_a_false_positive_rate_know_that_both_thresholds_are_drawn(seed: int, loss: float):
    old, new = two_scores(60, 40, seed, loss)
    lists = [tuple(list(part) for part in one) for one in (old, new)]
    groups = np.ones((60, 1), bool)
    [found] = rate_changes_at_fpr(old, new, groups, 0.1, np.random.default_rng(0))
    calls = [np.array(plain_found(*one, 4)) for one in lists]  # a tenth of forty
    plain = fraction_change(*calls)
    assert (found.old, found.new, found.gained, found.lost) == (plain.old, plain.new, plain.gained, plain.lost)
    draws = np.random.default_rng(9).integers(0, 40, (1500, 40)).tolist()
    moved = np.array(plain_resampled_changes(*lists, 4, draws))
    parts = (plain.gained + plain.lost + 1) / 60**2, moved.var(ddof=1)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 59 + parts[1] ** 2 / 4)
    p = 2 * student.sf(abs(plain.change) / sum(parts) ** 0.5, freedom)
    assert found.p == pytest.approx(max(p, plain.p), abs=0.03)  # two draws of 2 000 and 1 500 thresholds
    low = plain.change - np.hypot(plain.change - plain.low, plain.change - np.quantile(moved, 0.025))
    assert found.low == pytest.approx(low, abs=0.03)  # as above


def test_without_a_false_positive_allowed_nothing_is_tested():
    old, new = two_scores(30, 40, 0)
    [found] = rate_changes_at_fpr(old, new, np.ones((30, 1), bool), 0.01, np.random.default_rng(0))
    assert np.isnan([found.p, found.low, found.high]).all()
    assert found.n == 30


def test_a_threshold_that_moved_by_chance_is_no_change_of_many_lenses():
    """Of equal finders on few non-lenses McNemar alone, given the thresholds, is far too sure."""
    alone = together = 0
    for seed in range(40):
        old, new = two_scores(400, 60, seed)
        [found] = rate_changes_at_fpr(old, new, np.ones((400, 1), bool), 0.05, np.random.default_rng(seed))
        alone += plain_mcnemar(found.gained, found.lost) < 0.05
        together += found.p < 0.05
    assert alone > 10
    assert together <= 4  # 5 % of 40 and a standard error and a half: the test is on the safe side
