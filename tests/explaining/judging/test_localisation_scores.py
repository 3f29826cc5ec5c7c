"""Localisation: a perfect map above an anti-perfect one, chance for random maps, no favour in ties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lensaudit.explaining import pointing_game, positive_fraction, rank_accuracy
from lensaudit.explaining.judging.scores import area_fraction, pointing_tolerance, widened

SCORES = {"positive-share": positive_fraction, "rank-accuracy": rank_accuracy, "pointing-game": pointing_game}

MASK = np.zeros((8, 9), bool)
MASK[2:4, 3:6] = True  # 6 of 72 pixels


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_perfect_map_scores_1_and_an_anti_perfect_one_0(score):
    assert score(MASK.astype(float), MASK) == 1
    assert score(~MASK, MASK) == 0


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_constant_map_scores_exactly_chance(score):
    assert score(np.full(MASK.shape, 0.3), MASK) == pytest.approx(area_fraction(MASK), abs=1e-12)  # float64 sums


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_random_maps_score_chance_on_average(score):
    rng = np.random.default_rng(0)
    values = [score(rng.standard_normal(MASK.shape), MASK) for _ in range(4000)]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values) - area_fraction(MASK)) < 4 * error  # one in 16 000 seeds would fail
    assert error < 0.1 * area_fraction(MASK), "too few to tell chance from half of it"


@given(
    arrays(np.float32, (4, 5), elements=st.floats(-10, 10, width=32)),
    arrays(np.bool_, (4, 5)).filter(lambda mask: mask.any()),
)
def test_scores_stay_in_their_range(attribution, mask):
    for score in SCORES.values():
        value = score(attribution, mask)
        assert math.isnan(value) or 0 <= value <= 1


def test_negative_attribution_counts_for_nothing():
    attribution = np.where(MASK, 2.0, -5.0)
    assert positive_fraction(attribution, MASK) == 1
    attribution[0, 0] = 12.0  # as much as the whole mask
    assert positive_fraction(attribution, MASK) == pytest.approx(0.5)
    assert math.isnan(positive_fraction(-np.ones(MASK.shape), MASK))


def test_rank_accuracy_is_the_mean_over_all_ways_to_break_ties():
    attribution = np.array([[3.0, 2, 2, 2], [1, 2, 0, 0]])
    mask = np.array([[True, True, False, False], [True, False, False, False]])
    tied = [1, 2, 3, 5]
    shares = []
    for order in itertools.permutations(tied):
        highest = {0, *order[:2]}
        shares.append(len(highest & {0, 1, 4}) / 3)
    assert rank_accuracy(attribution, mask) == pytest.approx(np.mean(shares))
    assert math.isnan(rank_accuracy(attribution, np.zeros_like(mask)))


def test_pointing_game_shares_the_maximum_and_forgives_a_near_miss():
    attribution = np.zeros(MASK.shape)
    attribution[[2, 7], [3, 0]] = 1  # one in the mask, one far from it
    assert pointing_game(attribution, MASK) == 0.5
    near = np.zeros(MASK.shape)
    near[3, 7] = 1  # two columns right of the mask
    assert [pointing_game(near, MASK, tolerance) for tolerance in (0, 1, 2)] == [0, 0, 1]
    assert math.isnan(pointing_game(near, np.zeros_like(MASK)))


def test_the_tolerance_is_a_disc():
    single = np.zeros((7, 7), bool)
    single[3, 3] = True
    assert widened(single, 2).sum() == 13  # 1 + 4 + 4 + 4 pixels at distances 0, 1, √2, 2
    assert widened(single, 0).sum() == 1
    assert not widened(np.zeros((3, 3), bool), 2).any()
    with pytest.raises(ValueError, match="tolerance of -1"):
        widened(single, -1)


def test_the_tolerance_is_the_same_on_the_sky_for_every_finder():
    assert pointing_tolerance(66, 20.0) == 1
    assert pointing_tolerance(200, 20.0) == 3


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="two equal"):
        rank_accuracy(np.zeros((3, 3)), np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match="no numbers"):
        positive_fraction(np.full((3, 3), np.nan), np.ones((3, 3), bool))
