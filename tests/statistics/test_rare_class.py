"""The highest N of a survey and the bound on false positives: closed forms, coverage over repetitions, weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm

from lensaudit.statistics import Survey, WeightedFraction, false_positive_bound, top_of, wilson_interval

REPETITIONS = 500


def covered(hits: int, nominal: float = 0.95) -> bool:
    """Whether so many of 500 intervals are not fewer than chance explains (one in a thousand) at the nominal rate."""
    return hits >= binom.ppf(0.001, REPETITIONS, nominal)


def completeness(prevalence: float, at: float, distance: float) -> float:
    """Of lenses N(distance, 1) among non-lenses N(0, 1), in the fraction `at` of images with the highest scores."""

    def too_many(threshold: float) -> float:
        return prevalence * norm.sf(threshold - distance) + (1 - prevalence) * norm.sf(threshold) - at

    return float(norm.sf(brentq(too_many, -9, 12) - distance))


def scores(rng: np.random.Generator, n: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(mean, 1, n), np.ones(n)


def test_purity_and_completeness_are_the_closed_form_s():
    rng = np.random.default_rng(2)
    survey, inspected = Survey(0.001, 10**6), [1000, 10_000, 100_000, 10**6]
    found = top_of(scores(rng, 20_000, 3), scores(rng, 200_000, 0), survey, inspected, 0, resamples=50)
    for one in found:
        expected = completeness(0.001, one.n / 10**6, 3) if one.n < 10**6 else 1.0
        # 1000 of a million at FPR some 4e-4: 80 of the 200 000 non-lenses, which scatter by 11 %
        assert one.completeness.value == pytest.approx(expected, rel=0.05)
        assert one.purity.value == pytest.approx(1000 * expected / one.n, rel=0.05)
        assert one.lenses.value == pytest.approx(one.purity.value * one.n)


def test_the_intervals_cover_the_truth_500_times():
    hits = np.zeros(3)
    inspected, survey = [50, 200, 1000], Survey(0.01, 5000)
    truth = [completeness(0.01, n / 5000, 2.5) for n in inspected]
    for seed in range(REPETITIONS):
        rng = np.random.default_rng([7, seed])
        found = top_of(scores(rng, 60, 2.5), scores(rng, 90, 0), survey, inspected, seed, resamples=100)
        hits += [one.completeness.low <= true <= one.completeness.high for one, true in zip(found, truth, strict=True)]
    assert all(covered(int(one)) for one in hits)


def test_equal_scores_come_in_any_order():
    """All at one score: whoever looks at a tenth finds a tenth of the lenses."""
    (one,) = top_of((np.zeros(5), np.ones(5)), (np.zeros(50), np.ones(50)), Survey(0.2, 100), [10], 0, resamples=20)
    assert one.completeness.value == pytest.approx(0.1)
    assert one.purity.value == pytest.approx(0.2)


def test_weights_stand_for_images():
    """A set in which every image comes three times is one with weights of three: exact but for the interval."""
    rng = np.random.default_rng(4)
    lenses, others = scores(rng, 40, 2), scores(rng, 80, 0)
    weight = np.r_[np.full(40, 3.0), np.ones(40)]
    repeated = np.repeat(others[0], weight.astype(int))
    survey, inspected = Survey(0.05, 1000), [20, 100, 500]
    weighted = top_of(lenses, (others[0], weight), survey, inspected, 0, resamples=20)
    plain = top_of(lenses, (repeated, np.ones(len(repeated))), survey, inspected, 0, resamples=20)
    for one, other in zip(weighted, plain, strict=True):
        assert one.completeness.value == pytest.approx(other.completeness.value, rel=1e-12)


def test_beyond_the_highest_non_lens_the_lower_end_knows_nothing():
    rng = np.random.default_rng(4)
    (one,) = top_of(scores(rng, 50, 9), scores(rng, 50, 0), Survey(1e-4, 10**6), [100], 0)
    assert one.purity.value == 1  # none of 50 non-lenses scores so high
    assert one.purity.low < 0.01
    assert one.few


@pytest.mark.parametrize(("fpr", "n"), [(0.01, 500), (0.1, 60)])
def test_the_bound_holds_500_times(fpr, n):
    """The true rate above the threshold is known of Gaussian scores; one in twenty may exceed `fpr`."""
    rates, bounds = [], []
    for seed in range(REPETITIONS):
        bounds.append(false_positive_bound(np.random.default_rng([9, seed]).normal(size=n), np.ones(n), fpr, seed))
        rates.append(norm.sf(bounds[-1].threshold))
    assert covered(int((np.array(rates) <= fpr).sum()))
    # the mean over repetitions is that of split conformal; the scatter of a mean of 500
    assert np.mean(rates) == pytest.approx(bounds[0].mean_fpr, abs=4 * np.std(rates) / math.sqrt(REPETITIONS))


def test_as_many_false_positives_are_allowed_as_clopper_and_pearson_allow():
    found = false_positive_bound(np.arange(1000.0), np.ones(1000), 0.01, 0)
    upper = binom.cdf([found.allowed, found.allowed + 1], 1000, 0.01)
    assert upper[0] <= 0.05 < upper[1]
    assert (np.arange(1000) > found.threshold).sum() == found.allowed


def test_too_few_non_lenses_have_no_bound():
    assert not false_positive_bound(np.arange(299.0), np.ones(299), 0.01, 0).status
    found = false_positive_bound(np.arange(298.0), np.ones(298), 0.01, 0)
    assert math.isnan(found.threshold)
    assert found.status == "needs at least 299 non-lenses, there are 298"


def test_the_bound_holds_of_non_lenses_with_weights():
    """High scores are likelier in the set than on the sky; weights undo it, without them the bound is too strict."""
    rates, plain = [], []
    for seed in range(REPETITIONS):
        rng = np.random.default_rng([11, seed])
        z = rng.normal(size=1500)
        chance = np.where(z > 0, 1.0, 0.25)
        z = z[inside := rng.random(1500) < chance]
        rates.append(norm.sf(false_positive_bound(z, 1 / chance[inside], 0.1, seed).threshold))
        plain.append(norm.sf(false_positive_bound(z, np.ones(len(z)), 0.1, seed).threshold))
    assert covered(int((np.array(rates) <= 0.1).sum()))
    assert np.mean(plain) < 0.06 < np.mean(rates) < 0.1


def test_a_weighted_fraction_of_equal_weights_is_wilson_s():
    found = WeightedFraction.of(np.r_[np.ones(7), np.zeros(13)], np.full(20, 4.0))
    assert (found.low, found.high) == wilson_interval(7, 20)
    assert (found.n, found.n_effective) == (20, 20)
    unequal = WeightedFraction.of([1, 0, 0], [2, 1, 1])
    assert unequal.value == 0.5
    assert unequal.n_effective == pytest.approx(16 / 6)  # Kish: (Σw)² / Σw²
    assert 0 <= unequal.low < 0.5 < unequal.high <= 1
    assert math.isnan(WeightedFraction.of([], []).value)
