"""Measured changes: counts by hand, identical arms, coverage of the logit interval, Holm over what was tested."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, t, ttest_1samp

from lensaudit.probes.finding import (
    ALL_PAIRS,
    OVER_HOSTS,
    PairedScores,
    Recall,
    against_tolerance,
    concluded,
    headline,
    measure,
)
from lensaudit.statistics import paired_difference_interval, wilson_interval
from lensaudit.verdicts import BIAS, EQUIVALENT, NOT_ASSESSABLE


def scores(control, treated, threshold=0.5):
    return PairedScores(np.array(control, dtype=float), np.array(treated, dtype=float), threshold)


def test_counts_by_hand():
    found = measure("arcs", ALL_PAIRS, scores([3, 3, -3, 3, 0], [3, -3, 3, -3, -1]), np.random.default_rng(0))
    assert (found.control.k, found.treated.k, found.n) == (4, 2, 5)  # a logit of 0 is p = 0.5: found
    assert (found.lost, found.gained) == (3, 1)
    assert found.recall_change.value == pytest.approx(-2 / 5)
    assert found.logit_change.value == pytest.approx((0 - 6 + 6 - 6 - 1) / 5)
    assert math.isnan(found.p_value)  # of what tolerance, the probe says


def test_threshold_is_on_the_probability():
    pair = scores([math.log(3)], [math.log(3) - 1e-9], threshold=0.75)
    assert pair.found("control").tolist() == [True]
    assert pair.found("treated").tolist() == [False]


def test_identical_arms_show_exactly_nothing():
    logits = np.linspace(-3, 3, 90)
    found = measure("arcs", ALL_PAIRS, scores(logits, logits), np.random.default_rng(0))
    assert (found.recall_change.value, found.gained, found.lost) == (0, 0, 0)
    assert concluded([found], 0.0, "nuisance")[0].p_value == 1
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
    assert "binomial" in judged.test
    assert (judged.family, judged.p_holm) == (1, judged.p_value)


def test_a_loss_is_tested_against_its_tolerance():
    """Where nothing is gained, lost pairs are binomial: twice their tail above what is tolerated."""
    rng = np.random.default_rng(0)
    lost = measure("lenses", ALL_PAIRS, scores([2.0] * 200, [-2.0] * 33 + [2.0] * 167), rng)
    [judged] = concluded([lost], 0.1, "population")
    assert judged.p_value == pytest.approx(2 * binom.sf(32, 200, 0.1), rel=1e-9)
    assert judged.verdict.state is BIAS
    [more] = concluded([lost], 0.165, "population")
    assert more.p_value == 1  # no more than is tolerated
    gained = replace(lost, gained=33, lost=0)
    assert concluded([gained], 0.1, "nuisance")[0].p_value == judged.p_value
    assert concluded([gained], 0.1, "population")[0].p_value == 1


def test_findings_of_an_earlier_version_are_tested_anew():
    """They hold McNemar's p, which says that something changes; over hosts the spread was not kept."""
    rng = np.random.default_rng(0)
    lost = measure("lenses", ALL_PAIRS, scores([2.0] * 200, [-2.0] * 33 + [2.0] * 167), rng)
    [today] = against_tolerance([lost], 0.1, "population")
    assert against_tolerance([replace(lost, p_value=2e-10, test="McNemar")], 0.1, "population") == (today,)
    before = replace(lost, p_value=0.03, test="McNemar, or Student’s t over hosts where its p is larger")
    [kept] = against_tolerance([before], 0.1, "population")
    assert (kept.p_value, kept.test) == (0.03, OVER_HOSTS)
    assert against_tolerance([kept], 0.1, "population") == (kept,)


def in_hosts(effects, arcs):
    """`arcs` arcs in each host, all found in the control; a host's red arcs are found but for its own fraction."""
    treated = np.concatenate([np.where(np.arange(arcs) < round(effect * arcs), -2.0, 2.0) for effect in effects])
    groups = np.repeat(np.arange(len(effects)), arcs)
    return PairedScores(np.full(len(treated), 2.0), treated, 0.5, groups)


def test_many_arcs_in_few_hosts_are_judged_by_the_hosts():
    two_of_six = in_hosts([0.5, 0.6, 0, 0, 0, 0], 20)
    alone = PairedScores(two_of_six.control, two_of_six.treated, 0.5)
    rng = np.random.default_rng(0)
    as_if, found = (
        concluded([measure("hosts", ALL_PAIRS, one, rng)], 0.05, "population")[0] for one in (alone, two_of_six)
    )
    assert as_if.verdict.state is BIAS  # 22 of 120 lost and none gained
    means = np.array([-0.5, -0.6, 0, 0, 0, 0])
    half = t.ppf(0.975, 5) * means.std(ddof=1) / math.sqrt(6)  # hosts of one size: Student's interval of their means
    assert (found.recall_change.low, found.recall_change.high) == pytest.approx(
        (means.mean() - half, means.mean() + half)
    )
    one_sided = ttest_1samp(means, -0.05, alternative="less").pvalue
    assert found.p_value == pytest.approx(2 * one_sided)
    assert found.verdict.state is not BIAS
    assert found.verdict.needed is None
    assert "more hosts would tell, more arcs in the same ones would not" in found.verdict.sentence
    everywhere = concluded(
        [measure("hosts", ALL_PAIRS, in_hosts([0.5, 0.6, 0.4, 0.5, 0.5, 0.6], 20), rng)], 0.05, "population"
    )
    assert everywhere[0].verdict.state is BIAS


def test_intervals_over_hosts_cover(monkeypatch):
    monkeypatch.setattr("lensaudit.probes.finding.RESAMPLES", 20)
    rng, covered, naive = np.random.default_rng(9), 0, 0
    for _ in range(200):
        effects = rng.choice([0.0, 0.5], 8)  # half of the sky's hosts lose half of their arcs: a change of −0.25
        control = np.full(160, 2.0)
        lost = rng.random(160) < np.repeat(effects, 20)
        treated, hosts = np.where(lost, -2.0, 2.0), np.repeat(np.arange(8), 20)
        one = measure("hosts", ALL_PAIRS, PairedScores(control, treated, 0.5, hosts), rng).recall_change
        other = measure("hosts", ALL_PAIRS, PairedScores(control, treated, 0.5), rng).recall_change
        covered += one.low <= -0.25 <= one.high
        naive += other.low <= -0.25 <= other.high
    assert covered >= 0.90 * 200  # 95 % less three standard errors of 200 draws
    assert naive < 0.75 * 200  # what it was before: half of the intervals miss


def test_recalls_and_no_change_at_all_have_the_intervals_of_hosts():
    """Six hosts, two of which lose half of their arcs: a recall is as uncertain as six numbers are, not as 120."""
    rng = np.random.default_rng(0)
    found = measure("hosts", ALL_PAIRS, in_hosts([0.5, 0.6, 0, 0, 0, 0], 20), rng)
    assert found.control.interval == pytest.approx(wilson_interval(6, 6))  # all 120 found: six hosts, not 120 of them
    means = np.array([0.5, 0.4, 1, 1, 1, 1])
    half = t.ppf(0.975, 5) * means.std(ddof=1) / math.sqrt(6)
    assert found.treated.interval == pytest.approx((means.mean() - half, 1.0))  # Student's, and no recall is above 1
    same = measure("hosts", ALL_PAIRS, in_hosts([0] * 6, 20), rng).recall_change
    assert (same.low, same.high) == pytest.approx(paired_difference_interval(0, 0, 6))
    alone = in_hosts([0.5, 0], 1)
    assert measure("hosts", ALL_PAIRS, replace(alone, groups=None), rng).treated == Recall.of(2, 2)


def test_one_host_says_nothing_of_others():
    found = measure("hosts", ALL_PAIRS, in_hosts([1.0], 50), np.random.default_rng(0))
    assert found.treated.interval == (0, 1)
    assert (found.recall_change.low, found.recall_change.high) == (-1, 1)
    assert concluded([found], 0.1, "population")[0].p_value == 1
    assert math.isnan(found.logit_change.low)
