"""Measured changes: counts by hand, identical arms, coverage of the logit interval, Holm over what was tested."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from lensaudit.probes.finding import ALL_PAIRS, PairedScores, concluded, headline, measure
from lensaudit.verdicts import BIAS, EQUIVALENT, NOT_ASSESSABLE


def scores(control, treated, threshold=0.5):
    return PairedScores(np.array(control, dtype=float), np.array(treated, dtype=float), threshold)


def test_counts_by_hand():
    found = measure("arcs", ALL_PAIRS, scores([3, 3, -3, 3, 0], [3, -3, 3, -3, -1]), np.random.default_rng(0))
    assert (found.control.k, found.treated.k, found.n) == (4, 2, 5)  # a logit of 0 is p = 0.5: found
    assert (found.lost, found.gained) == (3, 1)
    assert found.recall_change.value == pytest.approx(-2 / 5)
    assert found.logit_change.value == pytest.approx((0 - 6 + 6 - 6 - 1) / 5)
    assert found.p_value == pytest.approx(2 * binom.cdf(1, 4, 0.5))  # McNemar's exact test, written out


def test_threshold_is_on_the_probability():
    pair = scores([math.log(3)], [math.log(3) - 1e-9], threshold=0.75)
    assert pair.found("control").tolist() == [True]
    assert pair.found("treated").tolist() == [False]


def test_identical_arms_show_exactly_nothing():
    logits = np.linspace(-3, 3, 90)
    found = measure("arcs", ALL_PAIRS, scores(logits, logits), np.random.default_rng(0))
    assert (found.recall_change.value, found.gained, found.lost, found.p_value) == (0, 0, 0, 1)
    assert (found.logit_change.value, found.logit_change.low, found.logit_change.high) == (0, 0, 0)


def test_logit_interval_covers(monkeypatch):
    monkeypatch.setattr("lensaudit.probes.finding.RESAMPLES", 400)
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(150):
        control = rng.normal(0, 3, 80)
        change = measure("arcs", ALL_PAIRS, scores(control, control + rng.normal(0.5, 1, 80)), rng).logit_change
        covered += change.low <= 0.5 <= change.high
    assert 0.89 <= covered / 150 <= 1.0  # 95 % minus 3 standard errors of 150 draws, minus 1 % of small samples


def test_empty_subsets_are_not_tested():
    lost = measure("arcs", ALL_PAIRS, scores([2.0] * 90, [-2.0] * 90), np.random.default_rng(0))
    empty = measure("arcs", "wilde2022", scores([], []), np.random.default_rng(0))
    first, second = concluded([lost, empty], 0.05, "population")
    assert first.p_holm == first.p_value  # Holm over one test changes nothing
    assert math.isnan(second.p_holm)
    assert second.verdict.state is NOT_ASSESSABLE


def test_holm_multiplies_the_smallest_by_all():
    lost = measure("arcs", ALL_PAIRS, scores([2.0] * 8, [-2.0] * 8), np.random.default_rng(0))
    same = measure("rings", ALL_PAIRS, scores([2.0] * 8, [2.0] * 8), np.random.default_rng(0))
    first, second = concluded([lost, same], 0.05, "population")
    assert first.p_holm == pytest.approx(2 * first.p_value)
    assert second.p_holm == 1


def test_headline_prefers_bias_anywhere_and_ignores_small_subsets():
    rng = np.random.default_rng(0)
    same = measure("rings", ALL_PAIRS, scores([2.0] * 90, [2.0] * 90), rng)
    small = measure("rings", "wilde2022", scores([2.0] * 3, [2.0] * 3), rng)
    lost = measure("rings", "wilde2022", scores([2.0] * 90, [-2.0] * 90), rng)
    assert headline(concluded([same, small], 0.05, "population"), "population").state is EQUIVALENT
    bias = headline(concluded([same, lost], 0.05, "population"), "population")
    assert bias.state is BIAS
    assert bias.sentence.startswith("double rings, wilde2022: Recall falls from 1.000 to 0.000")


def test_a_contaminant_is_tested_against_its_tolerance():
    """20 of 50 scenes called a lens where a tenth is tolerated: the exact binomial p, summed over likelier counts."""
    rng = np.random.default_rng(0)
    asked = measure("lenses", ALL_PAIRS, scores([2.0] * 50, [2.0] * 20 + [-2.0] * 30), rng)
    [judged] = concluded([asked], 0.1, "contaminant")
    chances = binom.pmf(np.arange(51), 50, 0.1)
    assert judged.p_value == pytest.approx(chances[chances <= chances[20] * (1 + 1e-7)].sum(), rel=1e-9)
    assert judged.p_value != pytest.approx(asked.p_value)  # McNemar's compares it with the control
    assert "binomial" in judged.test
    assert (judged.family, judged.p_holm) == (1, judged.p_value)
