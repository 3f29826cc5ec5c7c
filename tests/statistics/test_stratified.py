"""Weighted fractions, totals and recall: a slow reference, closed forms at both ends, and coverage of the intervals."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from reference.plain_stratified import fraction, recall
from scipy.stats import beta

from lensaudit.statistics import stratified, wilson_interval
from lensaudit.statistics.stratified import (
    allocated,
    stratified_fraction,
    stratified_recall,
    stratified_reliability,
    stratified_total,
)


def test_examples_run():
    assert doctest.testmod(stratified).failed == 0


def test_values_are_those_of_images_written_out_as_often_as_they_count():
    draws = np.random.default_rng(3)
    of = np.repeat([0, 1, 2], [7, 20, 13])
    copies = np.array([1, 3, 11])[of]
    lens, called = (draws.random(40) < 0.4).astype(int), (draws.random(40) < 0.5).astype(int)
    found = stratified_fraction(lens, copies, of)
    assert found.value == pytest.approx(fraction(lens.tolist(), copies.tolist()), rel=1e-12)
    of_lenses = stratified_recall(lens, called, copies, 2 * of + called)
    assert of_lenses.value == pytest.approx(recall(lens.tolist(), called.tolist(), copies.tolist()), rel=1e-12)
    assert stratified_total(lens, copies, of).value == pytest.approx(int((lens * copies).sum()))
    bins = stratified_reliability(lens, np.full(40, 0.25), copies, of)
    assert [one.lenses.value for one in bins if one.lenses.n] == [pytest.approx(found.value)]


def test_with_everything_looked_at_it_is_the_unweighted_metric_with_wilsons_interval():
    hits = [1] * 30 + [0] * 10
    found = stratified_fraction(hits, [1] * 40, [0] * 25 + [1] * 15)
    assert (found.value, found.low, found.high) == (0.75, *wilson_interval(30, 40))
    lenses, called = [1] * 20 + [0] * 20, [1] * 15 + [0] * 25
    found = stratified_recall(lenses, called, [1] * 40, [0] * 40)
    assert (found.value, found.low, found.high, found.n) == (0.75, *wilson_interval(15, 20), 20)


def test_without_a_hit_the_upper_end_is_the_exact_one_of_the_stratum_that_hides_most():
    """0 of 10 that stand for 100 each: Clopper-Pearson of 0 in (1000 + 50) / 100 images."""
    found = stratified_fraction([0] * 60, [1] * 50 + [100] * 10, [0] * 50 + [1] * 10)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(beta.ppf(0.975, 1, 10.5), rel=1e-9)
    mirrored = stratified_fraction([1] * 60, [1] * 50 + [100] * 10, [0] * 50 + [1] * 10)
    assert mirrored.low == pytest.approx(1 - found.high, rel=1e-9)
    assert mirrored.high == 1.0


def test_weights_that_hardly_differ_give_clopper_and_pearsons_interval():
    weights = [1.0] * 20 + [1.000001] * 20
    found = stratified_fraction([1] * 8 + [0] * 32, weights, [0] * 40)
    assert (found.low, found.high) == (
        pytest.approx(beta.ppf(0.025, 8, 33), rel=1e-4),  # as far as the weights differ
        pytest.approx(beta.ppf(0.975, 9, 32), rel=1e-4),
    )


def test_of_nothing_nothing_is_known():
    assert math.isnan(stratified_fraction([], [], []).value)
    assert math.isnan(stratified_recall([0, 0], [1, 0], [1, 5], [0, 1]).low)
    with pytest.raises(ValueError, match="above 0"):
        stratified_fraction([1], [0], [0])


SKIES = {
    "a survey": ([500, 2000, 10_000, 300_000], [0.8, 0.3, 0.01, 2e-5], [60, 60, 80, 100]),
    "common lenses": ([4000, 4000, 4000, 4000], [0.9, 0.6, 0.2, 0.05], [40, 60, 80, 50]),
}


@pytest.mark.parametrize("sky", SKIES)
def test_intervals_hold_the_truth_as_often_as_they_say(sky):
    """95 % at least: 100 draws of such a method fall below 0.90 once in 90; benchmarks/audit_coverage.py has 2000."""
    sizes, chances, n = (np.array(one) for one in SKIES[sky])
    lenses = np.round(sizes * chances).astype(int)
    true = [lenses[:2].sum() / lenses.sum(), lenses[:2].sum() / sizes[:2].sum(), lenses.sum()]
    of, draws, hits = np.repeat(np.arange(4), n), np.random.default_rng(11), np.zeros(3)
    weights, called = (sizes / n)[of], of < 2
    place = np.arange(n.sum()) - np.r_[0, np.cumsum(n)][of]
    for _ in range(100):
        lens = (place < draws.hypergeometric(lenses, sizes - lenses, n)[of]).astype(float)
        found = (
            stratified_recall(lens, called, weights, of),
            stratified_fraction(lens[called], weights[called], of[called]),
            stratified_total(lens, weights, of),
        )
        hits += [one.low <= truth * (1 + 1e-9) and truth <= one.high for one, truth in zip(found, true, strict=True)]
    assert (hits / 100 >= 0.9).all(), hits / 100


def test_a_budget_is_spent_whole_within_what_each_stratum_has():
    taken = allocated([3, 100, 10_000], [10.0, 1.0, 5.0], 120, least=5)
    assert taken.tolist() == [3, 20, 97]  # 117 in proportion to 1 : 5 after the first has given all it has
    assert allocated([3, 4], [0.0, 0.0], 50, least=1).tolist() == [3, 4]
    assert allocated([50, 50], [1.0, 0.0], 30, least=2).tolist() == [28, 2]
    with pytest.raises(ValueError, match="less than 5 of each of 2 strata"):
        allocated([50, 50], [1.0, 1.0], 9, least=5)
